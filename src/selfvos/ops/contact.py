"""Objects do not appear apart from themselves."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

_PRESENT = 0.5
_PART = 0.25
"""Probability from which a cell belongs to a part of an object: parts are wider than what is shown of them."""
_TOUCHING = np.ones((3, 3), bool)


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
    apart = torch.zeros(now.shape, dtype=torch.bool)
    present = (before > _PRESENT).cpu().numpy()
    parts = (now > _PART).cpu().numpy()
    for o in np.flatnonzero(present.any(axis=(1, 2)) & parts.any(axis=(1, 2))):
        apart[o] = torch.from_numpy(_apart(parts[o], present[o], reach_cells))
    return apart.to(now.device)


def without(labels: Float[Tensor, "o1 h2 w2"], apart: Bool[Tensor, "o h w"]) -> Float[Tensor, "o1 h2 w2"]:
    """Return labels, background first, in which cells of an object are background; a cell may have many labels."""
    scale = labels.shape[1] // apart.shape[1]
    gone = F.interpolate(apart[None].float(), scale_factor=scale, mode="nearest")[0] * labels[1:]
    return torch.cat([labels[:1] + gone.sum(dim=0, keepdim=True), labels[1:] - gone])


def _apart(
    parts: Bool[np.ndarray, "h w"], present: Bool[np.ndarray, "h w"], reach_cells: float
) -> Bool[np.ndarray, "h w"]:
    numbered, _ = ndimage.label(parts, structure=_TOUCHING)
    near = ndimage.distance_transform_cdt(~present, "chessboard") <= reach_cells
    return parts & ~np.isin(numbered, np.unique(numbered[near & parts]))
