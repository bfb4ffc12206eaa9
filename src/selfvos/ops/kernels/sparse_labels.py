"""Labels of cells as blocks, one for each channel that a cell shows something of; see `selfvos.ops.sparse_labels`."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int8, Int32, Int64, UInt16

from selfvos.ops.kernels.compiling import borrowing, compiled
from selfvos.ops.parallel import in_parallel

Blocks = tuple[Int64[np.ndarray, " _"], Int32[np.ndarray, " _"], Float32[np.ndarray, "_ _"] | UInt16[np.ndarray, "_ _"]]
"""Where each cell's blocks begin, and the last one's end; their channels, ascending in each cell; their values."""


def gather(maps: Float32[np.ndarray, "o1 y x"], scale: int) -> Blocks:
    """Return the blocks of maps that have scale * scale parts a cell: of the background all, of others what is not 0.

    Args:
        maps: Background first, C-contiguous; sides are multiples of the scale.
        scale: Rows and columns of parts in a cell.
    """
    cells = maps.shape[1] // scale * (maps.shape[2] // scale)
    count = np.ones(cells, np.int64)
    _count_shown(maps, scale, count)
    start = np.concatenate([np.zeros(1, np.int64), count.cumsum()])
    channel, values = np.zeros(start[-1], np.int32), np.zeros((start[-1], scale * scale), np.float32)
    _gather(maps, scale, start[:-1].copy(), channel, values)
    return start, channel, values


def even_cells(blocks: Blocks, least: float, workers: int = 1) -> Int64[np.ndarray, " r"]:
    """Return the number of the channel that has at least so much of all parts of a cell, or -1."""
    even = np.full(len(blocks[0]) - 1, -1, np.int64)
    step = -(-len(even) // workers)
    chunks = [(first, min(first + step, len(even))) for first in range(0, len(even), step)]
    in_parallel(lambda cells: _even_cells(*blocks, least, cells, even), chunks, workers)
    return even


def carry(
    blocks: Blocks,
    matches: tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"], Int8[np.ndarray, "m k 2"]],
    grid: tuple[int, int],
    channels: int,
    workers: int = 1,
) -> Blocks:
    """Mix the blocks of matched cells.

    Args:
        blocks: Of all memory cells.
        matches: Memory cells of each query cell, their weights, and by how many parts each is shifted down and right.
        grid: Rows and columns of cells in a frame.
        channels: More than any number of a channel.
        workers: Threads to use, at least 1.
    """
    queries = len(matches[0])
    chunks = [(first, min(first + _QUERIES, queries)) for first in range(0, queries, _QUERIES)]
    count = np.ones(queries, np.int64)
    in_parallel(lambda cells: _count_carried(*blocks, *matches, grid, channels, cells, count), chunks, workers)
    start = np.concatenate([np.zeros(1, np.int64), count.cumsum()])
    channel, values = np.zeros(start[-1], np.int32), np.zeros((start[-1], blocks[2].shape[1]), np.float32)
    found = start, channel, values
    in_parallel(lambda cells: _carry(*blocks, *matches, grid, channels, cells, *found), chunks, workers)
    return found


def stretch(blocks: Blocks, channels: int, lost_below: float) -> None:
    """Give labels their contrast back, in place; see `selfvos.ops.labels.stretch`."""
    _stretch(*blocks, channels, np.float32(lost_below))


_QUERIES = 1024
"""Query cells that a thread takes at a time."""
STEPS = 2**15
"""Whole numbers up to a probability of 1, where labels are kept as such."""


@compiled
@no_type_check
def _shows(maps, channel, scale, row, column):
    for i in range(scale):
        for j in range(scale):
            if maps[channel, row * scale + i, column * scale + j] != 0:
                return True
    return False


@compiled
@no_type_check
def _count_shown(maps, scale, count):
    h, w = maps.shape[1] // scale, maps.shape[2] // scale
    for channel in range(1, len(maps)):
        for row in range(h):
            for column in range(w):
                if _shows(maps, channel, scale, row, column):
                    count[row * w + column] += 1


@compiled
@no_type_check
def _gather(maps, scale, next_block, channel, values):
    h, w = maps.shape[1] // scale, maps.shape[2] // scale
    for label in range(len(maps)):
        for row in range(h):
            for column in range(w):
                if label > 0 and not _shows(maps, label, scale, row, column):
                    continue
                block = next_block[row * w + column]
                next_block[row * w + column] += 1
                channel[block] = label
                for i in range(scale):
                    for j in range(scale):
                        values[block, i * scale + j] = maps[label, row * scale + i, column * scale + j]


@compiled
@no_type_check
def _even_cells(start, channel, values, least, cells, even):
    for cell in range(cells[0], cells[1]):
        for block in range(start[cell], start[cell + 1]):
            if values[block, 0] >= least:
                even[cell] = channel[block]
                for part in range(values.shape[1]):
                    if values[block, part] < least:
                        even[cell] = -1
                        break
                break


@compiled
@no_type_check
def _source(cell, shift, grid, scale, i, j):
    """Return the cell that a part of a shifted cell lies in, and which part of it that is."""
    h, w = grid
    frame, row, column = cell // (h * w), cell // w % h, cell % w
    y = min(max(row * scale + shift[0] + i, 0), h * scale - 1)
    x = min(max(column * scale + shift[1] + j, 0), w * scale - 1)
    return (frame * h + y // scale) * w + x // scale, y % scale * scale + x % scale


@compiled
@no_type_check
def _list_channels(start, channel, index, weight, shifts, query, grid, scale, stamp, found):
    """List the channels that reach a query cell, and stamp them with its number; return how many they are."""
    count = 0
    last = scale - 1
    for place in range(index.shape[1]):
        if weight[query, place] == 0:
            continue
        moved = shifts[query, place, 0] != 0 or shifts[query, place, 1] != 0
        for corner in range(4 if moved else 1):
            source = _source(
                index[query, place], shifts[query, place], grid, scale, corner // 2 * last, corner % 2 * last
            )[0]
            for block in range(start[source], start[source + 1]):
                if stamp[channel[block]] != query:
                    stamp[channel[block]] = query
                    found[count] = channel[block]
                    count += 1
    return count


@compiled
@no_type_check
def _count_carried(start, channel, values, index, weight, shifts, grid, channels, cells, count):
    scale = int(np.sqrt(values.shape[1]))
    stamp, found = np.full(channels, -1, np.int64), np.empty(channels, np.int32)
    for query in range(cells[0], cells[1]):
        count[query] = max(1, _list_channels(start, channel, index, weight, shifts, query, grid, scale, stamp, found))


@borrowing
@no_type_check
def add_window(blocks, place, side, grid, scale, share, wanted, into, first):
    """Add a share of the labels of a window: for each wanted channel side * side parts, row by row, from a place on.

    Args:
        blocks: Of all cells, as three arrays.
        place: Frame, row and column of parts where the window begins; beyond the border of a frame labels repeat.
        side: Rows and columns of parts in the window.
        grid: Rows and columns of cells in a frame.
        scale: Rows and columns of parts in a cell.
        share: What labels are multiplied by.
        wanted: Channels.
        into: A row for each of them; what others a cell shows is passed over.
        first: Where in a row the window begins.
    """
    start, channel, values = blocks
    (frame, top, left), (h, w) = place, grid
    for i in range(side):
        y = min(max(top + i, 0), h * scale - 1)
        row, part = y // scale, y % scale * scale
        begin = 0
        while begin < side:
            column = min(max(left + begin, 0), w * scale - 1) // scale
            end = min(side, (column + 1) * scale - left) if column < w - 1 else side
            source = (frame * h + row) * w + column
            for block in range(start[source], start[source + 1]):
                for number in range(len(wanted)):
                    if wanted[number] == channel[block]:
                        for j in range(begin, end):
                            inside = min(max(left + j - column * scale, 0), scale - 1)
                            into[number, first + j] += share * np.float32(values[block, part + inside])
            begin = end
        first += side


@compiled
@no_type_check
def _carry(start, channel, values, index, weight, shifts, grid, channels, cells, new_start, new_channel, new_values):
    (h, w), scale, parts = grid, int(np.sqrt(values.shape[1])), values.shape[1]
    blocks, step = (start, channel, values), np.float32(1 / STEPS)
    stamp, found, slot = np.full(channels, -1, np.int64), np.empty(channels, np.int32), np.empty(channels, np.int64)
    for query in range(cells[0], cells[1]):
        count = _list_channels(start, channel, index, weight, shifts, query, grid, scale, stamp, found)
        first = new_start[query]
        wanted, into = new_channel[first : first + count], new_values[first : first + count]
        wanted[:] = found[:count]
        _sort(wanted)
        for number in range(count):
            slot[wanted[number]] = number
        for place in range(index.shape[1]):
            share, cell = weight[query, place] * step, index[query, place]
            if share == 0:
                continue
            if shifts[query, place, 0] == 0 and shifts[query, place, 1] == 0:
                for block in range(start[cell], start[cell + 1]):
                    number = slot[channel[block]]
                    for part in range(parts):
                        into[number, part] += share * np.float32(values[block, part])
                continue
            top, left = cell // w % h * scale + shifts[query, place, 0], cell % w * scale + shifts[query, place, 1]
            add_window(blocks, (cell // (h * w), top, left), scale, grid, scale, share, wanted, into, 0)


@borrowing
@no_type_check
def _sort(numbers):
    """Sort a few numbers, in place."""
    for place in range(1, len(numbers)):
        number, below = numbers[place], place - 1
        while below >= 0 and numbers[below] > number:
            numbers[below + 1] = numbers[below]
            below -= 1
        numbers[below + 1] = number


@compiled
@no_type_check
def _stretch(start, channel, values, channels, lost_below):
    parts = values.shape[1]
    peak, least = np.zeros(channels, np.float32), np.float32(np.inf)
    for block in range(len(channel)):
        for part in range(parts):
            if channel[block] == 0:
                least = min(least, values[block, part])
            else:
                peak[channel[block]] = max(peak[channel[block]], values[block, part])
    total = np.empty(parts, np.float32)
    for cell in range(len(start) - 1):
        total[:] = 0
        for block in range(start[cell], start[cell + 1]):
            highest = peak[channel[block]] if peak[channel[block]] > lost_below else np.float32(1)
            for part in range(parts):
                if channel[block] == 0:
                    values[block, part] -= least
                else:
                    values[block, part] /= highest
                total[part] += values[block, part]
        for block in range(start[cell], start[cell + 1]):
            for part in range(parts):
                values[block, part] /= max(total[part], np.finfo(np.float32).tiny)
