"""Labels of cells without the channels that a cell shows nothing of: many objects take little more than one.

On the CPU alone. Nothing is left out but what is exactly 0; `rounded` rounds to steps of 1 / 32768.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32, Int64, UInt8, UInt16
from torch import Tensor

from selfvos.ops.alignment import EVEN, AlignConfig, choose_shifts
from selfvos.ops.contact import PART, drop_apart
from selfvos.ops.label_fusion import PRESENT, FusionConfig
from selfvos.ops.matching import Matches
from selfvos.ops.threads import kernel_threads

_STEPS = 2**15


@dataclass(frozen=True)
class SparseLabels:
    """Blocks of labels: those of one cell lie together, the background's first, then others in ascending order."""

    start: Int64[np.ndarray, " r1"]
    """First block of each cell, and where those of the last end."""
    channel: Int32[np.ndarray, " b"]
    """What each block is of."""
    values: Float32[np.ndarray, "b p"] | UInt16[np.ndarray, "b p"]
    """Probability in each part of the cell, row by row; as whole numbers, in steps of 1 / 32768."""

    @cached_property
    def cell(self) -> Int64[np.ndarray, " b"]:
        """The cell of each block."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))

    @cached_property
    def _by_channel(self) -> Int64[np.ndarray, " b"]:
        return np.argsort(self.channel, kind="stable")

    def of(self, channel: int) -> Int64[np.ndarray, " n"]:
        """Return the blocks of a channel, in the order of cells."""
        bounds = np.searchsorted(self.channel, (channel, channel + 1), sorter=self._by_channel)
        return self._by_channel[bounds[0] : bounds[1]]

    def part(self, cells: slice) -> "SparseLabels":
        """Return the labels of some cells that lie side by side; they are shared."""
        start = self.start[cells.start : cells.stop + 1]
        blocks = slice(int(start[0]), int(start[-1]))
        return SparseLabels(start - start[0], self.channel[blocks], self.values[blocks])

    def copy(self) -> "SparseLabels":
        """Return labels that are shared with nobody."""
        return SparseLabels(self.start.copy(), self.channel.copy(), self.values.copy())

    @property
    def blocks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All of it, as compiled code wants it."""
        return self.start, self.channel, self.values


@dataclass(frozen=True, kw_only=True)
class LabelledFrames:
    """Frames with one pixel for each label, and the labels of all their cells."""

    pictures: UInt8[Tensor, "n y x 3"]
    labels: SparseLabels
    scale: int
    """Rows and columns of labels in a cell."""
    channels: int
    """More than the number of any channel."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells in a frame."""
        return self.pictures.shape[1] // self.scale, self.pictures.shape[2] // self.scale


def sparse(maps: Float[Tensor, "o1 y x"], scale: int) -> SparseLabels:
    """Return maps as sparse labels.

    Args:
        maps: Background first; sides are multiples of the scale.
        scale: Rows and columns of labels in a cell.
    """
    # Compiled code is loaded when it is first needed, not whenever this module is imported.
    from selfvos.ops.kernels import sparse_labels as kernel

    return SparseLabels(*kernel.gather(maps.float().contiguous().numpy(), scale))


def rounded(labels: SparseLabels) -> SparseLabels:
    """Return labels as memory has them: half as large, and without what rounds to nothing."""
    values = np.rint(labels.values * np.float32(_STEPS)).astype(np.uint16)
    kept = values.any(axis=1) | (labels.channel == 0)
    start = np.concatenate([np.zeros(1, np.int64), kept.cumsum()])[labels.start]
    return SparseLabels(start, labels.channel[kept], values[kept])


def joined(parts: Sequence[SparseLabels]) -> SparseLabels:
    """Return the labels of several frames one after the other."""
    ends = np.cumsum([0, *(part.start[-1] for part in parts)])
    starts = [part.start[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
    return SparseLabels(
        np.concatenate([*starts, ends[-1:]]),
        np.concatenate([part.channel for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def spliced(labels: SparseLabels, cells: slice, new: SparseLabels) -> SparseLabels:
    """Return labels in which those of some cells that lie side by side, or of none, have given way to new ones."""
    end = len(labels.start) - 1
    return joined([labels.part(slice(0, cells.start)), new, labels.part(slice(cells.stop, end))])


def carried(
    picture: UInt8[Tensor, "y x 3"],
    memory: LabelledFrames,
    matches: Matches,
    align: AlignConfig,
    fuse: FusionConfig | None = None,
) -> SparseLabels:
    """Mix the labels of matched cells, each shifted to where its surroundings look most like the query cell's.

    Args:
        picture: The frame, one pixel for each label.
        memory: The frames that it was matched with, their labels rounded.
        matches: Cells in them.
        align: How far labels may shift.
        fuse: How parts of cells are told apart by colour; None: they are not.

    Returns:
        What `selfvos.ops.alignment.aligned_readout` and `selfvos.ops.label_fusion.fused` return, in the time that the
        objects of each cell take.
    """
    from selfvos.ops.kernels import label_fusion
    from selfvos.ops.kernels import sparse_labels as kernel

    blocks, workers = memory.labels.blocks, kernel_threads()
    even = kernel.even_cells(blocks, EVEN * _STEPS, workers)
    shifts = choose_shifts((picture, memory.pictures), even, matches, memory.scale, align)
    found = matches.index.contiguous().numpy(), matches.weight.float().contiguous().numpy(), shifts
    now = SparseLabels(*kernel.carry(blocks, found, memory.grid, memory.channels, workers))
    if fuse is None:
        return now
    shown = picture.contiguous().numpy(), memory.pictures.contiguous().numpy()
    values = label_fusion.fuse(
        shown,
        blocks,
        even,
        found,
        now.blocks,
        reach=fuse.reach,
        colour=255 * fuse.colour,
        inertia=fuse.inertia,
        around=fuse.around_cells,
        present=PRESENT,
        workers=workers,
    )
    return replace(now, values=values)


def stretched(labels: SparseLabels, channels: int, lost_below: float) -> SparseLabels:
    """Give back to labels the contrast that carrying them wears off; see `selfvos.ops.labels.stretch`."""
    from selfvos.ops.kernels import sparse_labels as kernel

    found = replace(labels, values=labels.values.copy())
    kernel.stretch(found.blocks, channels, lost_below)
    return found


def of_known(labels: SparseLabels) -> SparseLabels:
    """Return labels as shares of what was found with a label; background where none was."""
    known = np.add.reduceat(labels.values, labels.start[:-1])
    values = labels.values / np.maximum(known, np.finfo(np.float32).tiny)[labels.cell]
    values[labels.start[:-1]] = np.where(known > 0, values[labels.start[:-1]], 1)
    return replace(labels, values=values)


def together(
    now: SparseLabels, before: SparseLabels, reach_cells: float, grid: tuple[int, int], channels: int
) -> SparseLabels:
    """Return labels without parts of objects that appear apart from them; see `selfvos.ops.contact.drop_apart`.

    Args:
        now: Of a frame.
        before: Of the frame before it.
        reach_cells: How far away a part may be that does not touch the object, in cells along rows or columns.
        grid: Rows and columns of cells.
        channels: More than the number of any channel.
    """
    means, means_before = _means(now), _means(before)
    values = now.values.copy()
    for channel in range(1, channels):
        blocks, others = now.of(channel), before.of(channel)
        parts, present = blocks[means[blocks] > PART], others[means_before[others] > 0.5]
        if not (len(parts) and len(present)):
            continue
        box = _box(np.concatenate([now.cell[parts], before.cell[present]]), grid[1])
        if max(box[1] - box[0], box[3] - box[2]) <= int(reach_cells) + 1:
            continue  # everything is within reach of everything
        pair = [
            _crop(cells, mean, box, grid[1])
            for cells, mean in ((now.cell[parts], means[parts]), (before.cell[present], means_before[present]))
        ]
        apart = drop_apart(pair[0], pair[1], reach_cells)[0]
        if apart.any():
            rows, columns = now.cell[parts] // grid[1] - box[0], now.cell[parts] % grid[1] - box[2]
            gone = parts[apart.numpy()[rows, columns]]
            _give_to_ground(now, values, gone)
    return replace(now, values=values)


def object_means(labels: SparseLabels, objects: int, grid: tuple[int, int]) -> Float[Tensor, "o h w"]:
    """Return the mean probability of each of so many objects in the cells of a frame."""
    means = np.zeros((objects + 1, len(labels.start) - 1), np.float32)
    one = _STEPS if labels.values.dtype == np.uint16 else 1
    means[labels.channel, labels.cell] = _means(replace(labels, values=labels.values.astype(np.float32))) / one
    return torch.from_numpy(means[1:].reshape(objects, *grid))


def without(labels: SparseLabels, gone: Bool[Tensor, "o h w"]) -> SparseLabels:
    """Return labels in which cells of an object are background; see `selfvos.ops.contact.without`."""
    cells = np.concatenate([np.zeros((1, gone[0].numel()), np.bool_), gone.flatten(1).numpy()])
    blocks = np.flatnonzero(cells[labels.channel, labels.cell])
    values = labels.values.copy()
    _give_to_ground(labels, values, blocks)
    return replace(labels, values=values)


def _give_to_ground(labels: SparseLabels, values: np.ndarray, blocks: Int64[np.ndarray, " n"]) -> None:
    """Give the background of their cells what some blocks of other channels have, in place."""
    np.add.at(values, labels.start[labels.cell[blocks]], values[blocks])
    values[blocks] = 0


def background(labels: SparseLabels, grid: tuple[int, int], scale: int) -> Float[Tensor, "1 1 y x"]:
    """Return the background as a map."""
    values = labels.values[labels.start[:-1]]
    return torch.from_numpy(_unfolded(values, grid, scale))[None, None]


def cut(
    labels: SparseLabels, channel: int, grid: tuple[int, int], scale: int, margin: int
) -> tuple[Float[Tensor, "y x"], int, int]:
    """Return one channel as a map of the cells that show it, with so many more around them.

    Returns:
        The map, and the row and column of cells that it begins at.
    """
    blocks = labels.of(channel)
    cells = labels.cell[blocks]
    top, bottom, left, right = _box(cells, grid[1]) if len(cells) else (0, 1, 0, 1)
    top, bottom = max(0, top - margin), min(grid[0], bottom + margin)
    left, right = max(0, left - margin), min(grid[1], right + margin)
    part = np.zeros((bottom - top, right - left, scale * scale), np.float32)
    part[cells // grid[1] - top, cells % grid[1] - left] = labels.values[blocks]
    return torch.from_numpy(_unfolded(part, part.shape[:2], scale)), top, left


def _unfolded(values: np.ndarray, grid: tuple[int, ...], scale: int) -> np.ndarray:
    parts = values.reshape(*grid, scale, scale).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(parts.reshape(grid[0] * scale, grid[1] * scale))


def _means(labels: SparseLabels) -> Float32[np.ndarray, " b"]:
    """Return the mean of each block; in a row, as a pooled map would sum it up."""
    total = labels.values[:, 0].copy()
    for part in range(1, labels.values.shape[1]):
        total += labels.values[:, part]
    return total / np.float32(labels.values.shape[1])


def _box(cells: Int64[np.ndarray, " n"], width: int) -> tuple[int, int, int, int]:
    """Return the first row of cells, the row after their last, and the same of columns."""
    rows, columns = cells // width, cells % width
    return int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1


def _crop(
    cells: Int64[np.ndarray, " n"], values: Float32[np.ndarray, " n"], box: tuple[int, int, int, int], width: int
) -> Float[Tensor, "1 h w"]:
    part = np.zeros((1, box[1] - box[0], box[3] - box[2]), np.float32)
    part[0, cells // width - box[0], cells % width - box[2]] = values
    return torch.from_numpy(part)
