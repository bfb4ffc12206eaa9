"""A rough region, drawn in seconds, with its outline on the edges of the frame."""

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch.nn import functional as F

from selfvos.ops.guided_filter import guided_filter

_SHORT_SIDE_PX = 480
_REACHES_PX = (16, 6)
"""How far outlines may move, in pixels of a frame of that size, and less in smaller ones: first far, then close."""


def smart_outline(frame: UInt8[np.ndarray, "y x 3"], region: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Move the outline of a region to edges of its frame nearby.

    Args:
        frame: RGB.
        region: About what the object covers; a few percent of the frame's shorter side may be missing or too much.

    Returns:
        The region as the picture's edges have it; empty only if it was.

    Source:
        Guided filter with a colour guide (He et al. 2010), twice, with a window that gets smaller; own choice of sizes.
    """
    if not region.any():
        return region
    height, width = region.shape
    scale = min(1.0, _SHORT_SIDE_PX / min(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    image = torch.from_numpy(np.ascontiguousarray(frame)).movedim(-1, 0)[None].float() / 255
    soft = torch.from_numpy(np.ascontiguousarray(region))[None, None].float()
    if size != (height, width):
        image, soft = (F.interpolate(x, size=size, mode="bilinear", antialias=True) for x in (image, soft))
    for reach in _REACHES_PX:
        soft = guided_filter(image, soft, radius_px=max(3, round(reach * min(size) / _SHORT_SIDE_PX))).clamp(0, 1)
        soft = ((soft - 0.5) * 4 + 0.5).clamp(0, 1)
    if size != (height, width):
        soft = F.interpolate(soft, size=(height, width), mode="bilinear", align_corners=False)
    found = (soft[0, 0] > 0.5).numpy()
    return found if found.any() else region
