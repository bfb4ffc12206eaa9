"""From soft masks on a coarse grid to one label for every pixel of the video."""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32
from torch import Tensor


class LabelMap(NamedTuple):
    """The strongest channel of every pixel, and what each channel got."""

    channel: Int32[np.ndarray, "y x"]
    """Channel of each pixel; the lowest wins among equals, so background wins ties."""
    pixels: Float64[np.ndarray, " o1"]
    """Pixels of each channel."""
    total: Float64[np.ndarray, " o1"]
    """Sum of each channel's values over its pixels."""
    peak: Float64[np.ndarray, " o1"]
    """Largest of each channel's values over its pixels; 0 where it has none."""


Up = Literal["bilinear", "nearest"]
"""How pixels get their values from cells."""


def label_map(
    maps: Float[Tensor, "o1 h w"],
    *,
    stride: float,
    resized: tuple[int, int],
    native: tuple[int, int],
    up: Up = "bilinear",
) -> LabelMap:
    """Interpolate soft masks to the native size and take the strongest channel of every pixel.

    On the CPU this happens row by row in compiled code; a picture of probabilities per object is never written.

    Args:
        maps: Probability of each channel in each cell, background first.
        stride: Pixels of the resized frame per cell of `maps`.
        resized: Height and width that the frame was resized to; what `maps` covers beyond is padding.
        native: Height and width of the result.
        up: Whether pixels between cell centres get a mixture, or the value of the cell that they lie in.

    Source:
        Label propagation: arg max after bilinear interpolation (cell centres kept) to native size. Departure: where
        the frame was resized, one interpolation leads from cells to native pixels, not two in a row.
    """
    rows, columns = _grid(maps, stride, resized, native, up)
    if maps.device.type != "cpu":
        return label_map_plain(maps, rows, columns)
    # Compiled code is loaded when the first mask is made, not whenever this module is imported.
    from selfvos.ops.kernels import label_map as kernel

    channel, found = kernel.label_map(maps.detach().float().contiguous().numpy(), rows, columns)
    return LabelMap(channel, *found)


def native_maps(
    maps: Float[Tensor, "o h w"],
    *,
    stride: float,
    resized: tuple[int, int],
    native: tuple[int, int],
    up: Up = "bilinear",
) -> Float[Tensor, "o y x"]:
    """Interpolate soft maps to the native size, as `label_map` does before it takes the strongest.

    For arguments see there; any channels will do.
    """
    return at_places(maps, *_grid(maps, stride, resized, native, up))


def at_places(
    maps: Float[Tensor, "o h w"], rows: Float64[np.ndarray, " y"], columns: Float64[np.ndarray, " x"]
) -> Float[Tensor, "o y x"]:
    """Interpolate maps, bilinear, at the crossings of rows and columns.

    Args:
        maps: Any channels.
        rows: Between 0 and h - 1.
        columns: Between 0 and w - 1.
    """
    return _lerp(_lerp(maps.float(), rows, dim=1), columns, dim=2)


def label_map_plain(
    maps: Float[Tensor, "o1 h w"], rows: Float64[np.ndarray, " y"], columns: Float64[np.ndarray, " x"]
) -> LabelMap:
    """Do the same with torch alone, on any device, in the memory of a picture per channel: the kernel's oracle.

    Args:
        maps: As in `label_map`.
        rows: Where each pixel row lies among the rows of `maps`, in [0, h - 1].
        columns: Where each pixel column lies among the columns of `maps`, in [0, w - 1].
    """
    picture = at_places(maps, rows, columns)
    best, channel = picture.max(dim=0)
    flat, values = channel.flatten(), best.flatten().double()
    pixels = torch.bincount(flat, minlength=len(maps)).double()
    total = torch.zeros_like(pixels).index_add_(0, flat, values)
    peak = torch.zeros_like(pixels).scatter_reduce_(0, flat, values, "amax")
    numbers = (tensor.cpu().numpy() for tensor in (pixels, total, peak))
    return LabelMap(channel.int().cpu().numpy(), *numbers)


def _grid(
    maps: Tensor, stride: float, resized: tuple[int, int], native: tuple[int, int], up: Up
) -> tuple[Float64[np.ndarray, " y"], Float64[np.ndarray, " x"]]:
    """Return where each native row and column lies among those of the maps."""
    rows, columns = (
        _places(cells, r / (n * stride), n, up) for cells, r, n in zip(maps.shape[1:], resized, native, strict=True)
    )
    return rows, columns


def _places(cells: int, scale: float, count: int, up: Up = "bilinear") -> Float64[np.ndarray, " count"]:
    places = (np.arange(count) + 0.5) * scale
    return (places - 0.5 if up == "bilinear" else np.floor(places)).clip(0, cells - 1)


def _lerp(maps: Tensor, places: np.ndarray, dim: int) -> Tensor:
    first = torch.from_numpy(places.astype(np.int64)).to(maps.device)
    second = (first + 1).clamp_max(maps.shape[dim] - 1)
    share = torch.from_numpy(places - np.floor(places)).to(maps)
    share = share.view(-1, *[1] * (maps.ndim - 1 - dim))
    start = maps.index_select(dim, first)
    return start + share * (maps.index_select(dim, second) - start)
