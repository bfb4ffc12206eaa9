"""What label propagation remembers of a mask, carries to a frame, and shows of it."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from torch.nn import functional as F

from selfvos.ops import masks as mask_ops
from selfvos.ops.label_map import Layer, PixelGrid, at_places
from selfvos.tracking.framing import Framing
from selfvos.tracking.memory import Memory
from selfvos.tracking.settings import LabelConfig, TrackConfig

_FOREIGN = 0.01
"""Share that is not background from which a label tells of objects: the same that alignment goes by."""


def empty_memory(config: TrackConfig) -> Memory:
    """Return a memory for a new video."""
    memory, leading = config.memory, config.feature.whiten is not None
    return Memory(memory.recent, permanent=memory.permanent, offsets=memory.offsets, leading=leading)


def telling_cells(background: Float[Tensor, "1 1 h2 w2"], scale: int) -> Bool[Tensor, "h w"]:
    """Return the cells of which not all parts, and those of their neighbours, are background.

    Neighbours count because labels may be carried from beside a cell; see `selfvos.ops.alignment`.
    """
    foreign = F.max_pool2d(1 - background, scale)
    return F.max_pool2d(foreign, 3, stride=1, padding=1)[0, 0] > _FOREIGN


def with_changes(
    coarse: Float[Tensor, "1 o1 h w"], refined: Float[Tensor, "1 o1 y x"], stride: int
) -> Float[Tensor, "1 o1 h w"]:
    """Return coarse labels with what refining them changed, and nothing of what resizing them does.

    A refined mask is as blurred as interpolation of the coarse one makes it, and averaged over cells again: if it goes
    back into memory as it is, outlines wear off a little in every frame, also where nothing was refined.

    Args:
        coarse: Background first.
        refined: Made from the coarse ones, interpolated.
        stride: Pixels per label.

    Source:
        This package's own.
    """
    blurred = mask_ops.to_cells(mask_ops.to_pixels(coarse, stride), stride)
    changed = (coarse + mask_ops.to_cells(refined, stride) - blurred).clamp(0, 1)
    return changed / changed.sum(dim=1, keepdim=True).clamp_min(torch.finfo(changed.dtype).tiny)


def settle(carried: Float[Tensor, "o1 h w"], config: LabelConfig) -> Float[Tensor, "o1 h w"]:
    """Return what is shown and remembered of carried labels, background first."""
    if config.object_gain != 1:
        carried = torch.cat([carried[:1], carried[1:] * config.object_gain])
    return _stretch(carried, carried) if config.min_max == "carried" else carried


def stretch_shown(layer: Layer, grid: PixelGrid) -> Layer:
    """Stretch a channel so that its picture runs from 0 to 1.

    Args:
        layer: All of it.
        grid: Pixels of the picture.

    Source:
        Public test code of UVC, DINO and VFS: pixels are stretched, not cells. Interpolation does not mind which.
    """
    maps = layer.values[None]
    return layer._replace(values=_stretch(maps, at_places(maps, *grid.places()))[0])


def draw_cells(
    drawn: Float[Tensor, "1 o y x"], framing: Framing, stride: int, how: Literal["bilinear", "nearest", "subsample"]
) -> Float[Tensor, "1 o h w"]:
    """Return the labels of cells, each taken from one place of a mask at native size."""
    return at_places(drawn[0], *framing.places(stride, how))[None]


def harden(
    channel: Int32[np.ndarray, "y x"], channels: int, framing: Framing, stride: int, config: LabelConfig
) -> Float[Tensor, "1 o1 h w"]:
    """Return the channel that one pixel of each cell got, as labels.

    Args:
        channel: At native size.
        channels: How many there are.
        framing: Sizes of the video.
        stride: Pixels of the padded frame per cell.
        config: Says which pixel.
    """
    how = "subsample" if config.down == "subsample" else "nearest"
    rows, columns = (place.astype(np.int64) for place in framing.places(stride, how))
    picked = torch.from_numpy(channel[rows[:, None], columns])
    return (picked == torch.arange(channels)[:, None, None]).float()[None]


def _stretch(maps: Float[Tensor, "o h w"], picture: Float[Tensor, "o y x"]) -> Float[Tensor, "o h w"]:
    low, high = picture.amin(dim=(1, 2), keepdim=True), picture.amax(dim=(1, 2), keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low), 0.0)
