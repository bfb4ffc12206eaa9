"""Long-term semantic dependency: a distant frame, transformed or not, can rebuild this one's features."""

import logging
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.contrast import gather_points, grid_points, info_nce, similarity
from selfvos.ops.warp import Transform, TransformConfig, sample_transform, warp_unit
from selfvos.types import LossTerms

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LLongConfig:
    """How distant frames are compared."""

    temperature: float = 0.05
    """Softmax temperature of both the affinity and the contrast, > 0."""
    points_per_side: int = 8
    """Rows and columns of the grid of compared positions."""
    min_gap: int = 5
    """Least difference of the two frame numbers, in frames of the training list; at least 1."""
    transform: TransformConfig = field(default_factory=TransformConfig)
    """What happens to the distant frame's features."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if self.points_per_side < 1:
            raise UsageError(f"points_per_side must be >= 1, got {self.points_per_side}")
        if self.min_gap < 1:
            raise UsageError(f"min_gap must be >= 1, got {self.min_gap}")


class DistantPair(NamedTuple):
    """Two positions in the clips of a batch, and what lies between them."""

    frame: int
    """Position of the frame that is rebuilt."""
    reference: int
    """Position of the frame that it is rebuilt from."""
    scored: Bool[Tensor, "b"]
    """Clips that count."""
    far_enough: bool
    """Whether the pair keeps the wanted gap in any clip; if not, all clips count all the same."""


def distant_pair(index: Int64[Tensor, "b t"], *, min_gap: int, generator: torch.Generator) -> DistantPair:
    """Draw one pair of time positions that lies far apart in as many clips as possible.

    All clips of a batch share the pair, so that features stay one tensor per time position. Clips of short
    videos, in which the pair is too close, do not count. Where no pair is far enough in any clip, the pair
    farthest apart on average is taken and all clips count: a weaker signal, rather than none without a word.

    Args:
        index: Frame numbers in the training list of t >= 2 frames of each clip.
        min_gap: Least difference of the two frame numbers.
        generator: On the CPU; draws among equally good pairs and which of the two is rebuilt.
    """
    index = index.cpu()
    gaps = (index[:, :, None] - index[:, None]).abs()  # b t t
    reached = gaps >= min_gap
    far_enough = bool(reached.any())
    worth = (reached if far_enough else gaps).sum(dim=0).fill_diagonal_(-1)
    best = (worth == worth.max()).nonzero()
    frame, reference = best[torch.randint(len(best), (), generator=generator)].tolist()
    scored = reached[:, frame, reference] if far_enough else torch.ones(len(index), dtype=torch.bool)
    return DistantPair(frame, reference, scored, far_enough)


def rebuild(
    query: Float[Tensor, "b p c"], reference: Float[Tensor, "b c h w"], *, temperature: float
) -> Float[Tensor, "b p c"]:
    """Return each query feature as the affinity-weighted mean of all reference features, at unit length."""
    cells = reference.flatten(2).mT  # b m c
    affinity = similarity(query, cells, temperature=temperature).softmax(dim=-1)
    with torch.autocast(affinity.device.type, enabled=False):
        mean = affinity @ cells.float()
    return functional.normalize(mean, dim=-1)


def long_loss(
    frame: Float[Tensor, "b c h w"],
    reference: Float[Tensor, "b c h2 w2"],
    transform: Transform,
    points: Int64[Tensor, "b p 2"],
    *,
    temperature: float,
    scored: Bool[Tensor, "b"] | None = None,
) -> Float[Tensor, ""]:
    """Score how well a frame's features are rebuilt from a distant frame's transformed ones.

    Args:
        frame: Unit-length features E(I_t).
        reference: Unit-length features E(I_t') of the distant frame.
        transform: Φ, applied to the features of the distant frame.
        points: Cells of the frame that are rebuilt and compared.
        temperature: Softmax temperature of affinity and contrast, unitless, > 0.
        scored: Clips that count, at least one; the others serve as negatives only. None scores all.

    Returns:
        Contrastive loss in nats, at least 0; both frames receive gradient.

    Source:
        Li et al. 2023, arXiv:2303.10100, long-term semantic dependency, E(I_t) = A' Φ(E(I_t')). The paper prints no
        distance; this is InfoNCE over grid positions of the batch, of which those of the same frame at most two cells
        away are no negatives. Only the affinity of those positions is computed. The released code lacks this term:
        its values could not be compared with the authors'.
    """
    targets = gather_points(frame, points)
    return info_nce(
        targets,
        rebuild(targets, warp_unit(reference, transform), temperature=temperature),
        temperature=temperature,
        points=points,
        scored=scored,
    )


@OBJECTIVES.register("l_long")
class LLong(Objective):
    """Rebuilds one frame of every clip from another at least `min_gap` frames away."""

    Config = LLongConfig

    def __init__(self, config: LLongConfig) -> None:
        super().__init__(config)
        self._warned = False

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `long`.

        Raises:
            UsageError: The clip has fewer than two frames, or fewer feature cells than the grid.
        """
        batch, count = clip.frames.shape[:2]
        if count < 2:
            raise UsageError(f"l_long compares 2 frames, got clips of {count}; train on longer clips")
        config: LLongConfig = self.config
        pair = distant_pair(clip.clip.index, min_gap=config.min_gap, generator=generator)
        if not pair.far_enough:
            self._warn_once()
        frame = clip.key(pair.frame)
        loss = long_loss(
            frame,
            clip.key(pair.reference),
            sample_transform(batch, generator, config.transform),
            grid_points(batch, config.points_per_side, frame.shape[-2], frame.shape[-1], generator),
            temperature=config.temperature,
            scored=pair.scored,
        )
        return LossTerms(loss, {"long": loss.detach()})

    def _warn_once(self) -> None:
        if not self._warned:
            gap = self.config.min_gap
            _LOG.warning("no clip of a batch spans min_gap=%d frames; the farthest pair was compared instead", gap)
        self._warned = True
