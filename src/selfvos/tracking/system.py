"""Which system follows objects, and with which settings: what other rooms ask for a tracker."""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from selfvos.models.segmenter import Segmenter
from selfvos.tracking.encoding import FeatureCache
from selfvos.tracking.object_table import Ids
from selfvos.tracking.propagator import MEMORY, SYSTEMS, system_name
from selfvos.tracking.recommendation import quality_config, recommended
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.tracker import Tracker
from selfvos.types import Frame, ObjectState, Watch, ignore

__all__ = [
    "MEMORY",
    "SYSTEMS",
    "MaskTracker",
    "make_tracker",
    "quality_config",
    "recommended",
    "system_name",
]


@runtime_checkable
class MaskTracker(Protocol):
    """Frame in, mask out: what going through a video asks of a tracker."""

    @property
    def supervision(self) -> str:
        """What sets its results apart wherever they are shown: that it is supervised; empty where nothing does."""
        ...

    @property
    def precision(self) -> str:
        """``float32`` or ``bfloat16``: what the visual encoder computes in."""
        ...

    @property
    def objects(self) -> tuple[ObjectState, ...]:
        """State of every object in the latest frame, in the order in which they were given."""
        ...

    def start(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids) -> Ids:
        """Begin a video: forget everything, learn the objects of its first mask."""
        ...

    def ahead(self, frames: Iterable[Frame], *, smooth: bool = False, watch: Watch = ignore) -> Iterator[Frame]:
        """Hand on the frames of a walk, ready to be tracked sooner where that can be."""
        ...

    def step(self, frame: UInt8[np.ndarray, "y x 3"], mask: Ids | None = None) -> Ids:
        """Follow all objects into the next frame; `mask` gives those that appear there."""
        ...


def make_tracker(model: Segmenter, config: TrackConfig | None = None, cache: FeatureCache | None = None) -> Tracker:
    """Make the tracker that settings and weights ask for; see `Tracker`."""
    return Tracker(model, config, cache)
