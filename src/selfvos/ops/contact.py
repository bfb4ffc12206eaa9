"""Objects do not appear apart from themselves."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from selfvos.ops.masks import highest_around

_PRESENT = 0.5
PART = 0.25
"""Probability from which a cell belongs to a part of an object: parts are wider than what is shown of them."""


def drop_apart(
    now: Float[Tensor, "o h w"], before: Float[Tensor, "o h w"], reach_cells: float
) -> Bool[Tensor, "o h w"]:
    """Find the parts of objects that appear too far from where the object was in the frame before.

    A first frame that is matched everywhere finds lookalikes anywhere, and each, once remembered, is found again for
    ever. An object that was nowhere may appear anywhere.

    Args:
        now: Probability of each object in each cell.
        before: The same of the frame before.
        reach_cells: How far away a part may be that does not touch the object, in cells along rows or columns.

    Returns:
        The cells of those parts.

    Source:
        This package's own.
    """
    present, parts = before > _PRESENT, now > PART
    joined = parts & _around(present, int(min(reach_cells, max(now.shape))))
    while not (grown := parts & _around(joined, 1)).equal(joined):
        joined = grown
    return parts & ~joined & present.any(dim=2, keepdim=True).any(dim=1, keepdim=True)


def without(labels: Float[Tensor, "o1 h2 w2"], apart: Bool[Tensor, "o h w"]) -> Float[Tensor, "o1 h2 w2"]:
    """Return labels, background first, in which cells of an object are background; a cell may have many labels."""
    scale = labels.shape[1] // apart.shape[1]
    gone = F.interpolate(apart[None].float(), scale_factor=scale, mode="nearest")[0] * labels[1:]
    return torch.cat([labels[:1] + gone.sum(dim=0, keepdim=True), labels[1:] - gone])


def _around(cells: Bool[Tensor, "o h w"], reach: int) -> Bool[Tensor, "o h w"]:
    """Return the cells that are so close to some, along rows and columns."""
    return highest_around(cells.float(), reach) > 0
