"""From soft masks on a coarse grid to one label for every pixel of the video."""

from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class PixelGrid:
    """Where the pixels of a video lie among cells."""

    cells: tuple[int, int]
    """Rows and columns of them."""
    stride: float
    """Pixels of the resized frame per cell."""
    resized: tuple[int, int]
    """Height and width that the frame was resized to; what cells cover beyond is padding."""
    native: tuple[int, int]
    """Height and width of the video, or of whatever else pixels are wanted of."""
    up: Up = "bilinear"
    """Whether pixels between cell centres get a mixture, or the value of the cell that they lie in."""

    def places(self) -> tuple[Float64[np.ndarray, " y"], Float64[np.ndarray, " x"]]:
        """Return where each native row and column lies among those of the cells."""
        sides = zip(self.cells, self.resized, self.native, strict=True)
        rows, columns = (_places(cells, r / (n * self.stride), n, self.up) for cells, r, n in sides)
        return rows, columns


class Layer(NamedTuple):
    """One channel of soft masks on a part of the cells; it is 0 everywhere else."""

    channel: int
    values: Float[Tensor, "h w"]
    """Rows and columns at an inner border of this part are 0 as well: pixels mix two of them."""
    top: int = 0
    """First row of the part."""
    left: int = 0
    """First column of the part."""

    def whole(self, cells: tuple[int, int]) -> "Layer":
        """Return it on all cells."""
        if self.values.shape == cells:
            return self
        values = self.values.new_zeros(cells)
        h, w = self.values.shape
        values[self.top : self.top + h, self.left : self.left + w] = self.values
        return Layer(self.channel, values)


class Decision:
    """Gives every pixel to the strongest of channels that come one after the other.

    A picture of probabilities exists for the strongest alone, however many channels there are, and a channel costs as
    much time as its part of the picture takes.

    Source:
        Label propagation: arg max after bilinear interpolation (cell centres kept) to native size. Departure: where
        the frame was resized, one interpolation leads from cells to native pixels, not two in a row.
    """

    def __init__(self, grid: PixelGrid, channels: int) -> None:
        """Begin with pixels that belong to nobody.

        Args:
            grid: Which pixels, and where.
            channels: How many may come; every pixel must be in the part of one that does.
        """
        self._grid = grid
        self._channels = channels
        self._rows, self._columns = grid.places()
        self._best = np.full(grid.native, -np.inf, np.float32)
        self._channel = np.full(grid.native, channels, np.int32)

    def add(self, layer: Layer) -> None:
        """Let a channel compete; in any order, since the lowest wins among equals, and so background wins ties."""
        rows, columns, places = _cut(layer, self._rows, self._columns)
        best, channel = self._best[rows, columns], self._channel[rows, columns]
        values = layer.values.detach().float()
        if values.device.type != "cpu":
            value = at_places(values[None], *places)[0].cpu().numpy()
            wins = (value > best) | ((value == best) & (layer.channel < channel))
            best[wins], channel[wins] = value[wins], layer.channel
            return
        # Compiled code is loaded when the first mask is made, not whenever this module is imported.
        from selfvos.ops.kernels import label_map as kernel

        kernel.strengthen(values.contiguous().numpy(), places, layer.channel, best, channel)

    def result(self) -> LabelMap:
        """Return what all channels that came have got."""
        from selfvos.ops.kernels import label_map as kernel

        return LabelMap(self._channel, *kernel.add_up(self._best, self._channel, self._channels))


def label_map(
    maps: Float[Tensor, "o1 h w"],
    *,
    stride: float,
    resized: tuple[int, int],
    native: tuple[int, int],
    up: Up = "bilinear",
) -> LabelMap:
    """Interpolate soft masks to the native size and take the strongest channel of every pixel; see `Decision`.

    Args:
        maps: Probability of each channel in each cell, background first.
        stride: As in `PixelGrid`, like all that follows.
        resized: Height and width that the frame was resized to.
        native: Height and width of the result.
        up: What pixels get of cells.
    """
    cells = maps.shape[1], maps.shape[2]
    grid = PixelGrid(cells=cells, stride=stride, resized=resized, native=native, up=up)
    if maps.device.type != "cpu":
        return label_map_plain(maps, *grid.places())
    decision = Decision(grid, len(maps))
    for channel, values in enumerate(maps):
        decision.add(Layer(channel, values))
    return decision.result()


def layer_in_pixels(layer: Layer, grid: PixelGrid) -> tuple[slice, slice, Float[Tensor, "y x"]]:
    """Return the rows and columns of pixels that a layer reaches, and their values."""
    rows, columns, places = _cut(layer, *grid.places())
    return rows, columns, at_places(layer.values[None], *places)[0]


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
    cells = maps.shape[1], maps.shape[2]
    return at_places(maps, *PixelGrid(cells=cells, stride=stride, resized=resized, native=native, up=up).places())


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


def _places(cells: int, scale: float, count: int, up: Up = "bilinear") -> Float64[np.ndarray, " count"]:
    places = (np.arange(count) + 0.5) * scale
    return (places - 0.5 if up == "bilinear" else np.floor(places)).clip(0, cells - 1)


def _cut(layer: Layer, rows: np.ndarray, columns: np.ndarray) -> tuple[slice, slice, tuple[np.ndarray, np.ndarray]]:
    """Return which of the ascending places of pixels lie in a layer, and where in it."""
    found = []
    for places, first, count in zip((rows, columns), (layer.top, layer.left), layer.values.shape, strict=True):
        start, stop = np.searchsorted(places, first, "left"), np.searchsorted(places, first + count - 1, "right")
        found.append(slice(int(start), int(stop)))
    return found[0], found[1], (rows[found[0]] - layer.top, columns[found[1]] - layer.left)


def _lerp(maps: Tensor, places: np.ndarray, dim: int) -> Tensor:
    first = torch.from_numpy(places.astype(np.int64)).to(maps.device)
    second = (first + 1).clamp_max(maps.shape[dim] - 1)
    share = torch.from_numpy(places - np.floor(places)).to(maps)
    share = share.view(-1, *[1] * (maps.ndim - 1 - dim))
    start = maps.index_select(dim, first)
    return start + share * (maps.index_select(dim, second) - start)
