"""Cells that memory has not seen, and labels for them from cells of the same frame that look alike."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.matching import MatchConfig, Matches, match


@dataclass(frozen=True, kw_only=True)
class CompleteConfig:
    """When a cell counts as new, and which cells of its frame say what it is."""

    sure_below: float = 0.0
    """A cell is known where its best memory cell resembles no other cell by more than this, as a dot product."""
    new_above: float = 0.2
    """It is new where it resembles another cell by this much more; between the two its own label counts in part."""
    radius_cells: float = 6.0
    """How far away the cells may be that say what a new one is, > 0."""
    neighbours: int = 12
    """How many of them do, 1 to 63: those that look most like it."""
    temperature: float = 0.2
    """Softmax temperature over how much they do, > 0."""
    steps: int = 12
    """How many cells a label may travel, at least 1."""

    def __post_init__(self) -> None:
        if not 0 <= self.sure_below < self.new_above:
            found = f"{self.sure_below} and {self.new_above}"
            raise UsageError(f"sure_below must be at least 0 and below new_above, got {found}")
        if not 1 <= self.neighbours <= 63:
            raise UsageError(f"neighbours must be 1 to 63, got {self.neighbours}")
        if not (self.radius_cells > 1 and self.temperature > 0 and math.isfinite(self.temperature)):
            found = f"{self.radius_cells} and {self.temperature}"
            raise UsageError(f"radius_cells must be > 1 and temperature > 0 and finite, got {found}")
        if self.steps < 1:
            raise UsageError(f"steps must be at least 1, got {self.steps}")


def novelty(matches: Matches, config: CompleteConfig) -> Float[Tensor, " m"]:
    """Say how new each cell is: 0 where memory knows it, 1 where its best memory cell is another cell's.

    What comes out from behind an object, or into the picture, is matched with whatever looks most like it; but that
    memory cell resembles the cell that it became far more. A low score alone does not tell: it is also low where an
    object changes.

    Args:
        matches: Of the m cells of a frame.
        config: Says what is new.

    Source:
        This package's own; the test is one half of mutual nearest neighbours.
    """
    claimed = matches.score.new_full((int(matches.index.max()) + 1,), -math.inf)
    claimed.scatter_reduce_(0, matches.index.flatten(), matches.score.flatten(), "amax")
    ahead = claimed[matches.index[:, 0]] - matches.score[:, 0]
    return ((ahead - config.sure_below) / (config.new_above - config.sure_below)).clamp(0, 1)


def alike(key: Float[Tensor, "h w c"], config: CompleteConfig) -> Matches:
    """Find the cells of a frame that look most like each of its cells, itself left out."""
    search = MatchConfig(
        top_k=config.neighbours + 1,
        radius_cells=config.radius_cells,
        temperature=config.temperature,
        exempt_permanent=False,
    )
    found = match(key, key[None], torch.zeros(1, dtype=torch.bool, device=key.device), search)
    itself = found.index == torch.arange(len(found.index), device=key.device)[:, None]
    weight = found.weight.masked_fill(itself, 0)
    return found._replace(weight=weight / weight.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny))


def complete(
    labels: Float[Tensor, "m o1 l"], new: Float[Tensor, " m"], neighbours: Matches, steps: int
) -> Float[Tensor, "m o1 l"]:
    """Give new cells labels of cells in the same frame that look alike, and that are known.

    Args:
        labels: Carried labels, background first; of each cell so many parts.
        new: See `novelty`.
        neighbours: See `alike`.
        steps: How many cells a label may travel.

    Returns:
        Labels whose channels sum to 1. What is known is as it was; parts of a cell that is new move alike.

    Source:
        Random walks that start at new cells and end at known ones (Grady 2006), by so many Jacobi steps.
    """
    own = labels.mean(dim=2)
    mixed, share = own, new[:, None]
    for _ in range(steps):
        around = F.embedding_bag(neighbours.index, mixed, per_sample_weights=neighbours.weight, mode="sum")
        mixed = own + share * (around - own)
    moved = (labels + (mixed - own)[:, :, None]).clamp(0, 1)
    return moved / moved.sum(dim=1, keepdim=True).clamp_min(torch.finfo(moved.dtype).tiny)
