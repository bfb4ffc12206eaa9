"""Outlines that move to edges of the picture, without small objects being smoothed away."""

import math
from collections import defaultdict

import torch
from jaxtyping import Float
from torch import Tensor

from selfvos.ops.guided_filter import guided_filter
from selfvos.tracking.labels import few
from selfvos.tracking.propagator import SoftMasks

_SIDE_PER_RADIUS = 6
"""A window that reaches farther than a sixth of an object's side to each side takes away more than its outline."""
_PRESENT = 0.5
_LEAST_PX = 2
"""A smaller reach is not worth its time."""


def at_edges(
    image: Float[Tensor, "1 3 y x"], soft: SoftMasks, edge_px: int, epsilon: float = 1e-3
) -> Float[Tensor, "1 o1 y x"]:
    """Return masks in pixels whose outlines have moved to edges of the picture.

    Windows get smaller for objects that are small beside them; outlines of the smallest ones stay where they are.

    Args:
        image: RGB in [0, 1], at the size of the padded frame.
        soft: Masks, background first.
        edge_px: How far outlines may move, >= 1.
        epsilon: Variance of colour below which a window counts as even, > 0.

    Source:
        This package's own, with the guided filter of He et al. 2010.
    """
    maps = torch.empty(1, soft.cells.shape[1], *image.shape[2:], device=image.device)
    for part in few(maps.shape[1]):
        some = soft.part(part).in_pixels()
        maps[:, part] = guided_filter(image, some, radius_px=edge_px, epsilon=epsilon).clamp(0, 1)
    reaches = _reaches(soft, edge_px)
    for reach, channels in reaches.items():
        for channel in channels:
            plain = soft.part(slice(channel, channel + 1)).in_pixels()
            mask = guided_filter(image, plain, radius_px=reach, epsilon=epsilon).clamp(0, 1) if reach else plain
            maps[:, channel : channel + 1] = mask
    if reaches:
        maps[:, :1] = (1 - maps[:, 1:].sum(dim=1, keepdim=True)).clamp(0, 1)
    return maps


def _reaches(soft: SoftMasks, edge_px: int) -> dict[int, list[int]]:
    """Return channels of objects that are small beside the usual window, by how far theirs reaches; 0 for no window."""
    found: dict[int, list[int]] = defaultdict(list)
    # Faint traces of an object elsewhere, such as on one that looks like it, say nothing of its size.
    for place, cells in enumerate((soft.cells[0, 1:] > _PRESENT).sum(dim=(1, 2)).tolist()):
        fits, reach = math.sqrt(cells) * soft.stride / _SIDE_PER_RADIUS, edge_px
        while reach > fits and reach >= _LEAST_PX:
            reach //= 2
        # What is not there at all costs no second look.
        if reach != edge_px and cells > 0:
            found[reach if reach >= _LEAST_PX else 0].append(place + 1)
    return found
