"""Carry fine labels along matches, each shifted to where the pictures agree best."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int8, Int64, UInt8

from selfvos.ops.kernels.compiling import compiled
from selfvos.ops.kernels.patches import COLOURS, inside_window, see_patch, sum_of_squares
from selfvos.ops.parallel import in_parallel


def choose_shifts(
    pictures: tuple[UInt8[np.ndarray, "y x 3"], UInt8[np.ndarray, "n y x 3"]],
    even: Int64[np.ndarray, " r"],
    matches: tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"]],
    *,
    scale: int,
    reach: int,
    inertia: float,
    workers: int = 1,
) -> Int8[np.ndarray, "m k 2"]:
    """Return by how many labels each matched cell is shifted, down and right; see `selfvos.ops.alignment`."""
    index, weight = matches
    shifts = np.zeros((*index.shape, 2), np.int8)
    window = scale + 2 * _AROUND
    how = scale, reach, np.float32(inertia), inside_window(window, window + 2 * reach)

    def choose(cells: tuple[int, int]) -> None:
        _choose(pictures[0][None], pictures[1], even, index, weight, *how, cells, shifts)

    in_parallel(choose, _chunks(len(index), workers), workers)
    return shifts


def carry(
    labels: Float32[np.ndarray, "r l"],
    matches: tuple[Int64[np.ndarray, "m k"], Float32[np.ndarray, "m k"]],
    shifts: Int8[np.ndarray, "m k 2"],
    *,
    scale: int,
    size: tuple[int, int],
    workers: int = 1,
) -> Float32[np.ndarray, "m l"]:
    """Mix the labels of matched cells, each shifted; a frame has so many rows and columns of labels."""
    carried = np.zeros((len(matches[0]), labels.shape[1]), np.float32)

    def mix(cells: tuple[int, int]) -> None:
        _carry(labels, *matches, shifts, scale, size, cells, carried)

    in_parallel(mix, _chunks(len(carried), workers), workers)
    return carried


def even_cells(labels: Float32[np.ndarray, "r l"], parts: int) -> Int64[np.ndarray, " r"]:
    """Return the number of the channel that all parts of a cell have, or -1."""
    return _even_cells(labels, parts)


def _chunks(count: int, workers: int) -> list[tuple[int, int]]:
    step = -(-count // workers)
    return [(first, min(first + step, count)) for first in range(0, count, step)]


_AROUND = 1
_EVEN = 0.99


@compiled
@no_type_check
def _even_cells(labels, parts):
    cells, width = labels.shape
    even = np.full(cells, -1, np.int64)
    for cell in range(cells):
        for channel in range(width // parts):
            first = channel * parts
            if labels[cell, first] >= _EVEN:
                even[cell] = channel
                for part in range(first, first + parts):
                    if labels[cell, part] < _EVEN:
                        even[cell] = -1
                        break
                break
    return even


@compiled
@no_type_check
def _is_even_around(even, frame, row, column, h, w):
    first = even[(frame * h + row) * w + column]
    if first < 0:
        return False
    for y in range(max(0, row - 1), min(h, row + 2)):
        for x in range(max(0, column - 1), min(w, column + 2)):
            if even[(frame * h + y) * w + x] != first:
                return False
    return True


@compiled
@no_type_check
def _choose(picture, pictures, even, index, weight, scale, reach, inertia, inside, cells, shifts):
    height, width = pictures.shape[1:3]
    h, w = height // scale, width // scale
    around = _AROUND + reach
    side = scale + 2 * around
    plane, centre = side * side, reach * side + reach
    here, there = np.zeros(COLOURS * plane, np.float32), np.zeros(COLOURS * plane, np.float32)
    for query in range(cells[0], cells[1]):
        seen = False
        for place in range(index.shape[1]):
            if weight[query, place] == 0:
                continue
            cell = index[query, place]
            frame, row, column = cell // (h * w), cell // w % h, cell % w
            if _is_even_around(even, frame, row, column, h, w):
                continue
            if not seen:
                y, x = query // w * scale, query % w * scale
                see_patch(picture, 0, y - _AROUND, x - _AROUND, side, here, 0, plane)
                seen = True
            see_patch(pictures, frame, row * scale - around, column * scale - around, side, there, 0, plane)
            best = np.float64(sum_of_squares(here, there, centre, inside))
            for i in range(-reach, reach + 1):
                for j in range(-reach, reach + 1):
                    if i == 0 and j == 0:
                        continue
                    apart = sum_of_squares(here, there, centre + i * side + j, inside)
                    cost = inertia * (i * i + j * j) + np.float64(apart)
                    if cost < best:
                        best = cost
                        shifts[query, place, 0], shifts[query, place, 1] = i, j


@compiled
@no_type_check
def _carry(labels, index, weight, shifts, scale, size, cells, carried):
    height, width = size
    h, w, parts = height // scale, width // scale, scale * scale
    channels = labels.shape[1] // parts
    for query in range(cells[0], cells[1]):
        for place in range(index.shape[1]):
            share, cell = weight[query, place], index[query, place]
            if share == 0:
                continue
            frame, row, column = cell // (h * w), cell // w % h, cell % w
            down, right = shifts[query, place]
            if down == 0 and right == 0:
                for label in range(labels.shape[1]):
                    carried[query, label] += share * labels[cell, label]
                continue
            for i in range(scale):
                there = min(max(row * scale + down + i, 0), height - 1)
                for j in range(scale):
                    across = min(max(column * scale + right + j, 0), width - 1)
                    source = (frame * h + there // scale) * w + across // scale
                    part = there % scale * scale + across % scale
                    for channel in range(channels):
                        carried[query, channel * parts + i * scale + j] += (
                            share * labels[source, channel * parts + part]
                        )
