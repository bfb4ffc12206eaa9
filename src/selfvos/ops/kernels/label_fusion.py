"""Fuse the labels of matched cells by colour, block by block; see `selfvos.ops.label_fusion`."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int8, Int64, UInt8

from selfvos.ops.kernels.aligned_readout import _EVEN, _is_even_around
from selfvos.ops.kernels.colour_votes import add_planes, add_voted, fill_costs, share_least, turn_into_votes
from selfvos.ops.kernels.compiling import compiled
from selfvos.ops.kernels.patches import COLOURS, see_patch
from selfvos.ops.kernels.sparse_labels import STEPS, Blocks, add_window
from selfvos.ops.parallel import in_parallel

_CELLS = 256
"""Query cells that a thread takes at a time."""


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
        _mix(pictures[0][None], pictures[1], memory, even, *matches, *carried, *how, cells, busy, mixed, missing)

    def settle(cells: tuple[int, int]) -> None:
        _settle(*carried, mixed, missing, busy, grid, around, how[3], cells, fused)

    scale = int(np.sqrt(mixed.shape[1]))
    grid = pictures[0].shape[0] // scale, pictures[0].shape[1] // scale
    in_parallel(mix, chunks, workers)
    in_parallel(settle, chunks, workers)
    return fused


@compiled
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


@compiled
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


@compiled
@no_type_check
def _slot(channel, first, last, wanted):
    for block in range(first, last):
        if channel[block] == wanted:
            return block
    return -1


@compiled
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


@compiled
@no_type_check
def _mix(
    picture, pictures, memory, even, index, weight, shifts, start, channel, values,
    reach, precision, inertia, present, cells, busy, mixed, missing,
):  # fmt: skip
    scale = int(np.sqrt(values.shape[1]))
    h, w, matches = picture.shape[1] // scale, picture.shape[2] // scale, index.shape[1]
    side, span = scale + 2 * reach, 2 * reach + 1
    plane, behind = side * side, 2 * reach * (side + 1)
    run = matches * plane
    here, there = np.zeros(COLOURS * run, np.float32), np.zeros(COLOURS * run + behind, np.float32)
    costs, whole = np.empty((span**2, run), np.float32), np.empty(run, np.int32)
    least, shares, total = np.empty(run, np.float32), np.empty(run, np.float32), np.empty(run, np.float32)
    powers = whole.view(np.float32)
    most = 1
    for query in range(cells[0], cells[1]):
        most = max(most, start[query + 1] - start[query])
    labels, heard = np.zeros((most, run + behind), np.float32), np.empty((most, run), np.float32)
    for query in range(cells[0], cells[1]):
        first, last = start[query], start[query + 1]
        busy[query] = not _is_even(values, first, last) and _is_busy(even, index, weight, query, h, w)
        if not busy[query]:
            continue
        blocks, begin, sum_of_shares = last - first, 0, np.float32(0)
        shares[:], labels[:blocks] = 0, 0
        for place in range(matches):
            if weight[query, place] == 0:
                continue
            cell = index[query, place]
            frame = cell // (h * w)
            top = cell // w % h * scale + shifts[query, place, 0] - reach
            left = cell % w * scale + shifts[query, place, 1] - reach
            see_patch(picture, 0, query // w * scale, query % w * scale, side, here, begin, run)
            see_patch(pictures, frame, top, left, side, there, begin, run)
            window = frame, top, left
            add_window(memory, window, side, (h, w), scale, np.float32(1 / STEPS), channel[first:last], labels, begin)
            shares[begin : begin + plane] = weight[query, place]
            sum_of_shares += weight[query, place]
            begin += plane
        least[:], total[:], heard[:blocks] = np.inf, 0, 0
        for step in range(span**2):
            down, right = step // span, step % span
            far = inertia * np.float32((down - reach) ** 2 + (right - reach) ** 2)
            fill_costs(here, there, down * side + right, precision, far, costs[step], least)
        share_least(least, plane, begin)
        for step in range(span**2):
            turn_into_votes(costs[step], least, shares, whole, powers, total)
            for block in range(blocks):
                add_voted(costs[step], labels[block], step // span * side + step % span, heard[block])
        add_planes(total, plane, begin)
        for block in range(blocks):
            add_planes(heard[block], plane, begin)
            for part in range(scale * scale):
                pixel = part // scale * side + part % scale
                mixed[first + block, part] = heard[block, pixel] * sum_of_shares / total[pixel]
        for block in range(first, last):
            missing[block] = _as_far_as_present(values[block], mixed[block], present)


@compiled
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
