"""Dense unsupervised learning: frames agree on which anchor of the clip each place belongs to, in two views."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.contrast import gather_points, grid_points, info_nce, similarity
from selfvos.ops.warp import Mode, Transform, TransformConfig, sample_transform, warp, warp_unit
from selfvos.types import LossTerms, SegmenterLike

_MOVED: Mode = "nearest"
"""How the first view's features are moved into the geometry of the second."""


@dataclass(frozen=True, kw_only=True)
class DULConfig:
    """How the two views of a clip are compared."""

    temperature: float = 0.05
    """Softmax temperature of both terms, > 0."""
    anchors_per_side: int = 8
    """Rows and columns of the grid of anchors in the first frame."""
    reference_per_side: int = 4
    """Rows and columns of the grid on which the two views of the first frame are compared."""
    reference_weight: float = 0.1
    """Weight of the comparison of the two views of the first frame."""
    transform: TransformConfig = field(default_factory=TransformConfig)
    """What happens to all frames of the second view."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if min(self.anchors_per_side, self.reference_per_side) < 1:
            raise UsageError("anchors_per_side and reference_per_side must be >= 1")


def pseudo_labels(anchors: Float[Tensor, "b a c"], view: Float[Tensor, "b t c h w"]) -> Int64[Tensor, "b t h w"]:
    """Return which of all b*a anchors each cell is closest to, among those of its own clip."""
    with torch.no_grad():
        # The temperature does not move the maximum.
        scores = similarity(_cells(view), anchors[:, None], temperature=1.0)
        own = scores.argmax(dim=-1) + anchors.shape[1] * torch.arange(len(anchors), device=scores.device)[:, None, None]
        return own.unflatten(-1, view.shape[-2:])


def temporal_loss(
    anchors: Float[Tensor, "b a c"],
    warped: Float[Tensor, "b t c h w"],
    labels: Int64[Tensor, "b t h w"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Score how surely each cell picks its label among the anchors of all clips.

    Args:
        anchors: Unit-length features on a grid of each clip's first frame.
        warped: Features of the other frames in the first view, moved into the second view's geometry.
        labels: Index of the right one among all b*a anchors, as the second view sees it.
        temperature: Softmax temperature, unitless, > 0.

    Returns:
        Mean cross-entropy in nats: 0 when all cells are sure and right, log(b a) when all are lost.

    Source:
        Araslanov et al. 2021, arXiv:2111.06265, self-training term. Features are warped before the product with the
        anchors, which equals warping the scores (both are linear) at a fraction of the memory.
    """
    scores = similarity(_cells(warped), anchors.flatten(0, 1), temperature=temperature)  # b t m (b a)
    return functional.cross_entropy(scores.flatten(0, 2), labels.flatten())


@OBJECTIVES.register("dul")
class DUL(Objective):
    """Labels the second view of a clip by its own anchors and teaches the labels to the first view.

    Source:
        Araslanov et al. 2021, arXiv:2111.06265; also the correspondence term of Li et al. 2023 as released.
    """

    Config = DULConfig

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `temporal`, and `reference` before its weight.

        Raises:
            UsageError: The clip has fewer than two frames, or fewer feature cells than a grid.
        """
        batch, count = clip.frames.shape[:2]
        if count < 2:
            raise UsageError(f"dul compares at least 2 frames, got clips of {count}; train on longer clips")
        config: DULConfig = self.config
        frames = _shuffle(clip.frames, generator)
        transform = sample_transform(batch, generator, config.transform)
        first_view, second_first, second_rest = _encode_views(clip.model, frames, transform)
        sides = (first_view.shape[-2], first_view.shape[-1])

        anchors = gather_points(first_view[:, 0], grid_points(batch, config.anchors_per_side, *sides, generator))
        rest = warp(first_view[:, 1:].flatten(1, 2), transform, mode=_MOVED)
        temporal = temporal_loss(
            anchors,
            rest.unflatten(1, (count - 1, -1)),
            pseudo_labels(anchors, second_rest),
            temperature=config.temperature,
        )
        points = grid_points(batch, config.reference_per_side, *sides, generator)
        reference = info_nce(
            gather_points(warp_unit(first_view[:, 0], transform, mode=_MOVED), points),
            gather_points(second_first, points),
            temperature=config.temperature,
        )
        parts = {"temporal": temporal.detach(), "reference": reference.detach()}
        return LossTerms(temporal + config.reference_weight * reference, parts)


def _shuffle(frames: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.rand(frames.shape[:2], generator=generator).argsort(dim=1).to(frames.device)
    return frames[torch.arange(len(frames), device=frames.device)[:, None], order]


def _encode_views(model: SegmenterLike, frames: Tensor, transform: Transform) -> tuple[Tensor, Tensor, Tensor]:
    """Return keys of the plain frames, of the transformed first frame, and of the others without gradient."""
    batch, count = frames.shape[:2]
    second = warp(frames.flatten(1, 2), transform).unflatten(1, (count, 3))
    learned = model.encode_frame(torch.cat([frames.flatten(0, 1), second[:, 0]])).key
    with torch.no_grad():
        fixed = model.encode_frame(second[:, 1:].flatten(0, 1)).key
    plain, second_first = learned.split([batch * count, batch])
    return plain.unflatten(0, (batch, count)), second_first, fixed.unflatten(0, (batch, count - 1))


def _cells(features: Tensor) -> Tensor:
    return features.flatten(-2).mT  # b t m c
