"""RGMP: the frame where an object was drawn, and its mask in the frame before, say where it is."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.masks import aggregate
from selfvos.tracking.encoding import EncodedFrame, FrameEncoding
from selfvos.tracking.propagator import SYSTEMS, GivenMasks, SoftMasks
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.supervised import SupervisedPropagator, require_path, whole
from selfvos.types import MaskContext


@dataclass(frozen=True, kw_only=True)
class RGMPTrackConfig:
    """RGMP has nothing to set."""


@dataclass(frozen=True)
class _State:
    references: tuple[tuple[int, Tensor], ...]
    """Place of each object, and the frame in which it was drawn, by place."""
    masks: Float[Tensor, "1 o1 y x"] | None
    """Of the latest frame; None until they are given."""
    context: MaskContext
    """Of the latest frame."""


@SYSTEMS.register("rgmp", about="supervised: RGMP, the first frame beside the latest mask; wants its weights")
class RGMPPropagator(SupervisedPropagator):
    """Sees each frame with the latest mask of each object, beside the frame in which it was drawn.

    Source:
        RGMP (Oh et al. 2018), inference, at one scale; objects are joined by soft aggregation.
    """

    name = "rgmp"
    Config = RGMPTrackConfig

    def __init__(self, encoding: FrameEncoding, config: TrackConfig) -> None:
        """Make a propagator from weights that were trained for RGMP."""
        require_path(encoding.network, self.name)
        super().__init__(encoding, config)
        self._state: _State | None = None

    def start(self, frame: EncodedFrame) -> None:
        """See `Propagator.start`."""
        self._state = _State((), None, self._context(frame))

    def learn(self, given: GivenMasks) -> SoftMasks:
        """See `Propagator.learn`."""
        state = self.snapshot()
        references = self._referring(state.context, given)
        self._state = _State(references, given.pixels, state.context)
        return whole(given.pixels)

    def follow(self, frame: EncodedFrame) -> SoftMasks:
        """See `Propagator.follow`."""
        state, context = self.snapshot(), self._context(frame)
        masks = state.masks
        assert masks is not None, "no frame has been given masks"
        logits = []
        for o, reference in state.references:
            before = masks[:, 1 + o : 2 + o] if o + 1 < masks.shape[1] else torch.zeros_like(masks[:, :1])
            values = self._network.encode_masks(context, before)
            logits.append(self._network.decode_masks(context, reference, values))
        soft = aggregate(torch.cat(logits, dim=1))
        self._state = _State(state.references, soft, context)
        return whole(soft)

    def remember(self, frame: EncodedFrame, given: GivenMasks) -> None:
        """See `Propagator.remember`: each object that it shows is looked for as it is there."""
        state = self.snapshot()
        self._state = _State(self._referring(self._context(frame), given), state.masks, state.context)

    def snapshot(self) -> _State:
        """See `Propagator.snapshot`."""
        assert self._state is not None, "no video has begun"
        return self._state

    def restore(self, state: _State) -> None:
        """See `Propagator.restore`."""
        self._state = state

    def _context(self, frame: EncodedFrame) -> MaskContext:
        return self._network.prepare_masks(frame.image, frame.features)

    def _referring(self, context: MaskContext, given: GivenMasks) -> tuple[tuple[int, Tensor], ...]:
        references = dict(self.snapshot().references)
        for o in given.drawn:
            references[o] = self._network.encode_masks(context, given.pixels[:, 1 + o : 2 + o])
        return tuple(sorted(references.items(), key=lambda item: item[0]))
