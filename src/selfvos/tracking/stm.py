"""STM: every object is looked up in a memory of the first frame, the one before, and some between."""

from collections import deque
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.models.segmenter import Segmenter
from selfvos.ops.masks import aggregate
from selfvos.ops.space_time import as_memory, space_time_read
from selfvos.tracking.settings import TrackConfig
from selfvos.tracking.supervised import SupervisedTracker, require_path
from selfvos.tracking.system import SYSTEMS
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
class _Seen:
    """The latest frame: it enters memory when the next one comes."""

    context: MaskContext
    masks: Float[Tensor, "1 o1 y x"]
    given: bool


@SYSTEMS.register(
    "stm", about="supervised: STM, a memory of the first, the latest and every 5th frame; wants its weights"
)
class STMTracker(SupervisedTracker):
    """Reads keys and values of past frames, for each object its own, and decodes what they say.

    Source:
        STM (Oh et al. 2019), inference: first frame, previous frame and every 5th; soft aggregation. Departures: of
        the frames between, the latest ``last`` stay (20: a hundred frames), so that memory is bounded; frames with
        given masks are remembered for ever.
    """

    name = "stm"
    Config = STMTrackConfig
    _own: STMTrackConfig

    def __init__(self, model: Segmenter, config: TrackConfig | None = None) -> None:
        """Make a tracker from weights that were trained for STM."""
        require_path(model, self.name)
        super().__init__(model, config)
        self._forget()

    def _forget(self) -> None:
        self._given: list[Tensor] = []
        self._between: deque[Tensor] = deque(maxlen=self.config.memory.last)
        self._before: list[Tensor] = []
        self._latest: _Seen | None = None
        self._number = 0

    @torch.inference_mode()
    def _learn(self, image: Float[Tensor, "1 3 y x"], masks: Float[Tensor, "1 o1 y x"], drawn: list[int]) -> None:  # noqa: ARG002
        context = self._model.prepare_masks(image, self._eye.features(image))
        self._latest = _Seen(context, masks, given=True)

    @torch.inference_mode()
    def _follow(self, image: Float[Tensor, "1 3 y x"]) -> Float[Tensor, "1 o1 y x"]:
        self._remember()
        context = self._model.prepare_masks(image, self._eye.features(image))
        memory = [*self._given, *self._between, *self._before]
        # An object that came later is not in the oldest entries, and so each is read by itself.
        objects = max(entry.shape[1] for entry in memory)
        soft = aggregate(torch.cat([self._decode(context, memory, o) for o in range(objects)], dim=1))
        self._latest = _Seen(context, soft, given=False)
        self._number += 1
        return soft

    def _decode(self, context: MaskContext, memory: list[Tensor], o: int) -> Float[Tensor, "1 1 y x"]:
        cells = torch.cat([entry[:, o : o + 1] for entry in memory if entry.shape[1] > o], dim=-1)
        return self._model.decode_masks(context, *space_time_read(context.base, cells))

    def _remember(self) -> None:
        seen = self._latest
        if seen is None:
            return
        entry = as_memory(self._model.encode_masks(seen.context, seen.masks[:, 1:]))
        self._before = []
        if seen.given:
            self._given.append(entry)
        elif self._number % self._own.every == 0:
            self._between.append(entry)
        else:
            self._before = [entry]
