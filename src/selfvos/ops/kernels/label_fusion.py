"""Fuse the labels of matched cells by colour, block by block; see `selfvos.ops.label_fusion`."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int8, Int64, UInt8

from selfvos.ops.kernels.aligned_readout import _EVEN, _is_even_around
from selfvos.ops.kernels.label_map import _compiled
from selfvos.ops.kernels.sparse_labels import STEPS, Blocks
from selfvos.ops.parallel import in_parallel

_CELLS = 256
"""Query cells that a thread takes at a time."""
_FAINT = np.float32(12)
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
def _is_even(values, first, last):
    """Say whether one of some blocks has nearly all of all parts."""
    for block in range(first, last):
        part = 0
        while part < values.shape[1] and values[block, part] >= np.float32(_EVEN):
            part += 1
        if part == values.shape[1]:
            return True
    return False


@_compiled
@no_type_check
def _slot(channel, first, last, wanted):
    for block in range(first, last):
        if channel[block] == wanted:
            return block
    return -1


@_compiled
@no_type_check
def _as_far_as_present(values, mixed, present):
    """Let an object take part as far as a cell shows it; return what fusing takes from its mean."""
    before, after = np.float32(0), np.float32(0)
    for part in range(len(values)):
        before += values[part]
    before /= np.float32(len(values))
    there = min(before / present, np.float32(1))
    for part in range(len(values)):
        mixed[part] = values[part] + there * (mixed[part] - values[part])
        after += mixed[part]
    return before - after / np.float32(len(values))


@_compiled
@no_type_check
def _mix(
    picture, pictures, memory_start, memory_channel, memory_values, even, index, weight, shifts, start, channel, values,
    reach, precision, inertia, present, cells, busy, mixed, missing,
):  # fmt: skip
    parts = values.shape[1]
    scale, side = int(np.sqrt(parts)), 2 * reach + 1
    (height, width), h, w = picture.shape[:2], picture.shape[0] // scale, picture.shape[1] // scale
    costs = np.empty(index.shape[1] * side * side, np.float32)
    for query in range(cells[0], cells[1]):
        first, last = start[query], start[query + 1]
        busy[query] = not _is_even(values, first, last) and _is_busy(even, index, weight, query, h, w)
        if not busy[query]:
            continue
        for part in range(parts):
            i, j = part // scale, part % scale
            y, x = query // w * scale + i, query % w * scale + j
            red, green, blue = np.int32(picture[y, x, 0]), np.int32(picture[y, x, 1]), np.int32(picture[y, x, 2])
            least, shares, place_cost = np.float32(np.inf), np.float32(0), 0
            for place in range(index.shape[1]):
                if weight[query, place] == 0:
                    continue
                shares += weight[query, place]
                cell = index[query, place]
                frame = cell // (h * w)
                top = cell // w % h * scale + shifts[query, place, 0] + i
                left = cell % w * scale + shifts[query, place, 1] + j
                for down in range(-reach, reach + 1):
                    there = min(max(top + down, 0), height - 1)
                    for right in range(-reach, reach + 1):
                        across = min(max(left + right, 0), width - 1)
                        a = np.int32(pictures[frame, there, across, 0]) - red
                        b = np.int32(pictures[frame, there, across, 1]) - green
                        c = np.int32(pictures[frame, there, across, 2]) - blue
                        steps = np.float32(down * down + right * right)
                        costs[place_cost] = np.float32(a * a + b * b + c * c) * precision + inertia * steps
                        least = min(least, costs[place_cost])
                        place_cost += 1
            total, place_cost = np.float32(0), 0
            for place in range(index.shape[1]):
                share = weight[query, place]
                if share == 0:
                    continue
                cell = index[query, place]
                frame = cell // (h * w)
                top = cell // w % h * scale + shifts[query, place, 0] + i
                left = cell % w * scale + shifts[query, place, 1] + j
                for step in range(side * side):
                    beyond = costs[place_cost] - least
                    place_cost += 1
                    if beyond > _FAINT:
                        continue
                    heard = share * np.exp(-beyond)
                    total += heard
                    there = min(max(top + step // side - reach, 0), height - 1)
                    across = min(max(left + step % side - reach, 0), width - 1)
                    source = (frame * h + there // scale) * w + across // scale
                    inside = there % scale * scale + across % scale
                    for block in range(memory_start[source], memory_start[source + 1]):
                        for into in range(first, last):
                            if channel[into] == memory_channel[block]:
                                mixed[into, part] += heard * np.float32(memory_values[block, inside])
            for block in range(first, last):
                mixed[block, part] *= shares / total * np.float32(1 / STEPS)
        for block in range(first, last):
            missing[block] = _as_far_as_present(values[block], mixed[block], present)


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
