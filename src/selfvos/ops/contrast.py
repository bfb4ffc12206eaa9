"""Contrast between grid positions: what belongs together against everything else in the batch."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from selfvos.errors import UsageError


def grid_points(
    batch: int, per_side: int, height: int, width: int, generator: torch.Generator
) -> Int64[Tensor, "b p 2"]:
    """Draw one regular grid of cells for every sample, each moved by its own random offset.

    Args:
        batch: Samples to draw for.
        per_side: Rows and columns of the grid; p is its square.
        height: Rows of the feature map.
        width: Columns of the feature map.
        generator: On the CPU, as is the result.

    Returns:
        Row and column of each grid position, row by row; all differ.

    Raises:
        UsageError: The feature map has fewer cells per side than the grid.
    """
    if not 1 <= per_side <= min(height, width):
        raise UsageError(
            f"{per_side}x{per_side} points do not fit {height}x{width} feature cells; use larger crops or fewer points"
        )
    offset = torch.rand(batch, 2, 1, generator=generator, dtype=torch.float64)
    sides = torch.tensor([[height], [width]])
    steps = ((torch.arange(per_side) + offset) * sides / per_side).long().minimum(sides - 1)
    rows, columns = steps.unbind(dim=1)
    return torch.stack(
        [rows.repeat_interleave(per_side, dim=1), columns.repeat(1, per_side)],
        dim=-1,
    )


def gather_points(features: Float[Tensor, "b c h w"], points: Int64[Tensor, "b p 2"]) -> Float[Tensor, "b p c"]:
    """Return the features at (row, column) of each sample's points."""
    rows, columns = points.to(features.device).unbind(dim=-1)
    cells = (rows * features.shape[-1] + columns)[:, None].expand(-1, features.shape[1], -1)
    return features.flatten(2).gather(2, cells).mT


def similarity(
    left: Float[Tensor, "*#batch n c"], right: Float[Tensor, "*#batch m c"], *, temperature: float
) -> Float[Tensor, "... n m"]:
    """Return the dot product of each pair over the temperature, in float32 even under autocast.

    Leading axes broadcast. In bfloat16 a product near 1 over a temperature of 0.05 would fall on steps of 0.125.
    """
    with torch.autocast(left.device.type, enabled=False):
        return left.float() @ right.float().mT / temperature


def info_nce(
    anchors: Float[Tensor, "b p c"],
    positives: Float[Tensor, "b p c"],
    *,
    temperature: float,
    points: Int64[Tensor, "b p 2"] | None = None,
    exclude_within_cells: float = 2.0,
    scored: Bool[Tensor, "b"] | None = None,
) -> Float[Tensor, ""]:
    """Score how well each anchor tells its own positive from those of all other positions and samples.

    Args:
        anchors: Unit-length features at p positions of each sample.
        positives: Unit-length features that the anchors of the same place shall equal; those of all other
            positions of the sample and of all other samples are the negatives.
        temperature: Softmax temperature, unitless, > 0.
        points: Row and column of the positions; None keeps all negatives.
        exclude_within_cells: Positions of the same sample at most so many cells away are too alike to be negatives.
        scored: Samples whose anchors count, at least one; the others serve as negatives only. None scores all.

    Returns:
        Mean negative log-probability in nats: 0 when all are told apart, log(b p) when none is.

    Source:
        van den Oord et al. 2018, arXiv:1807.03748, eq. 4, with positions of one batch as candidates.
    """
    batch, count = anchors.shape[:2]
    scores = similarity(anchors.flatten(0, 1), positives.flatten(0, 1), temperature=temperature)
    if points is not None:
        scores = scores.masked_fill(_too_close(points.to(scores.device), exclude_within_cells), -torch.inf)
    own = torch.arange(batch * count, device=scores.device)
    losses = functional.cross_entropy(scores, own, reduction="none").view(batch, count).mean(dim=1)
    weight = torch.ones_like(losses) if scored is None else scored.to(losses)
    return (losses * weight).sum() / weight.sum()


def _too_close(points: Tensor, radius_cells: float) -> Tensor:
    """Tell which pairs of the batch's positions lie in one sample, apart but within the radius."""
    squared = (points[:, :, None] - points[:, None]).square().sum(dim=-1)  # b p p
    close = (squared <= radius_cells**2) & (squared > 0)
    return torch.block_diag(*close.unbind())
