"""A batch that several processes encode together, each its own rows, and all look at as a whole.

Objectives see the batch that one process would see: their negatives, their random numbers and their means over clips
are those of the whole batch, whoever trains. What costs most, the networks' forward and backward passes, is shared.
Losses on the features of all rows are computed by every process alike.
"""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.training.distributed import World
from selfvos.types import FrameFeatures, MaskContext, SegmenterLike

Whole = Callable[[Tensor], Tensor]
"""Joins the rows of all processes, or parts them again."""


def shared(model: SegmenterLike, world: World) -> SegmenterLike:
    """Return a network that encodes whole batches together with the other processes; one process has no need to."""
    return model if world.size == 1 else SharedSegmenter(model, world)


class SharedSegmenter:
    """A network of which every process computes its own rows of each batch.

    All processes ask for the same in the same order. Gradients of the weights are those of a sum over all rows once
    processes have averaged them, as `DistributedDataParallel` does.
    """

    def __init__(self, model: SegmenterLike, world: World) -> None:
        self._model, self._world = model, world

    @property
    def corrects_masks(self) -> bool:
        """Say what the network's D does."""
        return self._model.corrects_masks

    def encode_frame(self, frames: Float[Tensor, "b 3 y x"]) -> FrameFeatures:
        """Encode this process's rows; those of the others come when they are looked at."""
        return _SharedFeatures(self._model.encode_frame(self._own(frames)), self._whole(len(frames)))

    def prepare_masks(self, frames: Float[Tensor, "b 3 y x"], features: FrameFeatures) -> MaskContext:
        """Compute what objects and rounds of this process's rows share."""
        assert isinstance(features, _SharedFeatures)
        own = self._model.prepare_masks(self._own(frames), features.own)
        return _SharedContext(own, self._whole(len(frames)), self._own)

    def encode_masks(self, context: MaskContext, masks: Float[Tensor, "b o y x"]) -> Float[Tensor, "b o v h w"]:
        """Embed the masks of all rows (V)."""
        assert isinstance(context, _SharedContext)
        return self._whole(len(masks))(self._model.encode_masks(context.own, self._own(masks)))

    def decode_masks(
        self, context: MaskContext, readout: Float[Tensor, "b o v h w"], values: Float[Tensor, "b o v h w"]
    ) -> Float[Tensor, "b o y x"]:
        """Decode the logits of all rows (D)."""
        assert isinstance(context, _SharedContext)
        logits = self._model.decode_masks(context.own, self._own(readout), self._own(values))
        return self._whole(len(readout))(logits)

    def _own(self, whole: Tensor) -> Tensor:
        return _OwnRows.apply(whole, self._world)  # pyright: ignore[reportReturnType] - torch leaves it untyped

    def _whole(self, count: int) -> Whole:
        return partial(_AllRows.apply, self._world, count)  # pyright: ignore[reportReturnType]


class _SharedFeatures(FrameFeatures):
    """Features of all rows; each kind is fetched from the other processes when it is first looked at."""

    def __init__(self, own: FrameFeatures, whole: Whole) -> None:
        self.__dict__.update(own=own, _join=whole)

    own: FrameFeatures
    _join: Whole

    @cached_property
    def key(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._join(self.own.key)

    @cached_property
    def base(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._join(self.own.base)

    @cached_property
    def stages(self) -> dict[str, Tensor]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _SharedStages(self.own.stages, self._join)


class _SharedStages(dict[str, Tensor]):
    def __init__(self, own: dict[str, Tensor], whole: Whole) -> None:
        super().__init__(own)
        self._join = whole
        self._joined: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._joined:
            self._joined[name] = self._join(super().__getitem__(name))
        return self._joined[name]

    # Without it, `{**stages}` would not ask `__getitem__`.
    def __iter__(self) -> Iterator[str]:
        return super().__iter__()


class _SharedContext(MaskContext):
    """What V and D need of this process's rows; an objective that looks inside sees all rows."""

    def __init__(self, own: MaskContext, whole: Whole, part: Whole) -> None:
        self.__dict__.update(own=own, _join=whole, _part=part)

    own: MaskContext
    _join: Whole
    _part: Whole

    def with_evidence(self, evidence: Float[Tensor, "b 2 h w"]) -> "MaskContext":
        """Return the same of frames that have been matched."""
        return _SharedContext(self.own.with_evidence(self._part(evidence)), self._join, self._part)

    @cached_property
    def frame(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._join(self.own.frame)

    @cached_property
    def base(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._join(self.own.base)

    @cached_property
    def skip8(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._join(self.own.skip8)

    @cached_property
    def skip4(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._join(self.own.skip4)


class _AllRows(torch.autograd.Function):
    """All rows from each process's own.

    Every process has the same loss of all rows, so that each already knows the gradient of its own. It is multiplied
    by the number of processes, since their mean is taken in the end and the sum is wanted.
    """

    @staticmethod
    def forward(ctx: Any, world: World, count: int, own: Tensor) -> Tensor:
        ctx.world, ctx.count = world, count
        return world.gather(own, count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, gradients[0][ctx.world.rows(ctx.count)] * ctx.world.size


class _OwnRows(torch.autograd.Function):
    """This process's own rows; the gradient is fetched from all, and the factor of `_AllRows` taken back."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, world: World) -> Tensor:
        ctx.world, ctx.count = world, len(whole)
        return whole[world.rows(len(whole))]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.world.gather(gradients[0], ctx.count) / ctx.world.size, None
