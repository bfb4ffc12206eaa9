"""selfvos' own system, in the way that its settings and its device allow."""

from selfvos.tracking.encoding import FrameEncoding
from selfvos.tracking.label_propagation import LabelPropagation, MaskPropagation
from selfvos.tracking.propagator import MEMORY, SYSTEMS, Propagator
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.sparse_propagation import SparsePropagation, fits_sparse


@SYSTEMS.register(MEMORY, about="memory of past frames, matching, and rounds of V and D: selfvos' own")
def by_memory(encoding: FrameEncoding, config: TrackConfig) -> Propagator:
    """Make the propagator of selfvos' own system: with V and D, or with none of their rounds."""
    if config.refine.rounds:
        return MaskPropagation(encoding, config)
    return (SparsePropagation if fits_sparse(encoding, config) else LabelPropagation)(encoding, config)
