"""Short-term appearance consistency: neighbouring frames look alike, also when one of them is transformed."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from selfvos.errors import UsageError
from selfvos.objectives.base import OBJECTIVES, EncodedClip, Objective
from selfvos.ops.contrast import gather_points, grid_points, info_nce
from selfvos.ops.warp import Transform, TransformConfig, sample_transform, warp, warp_unit
from selfvos.types import LossTerms


@dataclass(frozen=True, kw_only=True)
class LShortConfig:
    """How neighbouring frames are compared."""

    temperature: float = 0.05
    """Softmax temperature, > 0."""
    points_per_side: int = 8
    """Rows and columns of the grid of compared positions."""
    stop_gradient: bool = True
    """Whether the untransformed frame only gives the target."""
    transform: TransformConfig = field(default_factory=TransformConfig)
    """What happens to the transformed frame."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise UsageError(f"temperature must be > 0, got {self.temperature}")
        if self.points_per_side < 1:
            raise UsageError(f"points_per_side must be >= 1, got {self.points_per_side}")


def short_loss(
    transformed: Float[Tensor, "b c h w"],
    neighbour: Float[Tensor, "b c h w"],
    transform: Transform,
    points: Int64[Tensor, "b p 2"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """Score how well a transformed frame's features equal the transformed features of its neighbour.

    Args:
        transformed: Unit-length features of the transformed frame, E(Φ(I_t)).
        neighbour: Unit-length features of the next frame as it is, E(I_{t+1}); detach them to make them a target.
        transform: Φ.
        points: Cells of the transformed frame that are compared.
        temperature: Softmax temperature, unitless, > 0.

    Returns:
        Contrastive loss in nats, at least 0.

    Source:
        Li et al. 2023, arXiv:2303.10100, short-term appearance consistency, E(Φ(I_t)) = Φ(E(I_{t+1})). The paper
        prints no distance; as a plain distance is solved by one constant feature, this is InfoNCE over grid
        positions of the batch; those of the same frame at most two cells away are no negatives. The released code
        lacks this term: its values could not be compared with the authors'.
    """
    return info_nce(
        gather_points(transformed, points),
        gather_points(warp_unit(neighbour, transform), points),
        temperature=temperature,
        points=points,
    )


@OBJECTIVES.register("l_short")
class LShort(Objective):
    """Compares the first two frames of every clip, the first one transformed."""

    Config = LShortConfig

    def forward(self, clip: EncodedClip, generator: torch.Generator) -> LossTerms:
        """Score one batch of clips; parts: `short`.

        Raises:
            UsageError: The clip has fewer than two frames, or fewer feature cells than the grid.
        """
        batch, count = clip.frames.shape[:2]
        if count < 2:
            raise UsageError(f"l_short compares 2 frames, got clips of {count}; train on longer clips")
        config: LShortConfig = self.config
        transform = sample_transform(batch, generator, config.transform)
        transformed = clip.model.encode_frame(warp(clip.frames[:, 0], transform)).key
        neighbour = clip.key(1)
        loss = short_loss(
            transformed,
            neighbour.detach() if config.stop_gradient else neighbour,
            transform,
            grid_points(batch, config.points_per_side, transformed.shape[-2], transformed.shape[-1], generator),
            temperature=config.temperature,
        )
        return LossTerms(loss, {"short": loss.detach()})
