"""STM: every object is looked up in a memory of the first frame, the one before, and some between."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.ops.masks import aggregate
from selfvos.ops.space_time import as_memory, space_time_read
from selfvos.tracking.encoding import EncodedFrame, FrameEncoding
from selfvos.tracking.propagator import SYSTEMS, GivenMasks, SoftMasks
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.supervised import SupervisedPropagator, require_path, whole
from selfvos.types import MaskContext


@dataclass(frozen=True, kw_only=True)
class STMTrackConfig:
    """What is remembered."""

    every: int = 5
    """Of the frames between the first and the one before, each one whose number this divides is remembered."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"every must be at least 1, got {self.every}")


@dataclass(frozen=True)
class _Latest:
    """The latest frame: it enters memory when the next one comes."""

    context: MaskContext
    masks: Float[Tensor, "1 o1 y x"] | None
    """None until they are given."""
    given: bool


@dataclass(frozen=True)
class _State:
    given: tuple[Tensor, ...] = ()
    """Frames with given masks."""
    between: tuple[Tensor, ...] = ()
    """Some of the frames between."""
    before: tuple[Tensor, ...] = ()
    """The frame before, where it is none of these."""
    latest: _Latest | None = None
    number: int = 0


@SYSTEMS.register(
    "stm", about="supervised: STM, a memory of the first, the latest and every 5th frame; wants its weights"
)
class STMPropagator(SupervisedPropagator):
    """Reads keys and values of past frames, for each object its own, and decodes what they say.

    Source:
        STM (Oh et al. 2019), inference: first frame, previous frame and every 5th; soft aggregation. Departures: of
        the frames between, the latest ``memory.last`` stay (20: a hundred frames), so that memory is bounded; frames
        with given masks are remembered for ever.
    """

    name = "stm"
    Config = STMTrackConfig
    _own: STMTrackConfig

    def __init__(self, encoding: FrameEncoding, config: TrackConfig) -> None:
        """Make a propagator from weights that were trained for STM."""
        require_path(encoding.network, self.name)
        super().__init__(encoding, config)
        self._state = _State()

    def start(self, frame: EncodedFrame) -> None:
        """See `Propagator.start`."""
        self._state = _State(latest=_Latest(self._context(frame), None, given=True))

    def learn(self, given: GivenMasks) -> SoftMasks:
        """See `Propagator.learn`."""
        latest = self._state.latest
        assert latest is not None, "no video has begun"
        self._state = replace(self._state, latest=_Latest(latest.context, given.pixels, given=True))
        return whole(given.pixels)

    def follow(self, frame: EncodedFrame) -> SoftMasks:
        """See `Propagator.follow`."""
        state = self._remembering()
        context = self._context(frame)
        memory = [*state.given, *state.between, *state.before]
        # An object that came later is not in the oldest entries, and so each is read by itself.
        objects = max(entry.shape[1] for entry in memory)
        soft = aggregate(torch.cat([self._decode(context, memory, o) for o in range(objects)], dim=1))
        self._state = replace(state, latest=_Latest(context, soft, given=False), number=state.number + 1)
        return whole(soft)

    def remember(self, frame: EncodedFrame, given: GivenMasks) -> None:
        """See `Propagator.remember`."""
        entry = self._entry(self._context(frame), given.pixels)
        self._state = replace(self._state, given=(*self._state.given, entry))

    def forget_recent(self) -> None:
        """See `Propagator.forget_recent`."""
        self._state = replace(self._state, between=(), before=())

    def snapshot(self) -> _State:
        """See `Propagator.snapshot`."""
        return self._state

    def restore(self, state: _State) -> None:
        """See `Propagator.restore`."""
        self._state = state

    def _context(self, frame: EncodedFrame) -> MaskContext:
        return self._network.prepare_masks(frame.image, frame.features)

    def _entry(self, context: MaskContext, masks: Float[Tensor, "1 o1 y x"]) -> Tensor:
        return as_memory(self._network.encode_masks(context, masks[:, 1:]))

    def _decode(self, context: MaskContext, memory: list[Tensor], o: int) -> Float[Tensor, "1 1 y x"]:
        cells = torch.cat([entry[:, o : o + 1] for entry in memory if entry.shape[1] > o], dim=-1)
        return self._network.decode_masks(context, *space_time_read(context.base, cells))

    def _remembering(self) -> _State:
        state, latest = self._state, self._state.latest
        assert latest is not None, "no video has begun"
        assert latest.masks is not None, "no frame has been given masks"
        entry = self._entry(latest.context, latest.masks)
        if latest.given:
            return replace(state, given=(*state.given, entry), before=())
        if state.number % self._own.every == 0:
            between = (*state.between, entry)
            kept = self.config.memory.last
            return replace(state, between=between[len(between) - min(kept, len(between)) :], before=())
        return replace(state, before=(entry,))
