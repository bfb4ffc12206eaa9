"""Labels finer than cells, fused by colour: each part of a cell listens to those matched parts that look like it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int8, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from selfvos.errors import UsageError
from selfvos.ops.alignment import EVEN, even_channels
from selfvos.ops.matching import Matches

PRESENT = 0.01
"""Mean probability from which an object is in a cell in full; less of it does not become more by its colours alone."""


@dataclass(frozen=True, kw_only=True)
class FusionConfig:
    """How parts of cells listen to parts of matched cells."""

    colour: float = 0.02
    """By how much a colour of the same thing differs between frames: standard deviation of a channel in [0, 1], > 0.
    What differs by far more is not listened to."""
    reach: int = 1
    """Steps along rows and columns, each as large as a label, around the part that lies where a cell and its match
    agree; at least 0."""
    inertia: float = 2.0
    """What such a step costs, squared, in the exponent of a weight, >= 0."""
    around_cells: int = 4
    """An object keeps the area that matches alone give it, in the cells of its outlines that lie so close to each
    other along rows and columns; at least 0. Else whatever shares the colours of what is beside it would shrink."""

    def __post_init__(self) -> None:
        if not (self.colour > 0 and math.isfinite(self.colour)):
            raise UsageError(f"colour must be > 0 and finite, got {self.colour}")
        if self.reach < 0 or not self.inertia >= 0 or self.around_cells < 0:
            found = f"{self.reach}, {self.inertia} and {self.around_cells}"
            raise UsageError(f"reach, inertia and around_cells must be at least 0, got {found}")


class Matched(NamedTuple):
    """A frame and what it was matched with, one pixel for each label."""

    picture: UInt8[Tensor, "y x 3"]
    pictures: UInt8[Tensor, "n y x 3"]
    """Those of memory."""
    matches: Matches
    """Memory cells that the cells of the frame were matched with."""
    shifts: Int8[Tensor, "m k 2"]
    """By how many labels each is shifted, down and right; see `selfvos.ops.alignment`."""
    scale: int
    """Rows and columns of labels in a cell."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells in a frame."""
        return self.picture.shape[0] // self.scale, self.picture.shape[1] // self.scale


def fused(
    carried: Float[Tensor, "m l"], labels: Float[Tensor, "r l"], found: Matched, config: FusionConfig
) -> Float[Tensor, "m l"]:
    """Return labels that matches carried, told apart by colour within the cells that show more than one thing.

    A part of a cell of the frame gets the mean of the labels of all parts near its place in the matched cells, weighed
    by the weight of the match times exp(-d / 2 - s): d is the mean squared difference of their three colours, in units
    of `FusionConfig.colour` squared, s what the steps between both cost. Then the means of an object over cells move to
    what they were. An object that a cell shows less than `PRESENT` of takes part in that share. Cells that were carried
    one thing alone, or whose matches all show one thing and so do their neighbours, stay as they are.

    Args:
        carried: What `selfvos.ops.alignment.aligned_readout` returns: for each channel all parts of a cell, row by row.
        labels: Of all memory cells.
        found: The frame and what it was matched with.
        config: How parts listen to each other.

    Returns:
        Labels in [0, 1] whose sum over channels is, in each part, the mean sum of its cell before.

    Source:
        Patch-based label fusion of medical atlases (Coupe et al. 2011, Rousseau et al. 2011), with patches of one
        pixel, candidates from learned matches, and areas kept, which is this package's own.
    """
    parts = found.scale**2
    even = carried.unflatten(1, (-1, parts)).amin(dim=2).amax(dim=1) >= EVEN
    busy = ~(even | _decided(labels, found))
    if not busy.any():
        return carried
    cells = busy.nonzero()[:, 0]
    before = carried[cells].unflatten(1, (-1, parts))
    there = (before.mean(dim=2, keepdim=True) / PRESENT).clamp_max(1)
    mixed = before.lerp(_mixed(labels, found, cells, config), there.expand_as(before))
    missing = _spread((before - mixed).mean(dim=2), busy, found.grid, config.around_cells)
    moved = (mixed + missing[..., None] * there).clamp(0, 1)
    total = before.sum(dim=1).mean(dim=1)[:, None, None]
    sums = moved.sum(dim=1, keepdim=True)
    after = torch.where(sums > 0, moved * total / sums.clamp_min(torch.finfo(sums.dtype).tiny), before)
    return carried.index_copy(0, cells, after.flatten(1))


def _decided(labels: Float[Tensor, "r l"], found: Matched) -> Bool[Tensor, " m"]:
    """Say whose matches all show one thing, as do the neighbours of these."""
    shown = even_channels(labels, len(found.pictures), found.grid, found.scale)[found.matches.index]
    counts = found.matches.weight > 0
    one = shown.where(counts, -1).amax(dim=1, keepdim=True)
    return ((shown == one) & (shown >= 0) | ~counts).all(dim=1)


def _mixed(
    labels: Float[Tensor, "r l"], found: Matched, cells: Int64[Tensor, " b"], config: FusionConfig
) -> Float[Tensor, "b c p"]:
    h, w = found.grid
    height, width = found.picture.shape[:2]
    scale, index = found.scale, found.matches.index[cells]
    inside = torch.arange(scale, device=cells.device).repeat_interleave(scale), torch.arange(scale**2).to(cells) % scale
    here = found.picture[cells[:, None] // w * scale + inside[0], cells[:, None] % w * scale + inside[1]].float()
    corner = index // w % h * scale, index % w * scale
    rows, columns = (
        (corner[axis] + found.shifts[cells, :, axis])[..., None] + inside[axis] for axis in range(2)
    )  # b k p
    frames, fine = (index // (h * w))[..., None], labels.unflatten(1, (-1, scale**2))
    steps = range(-config.reach, config.reach + 1)
    costs, sources = [], []
    for down in steps:
        for right in steps:
            y, x = (rows + down).clamp(0, height - 1), (columns + right).clamp(0, width - 1)
            apart = (found.pictures[frames, y, x].float() - here[:, None]).square().mean(dim=3)
            costs.append(apart / (2 * (255 * config.colour) ** 2) + config.inertia * (down**2 + right**2))
            sources.append(((frames * h + y // scale) * w + x // scale, y % scale * scale + x % scale))
    cost = torch.stack(costs, dim=1)  # b s k p
    share = found.matches.weight[cells][:, None, :, None]
    cost = cost.where(share > 0, torch.inf)
    weight = share * (cost.amin(dim=(1, 2), keepdim=True) - cost).exp()
    weight = weight * (share.sum(dim=2, keepdim=True) / weight.sum(dim=(1, 2), keepdim=True))
    mixed = labels.new_zeros(len(cells), fine.shape[1], scale**2)
    for step, (cell, part) in enumerate(sources):
        mixed += torch.einsum("bkp,bkpc->bcp", weight[:, step], fine[cell, :, part])
    return mixed


def _spread(
    missing: Float[Tensor, "b c"], busy: Bool[Tensor, " m"], grid: tuple[int, int], around: int
) -> Float[Tensor, "b c"]:
    """Return the mean of what is missing over the busy cells around each."""
    maps = missing.new_zeros(len(busy), missing.shape[1] + 1)
    maps[busy] = F.pad(missing, (0, 1), value=1.0)
    side = 2 * around + 1
    means = F.avg_pool2d(maps.T.unflatten(1, grid)[None], side, stride=1, padding=around)[0].flatten(1).T[busy]
    return means[:, :-1] / means[:, -1:]
