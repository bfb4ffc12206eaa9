"""Masks as polygons along the edges of their pixels, and polygons as masks: nothing is lost on the way and back.

A pixel in row y and column x covers x ... x + 1 and y ... y + 1, so that corners have whole coordinates. Filled by the
even-odd rule, with the centres of pixels as samples, the polygons of a mask are the mask again.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64, Real
from scipy.spatial import KDTree

from selfvos.errors import DataError

Ring = Int64[np.ndarray, "n 2"]
"""Corners of a closed line as x and y, in pixels; the first is not repeated at the end."""

# Steps in x and y along the four directions of an edge: right, down, left, up; each is a right turn from the last.
_STEP = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])


def rings(mask: Bool[np.ndarray, "y x"]) -> list[Int64[np.ndarray, "_ 2"]]:
    """Return the outlines of a mask: islands clockwise on the screen, holes the other way round.

    Pixels that touch at a corner belong to one island.

    Args:
        mask: One object's pixels.

    Returns:
        Each outline's corners; the longest lines first, by number of pixel edges.
    """
    start, direction = _edges(mask)
    if not len(start):
        return []
    following = _following(start, direction, mask.shape[1] + 1)
    order, lengths = _cycles(following)
    found = []
    for line in np.split(order, np.cumsum(lengths)[:-1]):
        corner = direction[line] != direction[np.roll(line, 1)]
        found.append(start[line[corner]])
    by_length = np.argsort(-lengths, kind="stable")
    return [found[i] for i in by_length]


def one_polygon(mask: Bool[np.ndarray, "y x"]) -> Int64[np.ndarray, "_ 2"]:
    """Return a mask as a single closed line, for tools that allow one polygon for each object.

    Further islands and holes hang on the longest outline by bridges, walked there and back, that have no width: by the
    even-odd rule, and by the non-zero rule too, filling gives the mask.

    Args:
        mask: One object's pixels; at least one.
    """
    outline, *others = rings(mask)
    if not others:
        return outline
    tree = KDTree(outline)
    hung: dict[int, list[np.ndarray]] = {}
    for ring in others:
        distance, nearest = tree.query(ring)
        gate = int(np.argmin(distance))
        hung.setdefault(int(np.asarray(nearest)[gate]), []).append(np.roll(ring, -gate, axis=0))
    parts = []
    begin = 0
    for place in sorted(hung):
        parts.append(outline[begin : place + 1])
        for ring in hung[place]:
            parts += [ring, ring[:1], outline[place : place + 1]]
        begin = place + 1
    return np.concatenate([*parts, outline[begin:]])


def fill(polygons: Sequence[Real[np.ndarray, "_ 2"]], size: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    """Return the pixels whose centres lie inside any of the polygons, each filled by the even-odd rule.

    Args:
        polygons: Corners as x and y, in pixels; what lies outside the frame is cut off.
        size: Height and width of the frame.

    Raises:
        DataError: A corner is no number.
    """
    mask = np.zeros(size, bool)
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64)
        if not np.isfinite(corners).all():
            raise DataError("a polygon has a corner that is no number; export it again")
        left, top = np.floor(corners.min(axis=0)).clip(0, (size[1], size[0])).astype(np.int64)
        right, bottom = np.ceil(corners.max(axis=0)).clip(0, (size[1], size[0])).astype(np.int64)
        mask[top:bottom, left:right] |= _fill_one(corners - (left, top), (int(bottom - top), int(right - left)))
    return mask


def _edges(mask: Bool[np.ndarray, "y x"]) -> tuple[Int64[np.ndarray, "n 2"], Int64[np.ndarray, " n"]]:
    """Return where each pixel edge at the rim begins, and its direction; the object lies on its right hand."""
    framed = np.pad(mask, 1)
    inside = framed[1:-1, 1:-1]
    # Top edges run right, right edges down, bottom edges left, left edges up.
    outside = (framed[:-2, 1:-1], framed[1:-1, 2:], framed[2:, 1:-1], framed[1:-1, :-2])
    corner = ((0, 0), (1, 0), (1, 1), (0, 1))
    starts, directions = [], []
    for direction in range(4):
        y, x = np.nonzero(inside & ~outside[direction])
        starts.append(np.stack((x + corner[direction][0], y + corner[direction][1]), axis=1))
        directions.append(np.full(len(y), direction))
    return np.concatenate(starts), np.concatenate(directions)


def _following(
    start: Int64[np.ndarray, "n 2"], direction: Int64[np.ndarray, " n"], width: int
) -> Int64[np.ndarray, " n"]:
    """Return, for each edge, which one comes after it: at corners where two pixels touch, the one to the left."""
    # One number for each place where an edge can begin; sorted, so that it can be looked up.
    begins = (start[:, 1] * width + start[:, 0]) * 4 + direction
    order = np.argsort(begins)
    sorted_begins = begins[order]
    end = start + _STEP[direction]
    place = (end[:, 1] * width + end[:, 0]) * 4
    chosen = np.full(len(start), -1)
    for turn in (1, 0, 3):  # the last that exists is taken: right, straight on, left
        wanted = place + (direction + turn) % 4
        at = np.searchsorted(sorted_begins, wanted).clip(max=len(start) - 1)
        chosen = np.where(sorted_begins[at] == wanted, order[at], chosen)
    return chosen


def _cycles(following: Int64[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " _"]]:
    """Return the edges cycle by cycle, each in walking order, and how many each cycle has.

    Every edge finds the first edge of its cycle (the lowest number in it) and its distance to it by doubling the
    steps it looks ahead: after k rounds it knows 2^k edges, so that no line is walked edge by edge.
    """
    count = len(following)
    lowest, jump = np.arange(count), following.copy()
    for _ in range(count.bit_length()):
        lowest = np.minimum(lowest, lowest[jump])
        jump = jump[jump]
    first = lowest == np.arange(count)
    # Distance to the first edge, walking on: the walk ends there.
    jump = np.where(first, np.arange(count), following)
    distance = np.where(first, 0, 1)
    for _ in range(count.bit_length()):
        distance = distance + distance[jump]
        jump = jump[jump]
    order = np.lexsort((-distance * ~first + np.where(first, -count - 1, 0), lowest))
    lengths = np.bincount(lowest, minlength=count)
    return order, lengths[lengths > 0]


def _fill_one(corners: Float64[np.ndarray, "n 2"], size: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    height, width = size
    a, b = corners, np.roll(corners, -1, axis=0)
    # The same line in both directions must cross rows at exactly the same place: bridges have to vanish.
    swap = (a[:, 1] > b[:, 1])[:, None]
    low, high = np.where(swap, b, a), np.where(swap, a, b)
    top, end = (np.ceil(y - 0.5).clip(0, height).astype(np.int64) for y in (low[:, 1], high[:, 1]))
    rows_of_each = end - top
    edge = np.repeat(np.arange(len(a)), rows_of_each)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(rows_of_each) - rows_of_each, rows_of_each) + top[edge]
    run = (high - low)[edge]
    x = low[edge, 0] + run[:, 0] * ((row + 0.5 - low[edge, 1]) / run[:, 1])
    column = np.ceil(x - 0.5).clip(0, width).astype(np.int64)
    crossings = np.zeros((height, width + 1), np.int64)
    np.add.at(crossings, (row, column), 1)
    return np.cumsum(crossings[:, :-1], axis=1) % 2 == 1
