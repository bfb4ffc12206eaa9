"""Labels finer than cells, carried along matches to where the pictures agree: a match alone knows whole cells."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int8, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.matching import Matches
from selfvos.ops.threads import kernel_threads

EVEN = 0.99
"""Probability from which all of a cell is taken for one thing."""
_AROUND = 1
_WHITE = 255.0**2


@dataclass(frozen=True, kw_only=True)
class AlignConfig:
    """How far labels may shift against the cells that carry them."""

    reach: int = 1
    """Steps along rows and columns, each as large as a label; at least 1."""
    inertia: float = 0.01
    """What a step costs, squared, as a squared difference of colours in [0, 1] summed over a cell and its surroundings:
    where nothing is to be seen, labels stay."""

    def __post_init__(self) -> None:
        if self.reach < 1 or not self.inertia >= 0:
            raise UsageError(f"reach must be at least 1 and inertia >= 0, got {self.reach} and {self.inertia}")


def shrink(image: Float[Tensor, "1 3 y x"], stride: int) -> UInt8[Tensor, "y2 x2 3"]:
    """Return a frame with one pixel for each label.

    Args:
        image: RGB in [0, 1].
        stride: Pixels per label.
    """
    small = F.avg_pool2d(image, stride)[0].permute(1, 2, 0)
    return (small * 255).round().clamp(0, 255).to(torch.uint8).contiguous()


def aligned_readout(
    picture: UInt8[Tensor, "y x 3"],
    pictures: UInt8[Tensor, "n y x 3"],
    labels: Float[Tensor, "r l"],
    matches: Matches,
    scale: int,
    config: AlignConfig,
) -> Float[Tensor, "m l"]:
    """Mix the labels of matched memory cells, each shifted to where its surroundings look most like the query cell's.

    Args:
        picture: The frame, one pixel for each label.
        pictures: Those of memory.
        labels: Of all memory cells: for each channel all scale * scale parts of a cell, row by row.
        matches: Memory cells that the cells of the frame were matched with.
        scale: Rows and columns of labels in a cell.
        config: How far they may shift.

    Returns:
        The labels of the frame's cells. Beyond the border of a frame its labels and pixels repeat. Where a cell and its
        neighbours all have one label, nothing is shifted.

    Source:
        This package's own; block matching within the reach of a cell.
    """
    shifts = best_shifts(picture, pictures, labels, matches, scale, config)
    return shifted_readout(labels, matches, shifts, (picture.shape[0], picture.shape[1]), scale)


def best_shifts(
    picture: UInt8[Tensor, "y x 3"],
    pictures: UInt8[Tensor, "n y x 3"],
    labels: Float[Tensor, "r l"],
    matches: Matches,
    scale: int,
    config: AlignConfig,
) -> Int8[Tensor, "m k 2"]:
    """Return by how many labels each matched cell is shifted, down and right; see `aligned_readout`."""
    if picture.device.type != "cpu":
        return best_shifts_plain(picture, pictures, labels, matches, scale, config)
    from selfvos.ops.kernels import aligned_readout as kernel

    even = kernel.even_cells(labels.float().contiguous().numpy(), scale**2)
    return torch.from_numpy(choose_shifts((picture, pictures), even, matches, scale, config))


def shifted_readout(
    labels: Float[Tensor, "r l"], matches: Matches, shifts: Int8[Tensor, "m k 2"], size: tuple[int, int], scale: int
) -> Float[Tensor, "m l"]:
    """Mix the labels of matched memory cells, each shifted.

    Args:
        labels: See `aligned_readout`.
        matches: Memory cells that the cells of the frame were matched with.
        shifts: By how many labels each is shifted, down and right.
        size: Rows and columns of labels in a frame.
        scale: Rows and columns of labels in a cell.
    """
    if labels.device.type != "cpu":
        return shifted_readout_plain(labels, matches, shifts, size, scale)
    from selfvos.ops.kernels import aligned_readout as kernel

    values, found = labels.float().contiguous().numpy(), _arrays(matches)
    workers = kernel_threads()
    return torch.from_numpy(kernel.carry(values, found, shifts.numpy(), scale=scale, size=size, workers=workers))


def choose_shifts(
    pictures: tuple[UInt8[Tensor, "y x 3"], UInt8[Tensor, "n y x 3"]],
    even: Int64[np.ndarray, " r"],
    matches: Matches,
    scale: int,
    config: AlignConfig,
) -> Int8[np.ndarray, "m k 2"]:
    """Return by how many labels each matched cell is shifted, down and right, on the CPU.

    Args:
        pictures: The frame, and those of memory, one pixel for each label.
        even: Which channel all parts of a memory cell show, or -1: between such cells nothing is shifted.
        matches: Memory cells that the cells of the frame were matched with.
        scale: Rows and columns of labels in a cell.
        config: How far they may shift.
    """
    from selfvos.ops.kernels import aligned_readout as kernel

    shown = pictures[0].contiguous().numpy(), pictures[1].contiguous().numpy()
    costs = {"reach": config.reach, "inertia": config.inertia * _WHITE}
    return kernel.choose_shifts(shown, even, _arrays(matches), scale=scale, workers=kernel_threads(), **costs)


def _arrays(matches: Matches) -> tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"]]:
    return matches.index.contiguous().numpy(), matches.weight.float().contiguous().numpy()


def best_shifts_plain(
    picture: UInt8[Tensor, "y x 3"],
    pictures: UInt8[Tensor, "n y x 3"],
    labels: Float[Tensor, "r l"],
    matches: Matches,
    scale: int,
    config: AlignConfig,
) -> Int8[Tensor, "m k 2"]:
    """Do the same with torch alone, on any device; see `best_shifts`, whose oracle this is."""
    here = _patches(picture[None], scale, (0, 0), 0)[:, None]
    grid = (picture.shape[0] // scale, picture.shape[1] // scale)
    fixed = (even_channels(labels, len(pictures), grid, scale) >= 0)[matches.index]
    best = torch.full(matches.index.shape, torch.inf, device=picture.device)
    chosen = torch.zeros((*matches.index.shape, 2), dtype=torch.int8, device=picture.device)
    for number, shift in enumerate(_shifts(config.reach)):
        there = _patches(pictures, scale, shift, config.reach)[matches.index]
        cost = (here - there).square().sum(dim=2) + config.inertia * _WHITE * (shift[0] ** 2 + shift[1] ** 2)
        better = (cost < best) & ~(fixed & (number > 0))
        best, chosen = torch.where(better, cost, best), torch.where(better[..., None], chosen.new_tensor(shift), chosen)
    return chosen


def shifted_readout_plain(
    labels: Float[Tensor, "r l"], matches: Matches, shifts: Int8[Tensor, "m k 2"], size: tuple[int, int], scale: int
) -> Float[Tensor, "m l"]:
    """Do the same with torch alone, on any device; see `shifted_readout`, whose oracle this is."""
    frames = len(labels) * scale**2 // (size[0] * size[1])
    fine, reach = _fine(labels, frames, size, scale), int(shifts.abs().max())
    carried = labels.new_zeros(len(matches.index), labels.shape[1])
    for shift in _shifts(reach):
        moved = F.pixel_unshuffle(_shifted(fine, shift, reach), scale).flatten(2).transpose(1, 2).flatten(0, 1)
        weight = matches.weight * (shifts == shifts.new_tensor(shift)).all(dim=2)
        carried += F.embedding_bag(matches.index, moved, per_sample_weights=weight, mode="sum")
    return carried


def _shifts(reach: int) -> list[tuple[int, int]]:
    """Return all shifts, none first."""
    steps = range(-reach, reach + 1)
    return [(0, 0), *((y, x) for y in steps for x in steps if (y, x) != (0, 0))]


def _shifted(maps: Float[Tensor, "n c y x"], shift: tuple[int, int], reach: int) -> Float[Tensor, "n c y x"]:
    height, width = maps.shape[2:]
    padded = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
    return padded[:, :, reach + shift[0] :, reach + shift[1] :][:, :, :height, :width]


def _patches(pictures: UInt8[Tensor, "n y x 3"], scale: int, shift: tuple[int, int], reach: int) -> Tensor:
    """Return every cell with its surroundings, seen so many pixels away (r p)."""
    maps = pictures.permute(0, 3, 1, 2).float()
    edge = _AROUND + reach
    padded = F.pad(maps, (edge, edge, edge, edge), mode="replicate")
    height, width = maps.shape[2] + 2 * _AROUND, maps.shape[3] + 2 * _AROUND
    seen = padded[:, :, reach + shift[0] :, reach + shift[1] :][:, :, :height, :width]
    return F.unfold(seen, scale + 2 * _AROUND, stride=scale).transpose(1, 2).flatten(0, 1)


def _fine(labels: Float[Tensor, "r l"], frames: int, size: tuple[int, ...], scale: int) -> Float[Tensor, "n c y x"]:
    grid = size[0] // scale, size[1] // scale
    return F.pixel_shuffle(labels.unflatten(0, (frames, *grid)).permute(0, 3, 1, 2), scale)


def even_channels(labels: Float[Tensor, "r l"], frames: int, grid: tuple[int, int], scale: int) -> Int64[Tensor, " r"]:
    """Return which channel all parts of a cell and of all its neighbours show, or -1.

    Args:
        labels: See `aligned_readout`.
        frames: How many frames they are of.
        grid: Rows and columns of cells in a frame.
        scale: Rows and columns of labels in a cell.
    """
    even = (labels.unflatten(1, (-1, scale**2)).amin(dim=2) >= EVEN).float()
    maps = even.unflatten(0, (frames, *grid)).permute(0, 3, 1, 2)
    best, channel = (-F.max_pool2d(-maps, 3, stride=1, padding=1)).max(dim=1)
    return torch.where(best > 0, channel, -1).flatten()
