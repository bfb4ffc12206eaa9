"""The matcher's compiled kernel for float32 on the CPU: it multiplies few cells in full and keeps only the best.

Most products cannot enter a list of the best, and a sketch of both cells shows it: their coordinates along 15
directions that hold most of the features' energy, and the length of the rest. By Cauchy's inequality the product of
two sketches is never below the product of the cells. Where it reaches the score that a query cell's list ends with,
and only there, the pair is multiplied in full, so the answer is to the bit that of multiplying everything.

Where too many pairs pass, as with features that are alike everywhere or have no main directions, the sketches are
left aside for a while: three query cells meet four memory cells at a time, and the twelve products stay in vector
registers unless one of them belongs into a list.

Threads are plain Python threads around compiled code that releases the interpreter's lock, not numba's `prange`,
which is no faster: its OpenMP layer ends every process forked after its first use (data loaders fork), its workqueue
layer any process that matches from two threads at once (servers do).
"""

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int64

from selfvos.ops.kernels.compiling import borrowing, compiled
from selfvos.ops.kernels.vectors import (
    BOUND_CELLS,
    BOUND_QUERIES,
    CELLS,
    QUERIES,
    SKETCH,
    bounds,
    grid_products,
    lowest_bit,
    pair_products,
)
from selfvos.ops.parallel import in_parallel

CHANNEL_STEP = 32
"""The kernel takes channels in multiples of this, whatever the width of the vectors: code compiled for one machine
and found by another must not read past the end."""
AXES = SKETCH - 1
"""Directions that a sketch speaks of."""

_FIRST_CACHE = 4096  # floats of memory cells that wait while query cells pass by: half of a 32 KiB cache
_SECOND_CACHE = 96 * 1024  # floats of query cells that are searched for at a time: some 40 % of a 1 MiB cache
_BLOCK_COLUMNS = 36
_BANDS_PER_WORKER = 4  # spare bands even out rows at the border, whose windows are smaller
_SKETCHED_ROWS = 64
_PRICE = 6  # a pair that passes costs as much as 6 that are multiplied by twelves
_MOST_CREDIT = 2**15  # pairs: what earlier rows saved is not all put at stake
_LONGEST_REST = 64  # rows of memory cells
_QUEUE = BOUND_QUERIES * BOUND_CELLS + CELLS
_TINY = np.float32(1e-30)  # above all that is lost to underflow


def window_topk(
    query: Float32[np.ndarray, "h w c"],
    memory: Float32[np.ndarray, "n h w c"],
    reach: Int64[np.ndarray, "n h"],
    k: int,
    workers: int,
    axes: Float32[np.ndarray, "a c"] | None = None,
    order: Sequence[int] | None = None,
) -> tuple[Float32[np.ndarray, "m k"], Int64[np.ndarray, "m k"]]:
    """Find the k memory cells that each query cell likes best.

    Args:
        query: Features of the query frame, C-contiguous; c is a multiple of `CHANNEL_STEP`.
        memory: Features of the memory frames, C-contiguous.
        reach: Farthest column distance allowed in each memory frame at each row distance, -1 for none.
        k: Length of the lists, at least 1.
        workers: Threads to use, at least 1; the result does not depend on it.
        axes: `AXES` directions of unit length at right angles to each other, best those of most energy; they change
            the time, never the result. None multiplies everything.
        order: Places of the memory frames, those that are most like the query frame last, which saves time; None: as
            they are.

    Returns:
        Dot products, descending, -inf where fewer than k cells are allowed, inf where a product is not a number;
        and their flat cell numbers, ascending among equal products, arbitrary where the product is -inf.
    """
    h, w, c = query.shape
    scores = np.full((h * w, k), -np.inf, dtype=np.float32)
    cells = np.full((h * w, k), np.iinfo(np.int64).max, dtype=np.int64)
    rows = max(1, min(_SECOND_CACHE // (_BLOCK_COLUMNS * c), -(-h // (workers * _BANDS_PER_WORKER))))
    sketches = tuple(_sketch(frames, axes, workers) for frames in (query[None], memory))
    visit = reach, np.array(order or range(len(memory)), dtype=np.int64)[::-1].copy()

    def search(top: int) -> None:
        _search_band(query, memory, sketches, visit, (top, min(top + rows, h)), (scores, cells))

    in_parallel(search, range(0, h, rows), workers)
    return scores, cells


def _sketch(
    frames: Float32[np.ndarray, "n h w c"], axes: Float32[np.ndarray, "a c"] | None, workers: int
) -> Float32[np.ndarray, " s"]:
    """Return the sketches of all cells, in the order n h s w; nothing without axes.

    A few numbers follow that mean nothing: the last cells of a row are compared together with what lies behind.
    """
    n, h, w, c = frames.shape
    if axes is None:
        return np.empty(0, dtype=np.float32)
    sketches = np.empty(n * h * SKETCH * w + BOUND_CELLS, dtype=np.float32)
    rows = sketches[:-BOUND_CELLS].reshape(n * h, SKETCH, w)

    def sketch(top: int) -> None:
        _sketch_rows(frames.reshape(n * h, w, c), axes, (top, min(top + _SKETCHED_ROWS, n * h)), rows)

    in_parallel(sketch, range(0, n * h, _SKETCHED_ROWS), workers)
    return sketches


@borrowing
@no_type_check
def _four(first, last):
    """Return four cell numbers from `first` on, none above `last`: repetitions are never looked at."""
    return first, min(first + 1, last), min(first + 2, last), min(first + 3, last)


@compiled
@no_type_check
def _sketch_rows(features, axes, band, sketches):
    """Fill the sketches of the rows top..bottom-1.

    The length of the rest is rounded up by more than all sums of a product of cells or sketches can be off:
    (c / 4 + 3) float32 roundings in each of 18 sums of c terms, and 150 more, are below (c + 64) / 2**21.
    """
    _, w, c = features.shape
    slack = np.float32(1 + (c + 64) / 2**21)
    rest, products = np.empty(CELLS, dtype=np.float32), np.empty(QUERIES * CELLS, dtype=np.float32)
    none = (np.float32(np.inf), np.float32(np.inf), np.float32(np.inf))
    for row in range(band[0], band[1]):
        for x in range(0, w, CELLS):
            count = min(CELLS, w - x)
            cells = _four(row * w + x, row * w + x + count - 1)
            pair_products(features, features, cells, cells, rest)
            for j in range(count):
                rest[j] *= slack
            for a in range(0, AXES, QUERIES):
                grid_products(axes, features, (a, a + 1, a + 2), cells, none, products)
                for i in range(QUERIES):
                    for j in range(count):
                        along = products[CELLS * i + j]
                        sketches[row, a + i, x + j] = along
                        rest[j] -= along * along
            for j in range(count):
                # What is not a number stays so, and passes every comparison.
                sketches[row, AXES, x + j] = np.sqrt(_TINY if rest[j] < _TINY else rest[j])


@borrowing
@no_type_check
def _insert(scores, cells, score, cell):
    """Put one cell into a list that is ordered by falling score, then rising number, if it belongs there."""
    if score != score:
        score = np.float32(np.inf)
    place = len(scores)
    while place > 0 and (score > scores[place - 1] or (score == scores[place - 1] and cell < cells[place - 1])):
        place -= 1
    if place == len(scores) or score == -np.inf:
        return
    for i in range(len(scores) - 1, place, -1):
        scores[i] = scores[i - 1]
        cells[i] = cells[i - 1]
    scores[place] = score
    cells[place] = cell


@borrowing
@no_type_check
def _floors(scores, query, count):
    """Return what a product must reach to enter the lists of 3 query cells, the first `count` of which are wanted."""
    last = scores.shape[1] - 1
    never = np.float32(np.inf)
    second = scores[query + 1, last] if count > 1 else never
    third = scores[query + 2, last] if count > 2 else never
    return scores[query, last], second, third


@borrowing
@no_type_check
def _search_row(query, memory, span, panel, reach, lists):
    """Offer memory cells left..right-1 of the row that starts at cell `origin` to query cells x0..x1-1 of row y."""
    y, x0, x1 = span
    origin, left, right = panel
    scores, cells, products = lists
    for x in range(x0, x1, QUERIES):
        # Groups that stick out of the span repeat its last cell; what the repetitions yield is never looked at.
        q = y * query.shape[1] + x
        count = min(QUERIES, x1 - x)
        queries = (q, q + min(1, count - 1), q + count - 1)
        floors = _floors(scores, q, count)
        stop = min(right, x + QUERIES + reach)
        for m in range(max(left, x - reach), stop, CELLS):
            first = origin + m
            passed = grid_products(query, memory, queries, _four(first, origin + stop - 1), floors, products)
            if passed == 0:
                continue
            for i in range(count):
                nearest, farthest = max(0, x + i - reach - m), min(CELLS, stop - m, x + i + reach + 1 - m)
                for j in range(nearest, farthest):
                    if passed >> (CELLS * i + j) & 1:
                        _insert(scores[q + i], cells[q + i], products[CELLS * i + j], first + j)
            floors = _floors(scores, q, count)


@borrowing
@no_type_check
def _search_rows(query, memory, spans, panel, reach, lists):
    """Offer a row of memory cells to query cells x0..x1-1 of the rows y0..y1-1, a panel of them at a time.

    A panel of memory cells stays in the first-level cache, the query cells in the second.
    """
    y0, y1, x0, x1 = spans
    _, w, c = query.shape
    origin, row = panel
    width = max(CELLS, _FIRST_CACHE // c // CELLS * CELLS)
    for left in range(0, w, width):
        right = min(left + width, w)
        for y in range(y0, y1):
            r = reach[abs(row - y)]
            if r >= 0:
                span = (y, max(x0, left - r), min(x1, right + r))
                _search_row(query, memory, span, (origin, left, right), r, lists)


@borrowing
@no_type_check
def _sift_row(query, memory, sketches, span, origin, reach, lists, pending):
    """Offer the cells of a memory row whose sketches pass to query cells x0..x1-1 of row y; return how many passed.

    Pairs that pass queue up to be multiplied four at a time; up to three are left waiting.
    """
    y, x0, x1 = span
    queue, waiting = pending
    w = query.shape[1]
    passed = 0
    for x in range(x0, x1, BOUND_QUERIES):
        q = y * w + x
        count = min(BOUND_QUERIES, x1 - x)
        floors = _floors(lists[0], q, count)[:BOUND_QUERIES]
        for m in range(max(0, x - reach), min(w, x + BOUND_QUERIES + reach), BOUND_CELLS):
            bits = bounds(sketches[0], sketches[1], y * SKETCH * w + x, origin * SKETCH + m, w, floors)
            if bits == 0:
                continue
            for i in range(count):
                nearest, farthest = max(0, x + i - reach - m), min(BOUND_CELLS, w - m, x + i + reach + 1 - m)
                own = bits >> (32 * i) & ((1 << farthest) - (1 << nearest))
                while own:
                    queue[0, waiting[0]], queue[1, waiting[0]] = q + i, origin + m + lowest_bit(own)
                    own &= own - 1
                    waiting[0] += 1
                    passed += 1
            while waiting[0] >= CELLS:
                _multiply(query, memory, lists, pending)
            floors = _floors(lists[0], q, count)[:BOUND_QUERIES]
    return passed


@borrowing
@no_type_check
def _multiply(query, memory, lists, pending):
    """Multiply and offer the last four pairs in the queue, or all where fewer wait."""
    scores, cells, products = lists
    queue, waiting = pending
    queries, found = queue
    count = min(CELLS, waiting[0])
    waiting[0] -= count
    start = waiting[0]
    a, b, c, d = _four(start, start + count - 1)
    rows = queries[a], queries[b], queries[c], queries[d]
    pair_products(query, memory, rows, (found[a], found[b], found[c], found[d]), products)
    for i in range(count):
        q = queries[start + i]
        _insert(scores[q], cells[q], products[i], found[start + i])


@compiled
@no_type_check
def _search_band(query, memory, sketches, visit, band, results):
    """Fill the lists of the query cells in rows top..bottom-1.

    `visit` says how far matches reach, and in which order frames are visited: those that are most alike raise the bar
    early. Where sketches let too many pairs pass, rows are searched without them, twice as many each time.
    """
    reach, order = visit
    top, bottom = band
    _, h, w, _ = memory.shape
    lists = (results[0], results[1], np.empty(QUERIES * CELLS, dtype=np.float32))
    pending = np.empty((2, _QUEUE), dtype=np.int64), np.zeros(1, dtype=np.int64)
    sifting = len(sketches[1]) > 0
    resting, rest, credit = 0, 1, 0
    for frame in order:
        for x0 in range(0, w, _BLOCK_COLUMNS):
            x1 = min(x0 + _BLOCK_COLUMNS, w)
            for row in range(h):
                origin = (frame * h + row) * w
                y = top
                while sifting and resting == 0 and y < bottom:
                    r = reach[frame, abs(row - y)]
                    if r >= 0:
                        passed = _sift_row(query, memory, sketches, (y, x0, x1), origin, r, lists, pending)
                        credit += (x1 - x0) * min(w, 2 * r + 1) - _PRICE * passed
                        if credit < 0:
                            resting, rest, credit = rest, min(2 * rest, _LONGEST_REST), 0
                        elif credit > _MOST_CREDIT:
                            rest, credit = 1, _MOST_CREDIT
                    y += 1
                if y < bottom:
                    resting = max(0, resting - 1)
                    _search_rows(query, memory, (y, bottom, x0, x1), (origin, row), reach[frame], lists)
    if pending[1][0]:
        _multiply(query, memory, lists, pending)
