"""Candidates for the lists of query cells, found by products of bytes: parts of the kernel `window_bytes`."""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Int32

from selfvos.ops.kernels.byte_tiles import ALIGNED, SIDE, products_of_2_tiles, products_of_3_tiles, products_of_tile
from selfvos.ops.kernels.byte_vectors import (
    GROUP,
    LANES,
    MOST_VECTORS,
    QUERIES,
    product_of_rest,
    products_of_16,
    products_of_32,
    products_of_48,
)
from selfvos.ops.kernels.compiling import borrowing, compiled
from selfvos.ops.kernels.rounding import MOST_WORD, Rounded
from selfvos.ops.kernels.vectors import CELLS, lowest_bit, pair_products
from selfvos.ops.kernels.window_topk import _four, _insert

TILE = LANES * MOST_VECTORS
SETTLED = 2**31 - 1
"""Floor of a query cell whose list is settled."""
_SPARE = 24  # candidates that may come before those of a cell are looked through
_PASSED, _FLUSHED = 1, 8  # what a candidate costs, and one that is multiplied in float32, in pairs that never are
MOST_CREDIT = 2**15  # pairs: what earlier rows saved is not all put at stake
_DEVIATIONS = 2.0  # of the scatter about a guess, within which it is not trusted
_LONGEST_REST = 64  # rows of memory cells
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
    words: Int32[np.ndarray, " r"]
    """See `Rounded`; where it is guessed, they follow the floors."""
    least: Int32[np.ndarray, " r"]
    """What the product of the first channels has to reach, with that of the words added to it."""


@compiled
@no_type_check
def no_marks():
    """Return room for what `products_of_48` and `products_of_tile` say."""
    room = np.empty(SIDE * TILE + ALIGNED // 4, dtype=np.int32)
    begin = -room.ctypes.data % ALIGNED // 4
    return np.empty(SIDE, dtype=np.int64), room[begin : begin + SIDE * TILE].reshape(SIDE, TILE)


def no_candidates(cells: int, k: int, rounded: Rounded) -> Candidates:
    """Return room for the candidates of so many query cells, whose lists have k places."""
    # Pages of an empty array are taken from the machine only when they are written.
    product, cell = (np.empty((cells, 2 * k + 2 * _SPARE + TILE), dtype=np.int32) for _ in range(2))
    floor = np.full(cells + SIDE, np.iinfo(np.int32).min, dtype=np.int32)
    least = np.zeros_like(floor) if len(rounded.length) else floor
    limit = np.full(cells, k + _SPARE, np.int32)
    return Candidates(product, cell, np.zeros(cells, np.int32), limit, floor, rounded.words, least)


def start_again(candidates: Candidates, lists: tuple[np.ndarray, np.ndarray], cells: slice, k: int) -> None:
    """Forget what was found for some query cells."""
    lists[0][cells], lists[1][cells] = -np.inf, np.iinfo(np.int64).max
    candidates.found[cells], candidates.limit[cells] = 0, k + _SPARE
    candidates.floor[cells] = np.iinfo(np.int32).min
    if candidates.least is not candidates.floor:
        candidates.words[cells] = (candidates.words[cells] & ~0xFFFF) | MOST_WORD


@borrowing
@no_type_check
def settle(rounded, candidates, q):
    """Let nothing enter the list of a query cell any more."""
    candidates[4][q] = SETTLED
    if len(rounded[8]):
        words = candidates[5]
        words[q] = (words[q] & ~0xFFFF) | (-MOST_WORD & 0xFFFF)


@borrowing
@no_type_check
def raise_floor(rounded, candidates, scores, q):
    """Let the list of a query cell say what products have to reach."""
    error, start, unit = rounded[3], rounded[4], rounded[5]
    least = min(max(np.float64(scores[q, scores.shape[1] - 1]) / unit, -_FAR), _FAR)
    floors = candidates[4]
    floors[q] = max(floors[q], np.int32(np.floor(least)) + start[q] - error[q])
    _guess(rounded, candidates, least, q)


@borrowing
@no_type_check
def _guess(rounded, candidates, bar, q):
    """Let the words of a query cell say what a product of first channels is worth, if all channels reach the bar.

    In unit length, cosines of the first p of c channels scatter about that of all, s, by (1 - s^2) (1/p - 1/c)^(1/2),
    were the channels drawn by lot. The first ones, of most variance, say of like cells that they are more alike.
    """
    error, unit, first, length = rounded[3], rounded[5], rounded[6], rounded[8]
    if not len(length):
        return
    words = candidates[5]
    cosine = min(max((bar - error[q]) * unit, -1.0), 1.0)
    scatter = (1.0 - cosine * cosine) * np.sqrt(1.0 / first - 1.0 / rounded[0].shape[1])
    word = np.int32(min(max(-np.floor((cosine - _DEVIATIONS * scatter) * length[q]), -MOST_WORD), MOST_WORD))
    if word < np.int32(words[q] << 16) >> 16:
        words[q] = (words[q] & ~0xFFFF) | (word & 0xFFFF)


@borrowing
@no_type_check
def look_through(rounded, candidates, k, q, best):
    """Drop candidates of a query cell that k others are better than for certain, and raise its floor."""
    products, cells, counts, limits, floors, _, _ = candidates
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
        _guess(rounded, candidates, np.float64(best[k - 1]) - rounded[4][q], q)
    kept = 0
    for i in range(count):
        if product[i] >= floors[q]:
            product[kept], cell[kept] = product[i], cell[i]
            kept += 1
    counts[q] = kept
    limits[q] = kept + _SPARE


@borrowing
@no_type_check
def flush(query, memory, candidates, lists, q):
    """Multiply all candidates of a query cell in float32, offer them to its list, and forget them."""
    scores, cells, products = lists
    _, numbers, counts, limits = candidates[:4]
    found, count = numbers[q], counts[q]
    for i in range(0, count, CELLS):
        a, b, c, d = _four(i, count - 1)
        pair_products(query, memory, (q, q, q, q), (found[a], found[b], found[c], found[d]), products)
        for j in range(min(CELLS, count - i)):
            _insert(scores[q], cells[q], products[j], np.int64(found[i + j]))
    counts[q] = 0
    limits[q] = scores.shape[1] + _SPARE


@borrowing
@no_type_check
def flush_all(query, memory, rounded, candidates, lists, cells, room):
    """Multiply the candidates of some query cells that may still count, and raise their floors."""
    for q in range(cells[0], cells[1]):
        if candidates[4][q] != SETTLED:
            look_through(rounded, candidates, lists[0].shape[1], q, room)
            flush(query, memory, candidates, lists, q)
            raise_floor(rounded, candidates, lists[0], q)


@borrowing
@no_type_check
def offer(query, memory, rounded, candidates, lists, q, room):
    """Keep a query cell's candidates few: drop those that are beaten, flush where too many are left."""
    k = lists[0].shape[1]
    look_through(rounded, candidates, k, q, room)
    counts = candidates[2]
    count = counts[q]
    if count < 2 * k + _SPARE:
        return 0
    flush(query, memory, candidates, lists, q)
    raise_floor(rounded, candidates, lists[0], q)
    return count


@borrowing
@no_type_check
def _are_settled(floors, q, count):
    """Say whether nothing can enter the lists of some query cells any more."""
    for i in range(q, q + count):  # noqa: SIM110 - compiled code has no generators
        if floors[i] != SETTLED:
            return False
    return True


@borrowing
@no_type_check
def _keep(rounded, candidates, pairs, rest, cell):
    """Make those of some memory cells candidates whose products of all channels reach the floor; return what it costs.

    `pairs` is the query cell, the products of its first channels, and a bit for each memory cell that is meant. The
    last channels of the first memory cell lie at `rest`, and its number is `cell`.
    """
    queries, memory, first = rounded[0], rounded[1], rounded[6]
    found, numbers, counts, _, floors = candidates[:5]
    q, products, bits = pairs
    channels, number, cost = (first, queries.shape[1]), counts[q], 0
    while bits:
        bit = lowest_bit(bits)
        bits &= bits - 1
        cost += _PASSED
        product = products[bit] + product_of_rest(queries, memory, q, channels, rest + (channels[1] - first) * bit)
        if product >= floors[q]:
            found[q, number], numbers[q, number] = product, cell + bit
            number += 1
    counts[q] = number
    return cost


@borrowing
@no_type_check
def _own(bits, begin, x, r, columns):
    """Return those of a query cell's bits that lie in its window and in some columns; the first is that of `begin`."""
    nearest, farthest = max(x - r, columns[0]) - begin, min(x + r + 1, columns[1]) - begin
    return bits & ((1 << min(farthest, 63)) - (1 << max(nearest, 0))) if farthest > max(nearest, 0) else 0


@borrowing
@no_type_check
def _sift_lanes(query, memory, rounded, candidates, y, line, columns, r, lists, passed):
    """Offer a memory row to the query cells of row y; return what was saved by it.

    `line` is the place of the memory row among those that are rounded, and the number of its first cell.
    """
    left, right, first = rounded[0], rounded[1], rounded[6]
    counts, limits, floors, words, least = candidates[2:]
    marks, room = passed
    bits, products = marks
    w, c = query.shape[1], query.shape[2]
    begin, behind, bars = line[0] * w * (c // GROUP + 1), c - first, (words, least)
    rests, saved = GROUP * (begin + w * (first // GROUP + 1)), 0
    for x in range(0, w, QUERIES):
        q, count = y * w + x, min(QUERIES, w - x)
        m, stop = max(columns[0], x - r), min(columns[1], x + count + r)
        if _are_settled(floors, q, count):
            continue
        saved += count * max(0, stop - m)
        while m < stop:
            lane, rows = (begin + m, w), (q, q + count - 1, first)
            if stop - m > 2 * LANES:
                width = 3 * LANES
                some = products_of_48(left, right, rows, lane, bars, marks)
            elif stop - m > LANES:
                width = 2 * LANES
                some = products_of_32(left, right, rows, lane, bars, marks)
            else:
                width = LANES
                some = products_of_16(left, right, rows, lane, bars, marks)
            for i in range(count if some else 0):
                own = _own(bits[i], m, x + i, r, columns) if bits[i] else 0
                if not own:
                    continue
                cell = line[1] + m
                saved -= _keep(rounded, candidates, (q + i, products[i], own), rests + m * behind, cell)
                if counts[q + i] >= limits[q + i]:
                    saved -= _FLUSHED * offer(query, memory, rounded, candidates, lists, q + i, room)
            m += width
    return saved


@borrowing
@no_type_check
def _sift_tiles(query, memory, rounded, candidates, y, line, columns, r, lists, passed):
    """Do what `_sift_lanes` does where memory lies in tiles."""
    left, right = rounded[0], rounded[1]
    found, numbers, counts, limits, floors = candidates[:5]
    marks, room = passed
    bits, products = marks
    w, c = query.shape[1], query.shape[2]
    first, saved = line[0] * ((w + SIDE - 1) // SIDE) * SIDE, 0
    for x in range(0, w, SIDE):
        q, count = y * w + x, min(SIDE, w - x)
        m, stop = max(columns[0], x - r), min(columns[1], x + count + r)
        if m >= stop or _are_settled(floors, q, count):
            continue
        saved += count * (stop - m)
        m -= m % SIDE
        while m < stop:
            place = (first + m) * c
            if stop - m <= SIDE:
                width = SIDE
                some = products_of_tile(left, right, (q, c), place, floors, marks)
            elif stop - m <= 2 * SIDE or 3 * SIDE < stop - m <= 4 * SIDE:
                width = 2 * SIDE
                some = products_of_2_tiles(left, right, (q, c), place, floors, marks)
            else:
                width = 3 * SIDE
                some = products_of_3_tiles(left, right, (q, c), place, floors, marks)
            for i in range(count if some else 0):
                own = _own(bits[i], m, x + i, r, columns) if bits[i] else 0
                number = counts[q + i]
                while own:
                    bit = lowest_bit(own)
                    own &= own - 1
                    found[q + i, number], numbers[q + i, number] = products[i, bit], line[1] + m + bit
                    number += 1
                saved -= _PASSED * (number - counts[q + i])
                counts[q + i] = number
                if number >= limits[q + i]:
                    saved -= _FLUSHED * offer(query, memory, rounded, candidates, lists, q + i, room)
            m += width
    return saved


@borrowing
@no_type_check
def sift_rows(query, memory, rounded, candidates, ys, place, columns, reach, lists, passed, credit):
    """Make cells of a memory row that may belong into a list candidates of the query cells of the rows y0..y1-1.

    `place` is the memory frame and the row in it, of which these `columns` are looked at. `credit` holds what sifting
    has saved, how many rows it rests, and how many it would rest next. Returns the first row that was not sifted,
    because sifting rests.
    """
    h, w, _ = query.shape
    frame, row = place
    line = rounded[2][frame] * h + row, (frame * h + row) * w
    for y in range(ys[0], ys[1]):
        if credit[1] > 0:
            return y
        r = reach[abs(row - y)]
        if r < 0:
            continue
        if rounded[9]:
            saved = _sift_tiles(query, memory, rounded, candidates, y, line, columns, r, lists, passed)
        else:
            saved = _sift_lanes(query, memory, rounded, candidates, y, line, columns, r, lists, passed)
        saved += credit[0]
        credit[0] = min(max(0, saved), credit[3])
        if saved < 0:
            credit[1], credit[2] = credit[2], min(2 * credit[2], _LONGEST_REST)
        elif saved > credit[3]:
            credit[2] = 1
    return ys[1]
