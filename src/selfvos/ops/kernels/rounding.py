"""Features in 8 bits, with bounds on what products lose by it, for the matcher's kernel that multiplies bytes.

Source:
    This package's own. With q = q' + e and m = m' + d, where q' and m' are rounded, q m - q' m' is within
    |q'| |d| + |e| |m| by Cauchy's inequality; the longest d and m of all memory cells stand for all.
"""

import math
from collections.abc import Hashable, Sequence
from functools import partial
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Int8, Int32, Int64, UInt8

from selfvos.ops.kernels import byte_tiles
from selfvos.ops.kernels.byte_tiles import ALIGNED, SIDE, STEP
from selfvos.ops.kernels.byte_vectors import GROUP, LANES, MOST_VECTORS, REST
from selfvos.ops.kernels.compiling import compiled
from selfvos.ops.parallel import in_parallel

_MOST = 127  # largest whole number that features are rounded to
_SHIFT = 128  # the instruction takes one side without a sign
_MARGIN = 1.1  # features are rounded for numbers so much larger than the largest that was looked at
_LOOKED_AT = 8  # one row of cells in so many
_TILE = LANES * MOST_VECTORS
_TINY = 1e-30  # above all that is lost to underflow
_LARGEST = 1e15  # products of larger features may overflow
_FAR = 5e8  # beyond what any two sums of products differ by
_LEADING = 1 / 3  # share of channels, about, that are multiplied before it is guessed whether the others are worth it
_GUESSED = 1 / 8  # of what rounding may do at worst; 3 times what it does as a rule
MOST_WORD = 2**15 - 1
_MOST_WORDS = 256  # channels whose sum fits into 16 bits for certain
_WORSE = 2  # a frame that loses so much more than rounding alone takes needs larger steps


class Rounded(NamedTuple):
    """A query frame and memory frames in 8 bits."""

    query: Int8[np.ndarray, "m c"]
    memory: UInt8[np.ndarray, " s"]
    """By slot and row. In tiles: by `SIDE` columns, `STEP` channels, group of four, column, and channel in the group,
    with as many more columns, which mean nothing, as the last tile needs. Otherwise in a row come the first channels,
    by group of four, column, and channel in the group; then for each column two words: how long the cell is in its
    first channels, rounded up, and `_SHIFT`; then the other channels, by column. What follows means nothing."""
    slot: Int64[np.ndarray, " n"]
    """Where each memory frame lies there."""
    error: Int32[np.ndarray, " m"]
    """What a product of rounded cells may be off, in its own unit; where it is guessed, what it hardly ever is."""
    start: Int32[np.ndarray, " m"]
    """What the memory cells, which have no sign, add to all products of a query cell."""
    unit: float
    """What a product of rounded cells counts in."""
    first: int
    """Channels that are multiplied before it is guessed whether the rest is worth it; all where nothing is guessed."""
    words: Int32[np.ndarray, " r"]
    """Two words for each query cell, and some more that mean nothing. Multiplied with those of a memory cell, they are
    what is taken from the product of the first channels before it is compared; nothing so far."""
    length: Float32[np.ndarray, " l"]
    """Length of each query cell in its first channels, in steps; of no cell where nothing is guessed from them."""
    tiled: bool
    """Whether memory lies in tiles (`byte_tiles`); then all channels come first."""


class RoundedFrames:
    """Memory frames in 8 bits, kept from one search to the next."""

    def __init__(self, *, leading: bool = False, tiles: bool = True) -> None:
        """Keep none yet.

        Args:
            leading: How alike two cells are may be guessed from their first channels, those of most variance, as they
                are in whitened features of unit length; and that rounding errors do not add up to the worst.
            tiles: Have all channels multiplied in tiles, where there are the instruction and whole tiles of them.
        """
        self._leading, self._tiles = leading, tiles and byte_tiles.allowed()
        self._shape: tuple[int, ...] = ()
        self._step = np.float32(0)
        self._ids: list[Hashable] = []
        self._cells = np.empty(0, dtype=np.uint8)
        self._terms = np.empty((0, 2), dtype=np.float32)

    def round(
        self,
        query: Float32[np.ndarray, "h w c"],
        memory: Float32[np.ndarray, "n h w c"],
        ids: Sequence[Hashable],
        workers: int,
    ) -> Rounded | None:
        """Round a query frame, and those memory frames that are not here.

        Args:
            query: Features of the query frame, C-contiguous.
            memory: Features of the memory frames, C-contiguous.
            ids: Tell memory frames apart: whoever has the id of a frame that came before has its features.
            workers: Threads to use, at least 1.

        Returns:
            All frames; None if there are features that are no numbers, or too large.
        """
        h, w, c = query.shape
        slot = self._take(memory, ids, workers)
        farthest, longest = np.sqrt(self._terms[slot].max(axis=0).astype(np.float64)) * 1.001
        step = np.float32(_step(query.reshape(h, w * c)))
        if not max(step, self._step, farthest, longest) < _LARGEST:
            return None
        unit = np.float64(step) * np.float64(self._step)
        first = self._first(c)
        small = _aligned((h * w + SIDE) * c).view(np.int8).reshape(-1, c)
        error, start = np.empty(h * w, np.int32), np.empty(h * w, np.int32)
        words, length = np.zeros(h * w + SIDE, np.int32), np.empty(h * w if first < c else 0, np.float32)
        terms = step, farthest, longest, unit, _GUESSED if self._leading else 1.001
        if not _round_query(query.reshape(h * w, c), terms, first, small, (error, start, words, length)):
            return None
        return Rounded(small, self._cells, slot, error, start, float(unit), first, words, length, self._tiled(c))

    def _first(self, channels: int) -> int:
        """Return how many channels come first, so that the others are whole parts of `REST`."""
        first = channels - round(channels // REST * (1 - _LEADING)) * REST
        guessed = self._leading and not self._tiled(channels) and 0 < first <= _MOST_WORDS
        return first if guessed else channels

    def _tiled(self, channels: int) -> bool:
        return self._tiles and channels % STEP == 0

    def _take(self, memory: Float32[np.ndarray, "n h w c"], ids: Sequence[Hashable], workers: int) -> np.ndarray:
        if self._shape != memory.shape[1:]:
            self._begin(memory)
        self._put(memory, ids, workers)
        slot = np.array([self._ids.index(i) for i in ids])
        expected = self._step * math.sqrt(memory.shape[3] / 12)
        if math.sqrt(self._terms[slot, 0].max()) > _WORSE * expected and len(memory) > 1:
            self._begin(memory)
            self._put(memory, ids, workers)
            slot = np.array([self._ids.index(i) for i in ids])
        return slot

    def _begin(self, memory: Float32[np.ndarray, "n h w c"]) -> None:
        n, h, w, c = memory.shape
        self._shape, self._ids = memory.shape[1:], []
        self._step = np.float32(_step(memory.reshape(n * h, w * c)))

    def _put(self, memory: Float32[np.ndarray, "n h w c"], ids: Sequence[Hashable], workers: int) -> None:
        """Round frames that are not here into slots of frames that are not asked for."""
        size, first = self._size(), self._first(self._shape[2])
        wanted, known = set(ids), set(self._ids)
        new = [place for place, i in enumerate(ids) if i not in known]
        free = [slot for slot, i in enumerate(self._ids) if i not in wanted]
        free += range(len(self._ids), len(self._ids) + len(new) - len(free))
        self._ids += [None] * (max(free, default=-1) + 1 - len(self._ids))
        self._make_room(len(self._ids))
        pairs = list(zip(free, new, strict=False))
        for slot, place in pairs:
            self._ids[slot] = ids[place]

        def put(number: int) -> None:
            slot, place = pairs[number]
            packed = self._cells[slot * size : (slot + 1) * size]
            if self._tiled(self._shape[2]):
                self._terms[slot] = _tile_memory(memory[place], self._step, packed)
            else:
                self._terms[slot] = _round_memory(memory[place], self._step, first, packed)

        in_parallel(put, range(len(pairs)), workers)

    def _size(self) -> int:
        h, w, c = self._shape
        return h * (w + -w % SIDE) * c if self._tiled(c) else h * w * (c + GROUP)

    def _make_room(self, slots: int) -> None:
        size, known = self._size(), len(self._terms)
        needed = slots * size + GROUP * _TILE
        if len(self._cells) >= needed and known >= slots:
            return
        cells, terms = _aligned(2 * needed), np.zeros((2 * slots, 2), dtype=np.float32)
        cells[: min(known * size, len(self._cells))] = self._cells[: known * size]
        terms[:known] = self._terms
        self._cells, self._terms = cells, terms


def _aligned(size: int) -> UInt8[np.ndarray, " s"]:
    """Return so many bytes from a multiple of `ALIGNED` on."""
    # Pages of an empty array are taken from the machine only when they are written.
    room = np.empty(size + ALIGNED, dtype=np.uint8)
    begin = -room.ctypes.data % ALIGNED
    return room[begin : begin + size]


_summing = partial(compiled, fastmath={"reassoc", "contract"})  # in any order, so that sums take vectors


@compiled
@no_type_check
def _step(rows):
    """Return what one step of rounded features is worth; not a number, or infinite, where features are."""
    # As whole numbers, floats without their sign come in the same order, and after them what is no number.
    most = np.int32(0)
    for row in range(0, len(rows), _LOOKED_AT):
        for bits in rows[row].view(np.int32):
            most = max(most, bits & np.int32(0x7FFFFFFF))
    largest = np.full(1, most, dtype=np.int32).view(np.float32)[0]
    return largest * np.float32(_MARGIN / _MOST) if not largest <= _TINY else np.float32(_TINY)


@_summing
@no_type_check
def _round_cell(cell, step, rounded):
    """Round a cell to shifted bytes; return its own square, that of the rounded one, and of what lies between."""
    inverse = np.float32(1) / step
    own, kept, lost = np.float32(0), np.float32(0), np.float32(0)
    for channel in range(len(cell)):
        number = np.int32(cell[channel] * inverse + np.float32(_SHIFT + 0.5))
        number = min(max(number, np.int32(_SHIFT - _MOST)), np.int32(_SHIFT + _MOST))
        rounded[channel] = np.uint8(number)
        value = step * np.float32(number - np.int32(_SHIFT))
        own += cell[channel] * cell[channel]
        kept += value * value
        lost += (cell[channel] - value) * (cell[channel] - value)
    return own, kept, lost


@compiled
@no_type_check
def _round_next(cell, step, rounded, farthest, longest):
    """Round a cell; return the largest square of what one lost so far, and of one; infinity where one has none."""
    own, _, lost = _round_cell(cell, step, rounded)
    return max(farthest, lost), max(longest, own) if own < np.inf else np.float32(np.inf)


@compiled
@no_type_check
def _round_memory(frame, step, first, packed):
    """Round a frame; return the largest square of what a cell lost, and of a cell; infinity where one has none."""
    h, w, c = frame.shape
    farthest, longest = np.float32(0), np.float32(0)
    cell = np.empty(c, dtype=np.uint8)
    groups, lanes = cell.view(np.int32), packed.view(np.int32)
    size = w * (c + GROUP)
    for y in range(h):
        for x in range(w):
            farthest, longest = _round_next(frame[y, x], step, cell, farthest, longest)
            for group in range(first // GROUP):
                lanes[y * size // GROUP + group * w + x] = groups[group]
            length, _ = _length(cell, first)
            lanes[y * size // GROUP + first // GROUP * w + x] = np.int32(np.ceil(length)) + (_SHIFT << 16)
            begin = y * size + w * (first + GROUP) + x * (c - first)
            for channel in range(first, c):
                packed[begin + channel - first] = cell[channel]
    return farthest, longest


@compiled
@no_type_check
def _tile_memory(frame, step, packed):
    """Round a frame to tiles; return what `_round_memory` does."""
    h, w, c = frame.shape
    farthest, longest = np.float32(0), np.float32(0)
    cell = np.empty(c, dtype=np.uint8)
    groups, lanes = cell.view(np.int32), packed.view(np.int32)
    tiles, many = (w + SIDE - 1) // SIDE, c // GROUP
    for y in range(h):
        for x in range(w):
            farthest, longest = _round_next(frame[y, x], step, cell, farthest, longest)
            begin = (y * tiles + x // SIDE) * SIDE * many + x % SIDE
            for group in range(many):
                lanes[begin + group * SIDE] = groups[group]
    return farthest, longest


@compiled
@no_type_check
def _length(cell, first):
    """Return how long a rounded cell is in its first channels, and the sum of its numbers there."""
    square, total = np.int32(0), np.int32(0)
    for channel in range(first):
        number = np.int32(cell[channel]) - np.int32(_SHIFT)
        square += number * number
        total += number
    return np.sqrt(np.float64(square)), total


@compiled
@no_type_check
def _round_query(cells, terms, first, rounded, told):
    """Round the query frame, and say what its products are off; return whether all of it are numbers.

    The last of `terms` is the share of the bound that is said.

    Lengths are taken a little longer than float32 finds them. What a product in float32 may be off is added: its
    (c / 4 + 40) roundings are below (c + 64) / 2**21.
    """
    step, farthest, longest, unit, share = terms
    error, start, words, lengths = told
    m, c = cells.shape
    cell = np.empty(c, dtype=np.uint8)
    for q in range(m):
        own, kept, lost = _round_cell(cells[q], step, cell)
        if not own < np.inf:
            return False
        total = np.int32(0)
        for channel in range(c):
            number = np.int32(cell[channel]) - np.int32(_SHIFT)
            rounded[q, channel] = number
            total += number
        start[q] = _SHIFT * total
        if len(lengths):
            lengths[q], total = _length(cell, first)
            words[q] = MOST_WORD - (total << 16)
        off = np.sqrt(np.float64(kept)) * farthest
        off += (np.sqrt(np.float64(lost)) + np.sqrt(np.float64(own)) * (c + 64) / 2**21) * longest
        off *= share
        error[q] = np.int32(np.ceil(min((off + _TINY) / unit, _FAR)))
    return True
