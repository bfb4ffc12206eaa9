"""Fuse the labels of matched cells by colour, block by block; see `selfvos.ops.label_fusion`."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int8, Int64, UInt8

from selfvos.ops.kernels.aligned_readout import _is_even_around
from selfvos.ops.kernels.label_map import _compiled
from selfvos.ops.kernels.sparse_labels import STEPS, Blocks, _source
from selfvos.ops.parallel import in_parallel

_CELLS = 256
"""Query cells that a thread takes at a time."""
_FAINT = 30.0
"""Exponent from which a weight is next to nothing."""


def fuse(
    pictures: tuple[UInt8[np.ndarray, "y x 3"], UInt8[np.ndarray, "n y x 3"]],
    memory: Blocks,
    even: Int64[np.ndarray, " r"],
    matches: tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"], Int8[np.ndarray, "m k 2"]],
    carried: Blocks,
    *,
    reach: int,
    colour: float,
    inertia: float,
    around: int,
    present: float,
    workers: int = 1,
) -> Float32[np.ndarray, "b p"]:
    """Return the values of carried blocks, fused by colour.

    Args:
        pictures: The frame, and those of memory, one pixel for each label.
        memory: Blocks of all memory cells, as whole numbers.
        even: Which channel all parts of a memory cell show, or -1.
        matches: Memory cells of each query cell, their weights, and by how many parts each is shifted down and right.
        carried: Blocks of the query cells.
        reach: Steps around a part.
        colour: Standard deviation of a colour, in steps of 1 / 255.
        inertia: What a step costs.
        around: Cells in which areas are kept.
        present: Mean probability from which an object takes part in full.
        workers: Threads to use, at least 1.
    """
    queries = len(matches[0])
    chunks = [(first, min(first + _CELLS, queries)) for first in range(0, queries, _CELLS)]
    busy, mixed = np.zeros(queries, np.bool_), np.zeros_like(carried[2])
    missing, fused = np.zeros(len(mixed), np.float32), carried[2].copy()
    how = reach, np.float32(1 / (6 * colour**2)), np.float32(inertia), np.float32(present)

    def mix(cells: tuple[int, int]) -> None:
        _mix(*pictures, *memory, even, *matches, *carried, *how, cells, busy, mixed, missing)

    def settle(cells: tuple[int, int]) -> None:
        _settle(*carried, mixed, missing, busy, grid, around, how[3], cells, fused)

    scale = int(np.sqrt(mixed.shape[1]))
    grid = pictures[0].shape[0] // scale, pictures[0].shape[1] // scale
    in_parallel(mix, chunks, workers)
    in_parallel(settle, chunks, workers)
    return fused


@_compiled
@no_type_check
def _is_busy(even, index, weight, query, h, w):
    """Say whether matches show more than one thing, or their neighbours do."""
    one = -1
    for place in range(index.shape[1]):
        if weight[query, place] == 0:
            continue
        cell = index[query, place]
        if not _is_even_around(even, cell // (h * w), cell // w % h, cell % w, h, w):
            return True
        if one >= 0 and even[cell] != one:
            return True
        one = even[cell]
    return False


@_compiled
@no_type_check
def _weigh(picture, pictures, index, weight, shifts, query, y, x, i, j, scale, reach, precision, inertia, weights):
    """Weigh all parts that may be listened to, in the order of places, rows and columns; return what brings their sum
    to that of the matches.
    """
    height, width = picture.shape[:2]
    h, w, side = height // scale, width // scale, 2 * reach + 1
    least = np.float32(np.inf)
    for place in range(index.shape[1]):
        if weight[query, place] == 0:
            continue
        cell = index[query, place]
        frame = cell // (h * w)
        top = cell // w % h * scale + shifts[query, place, 0] + i - reach
        left = cell % w * scale + shifts[query, place, 1] + j - reach
        for step in range(side * side):
            there, across = top + step // side, left + step % side
            there, across = min(max(there, 0), height - 1), min(max(across, 0), width - 1)
            apart = np.int64(0)
            for colour in range(3):
                between = np.int64(picture[y, x, colour]) - np.int64(pictures[frame, there, across, colour])
                apart += between * between
            down, right = step // side - reach, step % side - reach
            cost = np.float32(apart) * precision + inertia * np.float32(down * down + right * right)
            weights[place * side * side + step] = cost
            least = min(least, cost)
    total, all_shares = np.float32(0), np.float32(0)
    for place in range(index.shape[1]):
        share = weight[query, place]
        all_shares += share
        for step in range(place * side * side, (place + 1) * side * side):
            beyond = weights[step] - least
            weights[step] = share * np.exp(-beyond) if share > 0 and beyond < _FAINT else np.float32(0)
            total += weights[step]
    return all_shares / total


@_compiled
@no_type_check
def _slot(channel, first, last, wanted):
    for block in range(first, last):
        if channel[block] == wanted:
            return block
    return -1


@_compiled
@no_type_check
def _mix(
    picture, pictures, memory_start, memory_channel, memory_values, even, index, weight, shifts, start, channel, values,
    reach, precision, inertia, present, cells, busy, mixed, missing,
):  # fmt: skip
    parts = values.shape[1]
    scale, side = int(np.sqrt(parts)), 2 * reach + 1
    h, w = picture.shape[0] // scale, picture.shape[1] // scale
    weights = np.zeros(index.shape[1] * side * side, np.float32)
    moved = np.zeros(2, np.int64)
    for query in range(cells[0], cells[1]):
        busy[query] = _is_busy(even, index, weight, query, h, w)
        if not busy[query]:
            continue
        for part in range(parts):
            i, j = part // scale, part % scale
            y, x = query // w * scale + i, query % w * scale + j
            factor = _weigh(
                picture, pictures, index, weight, shifts, query, y, x, i, j, scale, reach, precision, inertia, weights
            )
            for step in range(len(weights)):
                if weights[step] == 0:
                    continue
                share = weights[step] * factor * np.float32(1 / STEPS)
                place, around = step // (side * side), step % (side * side)
                moved[0] = shifts[query, place, 0] + around // side - reach
                moved[1] = shifts[query, place, 1] + around % side - reach
                source, there = _source(index[query, place], moved, (h, w), scale, i, j)
                for block in range(memory_start[source], memory_start[source + 1]):
                    into = _slot(channel, start[query], start[query + 1], memory_channel[block])
                    if into >= 0:
                        mixed[into, part] += share * np.float32(memory_values[block, there])
        for block in range(start[query], start[query + 1]):
            before = values[block].sum() / np.float32(parts)
            there = min(before / present, np.float32(1))
            for part in range(parts):
                mixed[block, part] = values[block, part] + there * (mixed[block, part] - values[block, part])
            missing[block] = before - mixed[block].sum() / np.float32(parts)


@_compiled
@no_type_check
def _settle(start, channel, values, mixed, missing, busy, grid, around, present, cells, fused):
    h, w = grid
    parts = values.shape[1]
    for query in range(cells[0], cells[1]):
        if not busy[query]:
            continue
        row, column, first, last = query // w, query % w, start[query], start[query + 1]
        rows = range(max(0, row - around), min(h, row + around + 1))
        columns = range(max(0, column - around), min(w, column + around + 1))
        total = np.float32(0)
        for block in range(first, last):
            before = values[block].sum() / np.float32(parts)
            total += before
            gone, count = np.float32(0), 0
            for y in rows:
                for x in columns:
                    other = y * w + x
                    if busy[other]:
                        count += 1
                        there = _slot(channel, start[other], start[other + 1], channel[block])
                        if there >= 0:
                            gone += missing[there]
            for part in range(parts):
                moved = mixed[block, part] + gone / np.float32(count) * min(before / present, np.float32(1))
                fused[block, part] = min(max(moved, np.float32(0)), np.float32(1))
        for part in range(parts):
            found = np.float32(0)
            for block in range(first, last):
                found += fused[block, part]
            for block in range(first, last):
                if found > 0:
                    fused[block, part] *= total / found
                else:
                    fused[block, part] = values[block, part]
