"""The matcher's kernel where a processor multiplies bytes: candidates in 8 bits, the best of them in float32.

Features are rounded to 8 bits, and how far a cell was moved by that is known. So the product of two rounded cells says
between what bounds the product of the cells lies, whatever the features are. Cells that may belong into a query cell's
list, and no others, are kept as its candidates, and in the end multiplied in float32 as `window_topk` does it: the
answer is to the bit the same.

Where too many pairs may belong into lists, as with features that are alike everywhere, rows of memory cells are
multiplied in float32 at once.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Int32, Int64

from selfvos.ops.kernels.byte_vectors import (
    GROUP,
    LANES,
    MOST_VECTORS,
    QUERIES,
    products_of_16,
    products_of_32,
    products_of_48,
)
from selfvos.ops.kernels.rounding import RoundedFrames
from selfvos.ops.kernels.vectors import CELLS, lowest_bit, pair_products
from selfvos.ops.kernels.vectors import QUERIES as FLOAT_QUERIES
from selfvos.ops.kernels.window_topk import CHANNEL_STEP, _compiled, _four, _in_parallel, _insert, _search_rows

__all__ = ["CHANNEL_STEP", "Remembered", "RoundedFrames", "window_topk"]

_TILE = LANES * MOST_VECTORS
_BANDS_PER_WORKER = 4
_BLOCK_COLUMNS = 36
_SPARE = 24  # candidates that may come before those of a cell are looked through
_PASSED, _FLUSHED = 1, 8  # what a candidate costs, and one that is multiplied in float32, in pairs that never are
_MOST_CREDIT = 2**15  # pairs: what earlier rows saved is not all put at stake
_LONGEST_REST = 64  # rows of memory cells
_MOST_CHANNELS = 2**14  # sums of products of more may overflow
_FAR = 5e8  # beyond what any two sums of products differ by


class Candidates(NamedTuple):
    """For each query cell those memory cells that may belong into its list."""

    product: Int32[np.ndarray, "m p"]
    cell: Int32[np.ndarray, "m p"]
    found: Int32[np.ndarray, " m"]
    limit: Int32[np.ndarray, " m"]
    """When there are so many, they are looked through."""
    floor: Int32[np.ndarray, " m"]
    """What a product has to reach; some more follow that mean nothing."""


class Remembered(NamedTuple):
    """Memory frames, and what is known of them from earlier searches."""

    memory: Float32[np.ndarray, "n h w c"]
    frames: RoundedFrames
    ids: Sequence[Hashable]
    """See `RoundedFrames.round`."""


def window_topk(
    query: Float32[np.ndarray, "h w c"], known: Remembered, reach: Int64[np.ndarray, "n h"], k: int, workers: int
) -> tuple[Float32[np.ndarray, "m k"], Int64[np.ndarray, "m k"]] | None:
    """Find the k memory cells that each query cell likes best: what `window_topk.window_topk` finds.

    Args:
        query: Features of the query frame, C-contiguous; c is a multiple of `CHANNEL_STEP`.
        known: Memory frames, C-contiguous.
        reach: Farthest column distance allowed in each memory frame at each row distance, -1 for none.
        k: Length of the lists, at least 1.
        workers: Threads to use, at least 1; the result does not depend on it.

    Returns:
        The same; None where features are no numbers, too large, or too many for it.
    """
    h, w, c = query.shape
    memory = known.memory
    if c > _MOST_CHANNELS or memory.size >= 2**31 * c:
        return None
    rounded = known.frames.round(query, memory, known.ids, workers)
    if rounded is None:
        return None
    scores = np.full((h * w, k), -np.inf, dtype=np.float32)
    cells = np.full((h * w, k), np.iinfo(np.int64).max, dtype=np.int64)
    candidates = _no_candidates(h * w, k)
    rows = -(-h // (workers * _BANDS_PER_WORKER))

    # Plain tuples: compiled code that is kept must not depend on the names of classes.
    def search(top: int) -> None:
        _search_band(
            query, memory, tuple(rounded), tuple(candidates), reach, (top, min(top + rows, h)), (scores, cells)
        )

    _in_parallel(search, range(0, h, rows), workers)
    return scores, cells


def _no_candidates(cells: int, k: int) -> Candidates:
    # Pages of an empty array are taken from the machine only when they are written.
    product, cell = (np.empty((cells, 2 * k + 2 * _SPARE + _TILE), dtype=np.int32) for _ in range(2))
    floor = np.full(cells + QUERIES, np.iinfo(np.int32).min, dtype=np.int32)
    return Candidates(product, cell, np.zeros(cells, np.int32), np.full(cells, k + _SPARE, np.int32), floor)


@_compiled
@no_type_check
def _raise_floor(rounded, candidates, scores, q):
    """Let the list of a query cell say what products have to reach."""
    _, _, _, error, start, unit = rounded
    least = min(max(np.float64(scores[q, scores.shape[1] - 1]) / unit, -_FAR), _FAR)
    floors = candidates[4]
    floors[q] = max(floors[q], np.int32(np.floor(least)) + start[q] - error[q])


@_compiled
@no_type_check
def _look_through(rounded, candidates, k, q, best):
    """Drop candidates of a query cell that k others are better than for certain, and raise its floor."""
    products, cells, counts, limits, floors = candidates
    product, cell, count = products[q], cells[q], counts[q]
    if count >= k:
        for i in range(k):
            best[i] = np.iinfo(np.int32).min
        for i in range(count):
            place = k
            while place > 0 and product[i] > best[place - 1]:
                if place < k:
                    best[place] = best[place - 1]
                place -= 1
            if place < k:
                best[place] = product[i]
        error = rounded[3]
        floors[q] = max(np.int64(floors[q]), np.int64(best[k - 1]) - 2 * np.int64(error[q]))
    kept = 0
    for i in range(count):
        if product[i] >= floors[q]:
            product[kept], cell[kept] = product[i], cell[i]
            kept += 1
    counts[q] = kept
    limits[q] = kept + _SPARE


@_compiled
@no_type_check
def _flush(query, memory, candidates, lists, q):
    """Multiply all candidates of a query cell in float32, offer them to its list, and forget them."""
    scores, cells, products = lists
    _, numbers, counts, limits, _ = candidates
    found, count = numbers[q], counts[q]
    for i in range(0, count, CELLS):
        a, b, c, d = _four(i, count - 1)
        pair_products(query, memory, (q, q, q, q), (found[a], found[b], found[c], found[d]), products)
        for j in range(min(CELLS, count - i)):
            _insert(scores[q], cells[q], products[j], np.int64(found[i + j]))
    counts[q] = 0
    limits[q] = scores.shape[1] + _SPARE


@_compiled
@no_type_check
def _offer(query, memory, rounded, candidates, lists, q, room):
    """Keep a query cell's candidates few: drop those that are beaten, flush where too many are left."""
    k = lists[0].shape[1]
    _look_through(rounded, candidates, k, q, room)
    counts = candidates[2]
    count = counts[q]
    if count < 2 * k + _SPARE:
        return 0
    _flush(query, memory, candidates, lists, q)
    _raise_floor(rounded, candidates, lists[0], q)
    return count


@_compiled
@no_type_check
def _sift_rows(query, memory, rounded, candidates, ys, place, reach, lists, passed, credit):
    """Make cells of a memory row that may belong into a list candidates of the query cells of the rows y0..y1-1.

    `place` is the memory frame and the row in it. `credit` holds what sifting has saved, how many rows it rests, and
    how many it would rest next. Returns the first row that was not sifted, because sifting rests.
    """
    # Taken out of their tuples once: every time costs a count of references.
    left, right, slot, _, _, _ = rounded
    found, numbers, counts, limits, floors = candidates
    marks, room = passed
    bits, products = marks
    h, w, c = query.shape
    frame, row = place
    begin, origin = (slot[frame] * h + row) * w * (c // GROUP), (frame * h + row) * w
    for y in range(ys[0], ys[1]):
        if credit[1] > 0:
            return y
        r = reach[abs(row - y)]
        if r < 0:
            continue
        saved = credit[0] + w * min(w, 2 * r + 1)
        for x in range(0, w, QUERIES):
            q, count = y * w + x, min(QUERIES, w - x)
            span = (q, q + count - 1)
            m, stop = max(0, x - r), min(w, x + count + r)
            while m < stop:
                lane = (begin + m, w)
                if stop - m > 2 * LANES:
                    width = 3 * LANES
                    some = products_of_48(left, right, span, lane, floors, marks)
                elif stop - m > LANES:
                    width = 2 * LANES
                    some = products_of_32(left, right, span, lane, floors, marks)
                else:
                    width = LANES
                    some = products_of_16(left, right, span, lane, floors, marks)
                for i in range(count if some else 0):
                    nearest, farthest = max(0, x + i - r - m), min(width, stop - m, x + i + r + 1 - m)
                    own = bits[i] & ((1 << farthest) - (1 << nearest)) if farthest > nearest else 0
                    number = counts[q + i]
                    while own:
                        bit = lowest_bit(own)
                        own &= own - 1
                        found[q + i, number], numbers[q + i, number] = products[i, bit], origin + m + bit
                        number += 1
                    saved -= _PASSED * (number - counts[q + i])
                    counts[q + i] = number
                    if number >= limits[q + i]:
                        saved -= _FLUSHED * _offer(query, memory, rounded, candidates, lists, q + i, room)
                m += width
        credit[0] = min(max(0, saved), _MOST_CREDIT)
        if saved < 0:
            credit[1], credit[2] = credit[2], min(2 * credit[2], _LONGEST_REST)
        elif saved > _MOST_CREDIT:
            credit[2] = 1
    return ys[1]


@_compiled
@no_type_check
def _search_row(query, memory, rounded, candidates, ys, place, reach, lists, passed, credit):
    """Offer a memory row to the query cells of the rows y0..y1-1: sifted, or in float32 while sifting rests."""
    h, w, _ = query.shape
    frame, row = place
    y = _sift_rows(query, memory, rounded, candidates, ys, place, reach[frame], lists, passed, credit)
    if y == ys[1]:
        return
    for x0 in range(0, w, _BLOCK_COLUMNS):
        spans = (y, ys[1], x0, min(x0 + _BLOCK_COLUMNS, w))
        _search_rows(query, memory, spans, ((frame * h + row) * w, row), reach[frame], lists)
    for q in range(y * w, ys[1] * w):
        _raise_floor(rounded, candidates, lists[0], q)
    credit[1] -= 1


@_compiled
@no_type_check
def _search_band(query, memory, rounded, candidates, reach, band, results):
    """Fill the lists of the query cells in rows top..bottom-1.

    Frames are visited from last to first, and the last one from near to far: there cells are most alike, and raise the
    bar early. In the others all query cells of the band pass by while a row is in the first cache.
    """
    top, bottom = band
    n, h, w, _ = memory.shape
    lists = (results[0], results[1], np.empty(FLOAT_QUERIES * CELLS, dtype=np.float32))
    room = np.empty(results[0].shape[1], dtype=np.int32)
    passed = (np.empty(QUERIES, dtype=np.int64), np.empty((QUERIES, _TILE), dtype=np.int32)), room
    credit = np.array([0, 0, 1])
    for step in range(2 * h):
        far = (step + 1) // 2 if step % 2 else -(step // 2)
        if reach[n - 1, min(abs(far), h - 1)] < 0:
            continue
        for y in range(max(top, -far), min(bottom, h - far)):
            place = (n - 1, y + far)
            _search_row(query, memory, rounded, candidates, (y, y + 1), place, reach, lists, passed, credit)
    for frame in range(n - 2, -1, -1):
        for row in range(h):
            _search_row(query, memory, rounded, candidates, band, (frame, row), reach, lists, passed, credit)
    for q in range(top * w, bottom * w):
        _look_through(rounded, candidates, results[0].shape[1], q, room)
        _flush(query, memory, candidates, lists, q)
