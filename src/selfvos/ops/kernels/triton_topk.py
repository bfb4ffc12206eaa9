"""The matcher's kernels for graphics processors, in Triton: the affinity is compared in registers, never written out.

A program takes a tile of 8 x 8 query cells, whose windows overlap, and walks over the memory frames, the latest first
since they are most alike and raise the bar early. In each frame it visits the rectangle that its windows reach in
blocks of 2 x 32 cells: for a radius of 12 that is 15 blocks, 960 products for each query cell, 437 of them wanted.
Scores stay in the registers of the product. A block in which no query cell beats the last of its list is passed over;
in any other, all 64 query cells insert their best candidate at once, then their next, until nothing passes: a few
rounds of a maximum in place of a sort. A key of 64 bits, score above cell number, orders candidates completely, so the
order of visits cannot show and the blocks of a tile may be shared among several programs, enough in all to fill the
device; a second small kernel merges their lists. Two rows of 32 rather than a flat run of 64 cells need one look into
the table of the window for a row, not for a product, and keep one data layout from the product to the list.

Products of bfloat16 and float16 are exact in float32 and summed there by the tensor cores. float32 takes ordinary
multiply-adds, several times slower: TF32 would be off in the fourth digit and change the matches.

None of this has been measured. Sizes were chosen on paper and by what the compiler makes of them for an H100 (with
bfloat16 and lists of 10, no spilled registers and room for 3 programs on a multiprocessor). On paper a 480 x 854 frame
against 20 frames within 12 cells and one everywhere, 256 channels, moves 3 GB from the second-level cache with
bfloat16, half a millisecond there, and takes some 6 ms with float32, whose tiles the compiler lays out such that
shared memory sets the pace; TF32 in three steps ("tf32x3") is the first thing to try against that.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

_TILE = 8
_BLOCK_ROWS, _BLOCK_COLUMNS = 2, 32
_PROGRAMS = 512  # about four for each of the 132 multiprocessors of an H100
_MOST_PARTS = 8
_MERGED_CELLS = 16
_READ_CELLS, _READ_CHANNELS = 16, 128

_LAST = tl.constexpr(0x7FFFFFFF)  # above every cell number
_EMPTY = tl.constexpr((-0x7F800001 << 32) + (1 << 31))  # score -inf, but above the key of any cell that scores -inf
_FULL = tl.constexpr(0x7FFFFFFFFFFFFFFF)  # above every key


def window_topk(
    query: Float[Tensor, "h w c"],
    memory: Float[Tensor, "n h w c"],
    reach: Int[Tensor, "n h"],
    k: int,
) -> tuple[Float32[Tensor, "m k"], Int64[Tensor, "m k"]]:
    """Find the k memory cells that each query cell likes best.

    Args:
        query: Features of the query frame in float32, bfloat16 or float16.
        memory: Features of the memory frames in the same type, fewer than 2**31 cells in all.
        reach: Farthest column distance allowed in each memory frame at each row distance, -1 for none.
        k: Length of the lists, 1 to 64.

    Returns:
        Dot products, descending, -inf where fewer than k cells are allowed, inf where a product is not a number;
        and their flat cell numbers, ascending among equal products, 0 where the product is -inf.
    """
    (n, h, w, c), device = memory.shape, memory.device
    tiles = -(-h // _TILE) * -(-w // _TILE)
    slots, parts = _power_of_two(k), _count_parts(tiles)
    lists = torch.empty(h * w, parts * slots, dtype=torch.int64, device=device)
    score = torch.empty(h * w, k, dtype=torch.float32, device=device)
    index = torch.empty(h * w, k, dtype=torch.int64, device=device)
    query, memory, reach = query.contiguous(), memory.contiguous(), reach.int().contiguous()
    with torch.cuda.device_of(query):
        _search[(tiles, parts)](
            *(query, memory, reach, lists, n, h, w, c, k, slots, parts),
            *(_power_of_two(h), _TILE, _BLOCK_ROWS, _BLOCK_COLUMNS),
            **_shape_of_product(query.dtype),
        )
        _merge[(-(-h * w // _MERGED_CELLS),)](lists, score, index, h * w, k, parts * slots, _MERGED_CELLS)
    return score, index


def read(
    values: Float[Tensor, "r c"], index: Int64[Tensor, "m k"], weight: Float[Tensor, "m k"]
) -> Float[Tensor, "m c"]:
    """Gather and mix, for each query cell, the values of the memory cells that it was matched with.

    Args:
        values: What each memory cell carries, in float32, bfloat16 or float16.
        index: Memory cells, 0 to r - 1.
        weight: Their weights.

    Returns:
        Weighted sums, added up in float32, in the type of values; without gradient.
    """
    (m, k), c = index.shape, values.shape[1]
    mixed = values.new_empty(m, c)
    channels = min(_READ_CHANNELS, _power_of_two(c))
    with torch.cuda.device_of(values):
        _mix[(-(-m // _READ_CELLS), -(-c // channels))](
            *(values.contiguous(), index.contiguous(), weight.contiguous(), mixed), m, c, k, _READ_CELLS, channels
        )
    return mixed


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()


def _count_parts(tiles: int) -> int:
    """Return among how many programs the search of a tile is shared, a power of two."""
    return min(_MOST_PARTS, 1 << max(0, (_PROGRAMS // tiles).bit_length() - 1))


def _shape_of_product(dtype: torch.dtype) -> dict[str, Any]:
    if dtype == torch.float32:
        return {"CHANNELS": 32, "num_warps": 8, "num_stages": 2}
    return {"CHANNELS": 64, "num_warps": 4, "num_stages": 3}


def _jit(function: Callable[..., Any]) -> Any:
    return triton.jit(function)


@_jit
@no_type_check
def _swap_order(bits):
    """Turn the bits of a float32 into a whole number of the same order, or back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@_jit
@no_type_check
def _lead(scores, cell):
    """Return the key and the cell number of each query cell's best candidate, the lowest among equals."""
    top = tl.max(scores, 1)
    leader = tl.min(tl.where(scores == top[:, None], cell[None, :], _LAST), 1)
    top = tl.where(top == 0.0, 0.0, top)  # -0 equals 0 and must not rank below it
    high = _swap_order(top.to(tl.int32, bitcast=True)).to(tl.int64)
    return (high << 32) | (leader ^ _LAST).to(tl.int64), leader


@_jit
@no_type_check
def _multiply(q_start, m_start, C: tl.constexpr, CHANNELS: tl.constexpr):
    """Multiply query cells with memory cells, given where the features of each begin."""
    channel = tl.arange(0, CHANNELS)[None, :]
    products = tl.zeros([q_start.shape[0], m_start.shape[0]], tl.float32)
    for first in range(0, C, CHANNELS):
        inside = first + channel < C
        left = tl.load(q_start[:, None] + (first + channel), mask=inside, other=0.0)
        right = tl.load(m_start[:, None] + (first + channel), mask=inside, other=0.0)
        products = tl.dot(left, tl.trans(right), products, input_precision="ieee")
    return products


@_jit
@no_type_check
def _insert(best, scores, cell):
    """Put what belongs there into the lists, one candidate of every query cell at a time."""
    floor = tl.min(best, 1)
    key, leader = _lead(scores, cell)
    while tl.max((key > floor).to(tl.int32), 0) > 0:
        replaced = (best == floor[:, None]) & (key > floor)[:, None]
        best = tl.where(replaced, key[:, None], best)
        floor = tl.min(best, 1)
        scores = tl.where(cell[None, :] == leader[:, None], float("-inf"), scores)
        key, leader = _lead(scores, cell)
    return best


@_jit
@no_type_check
def _search(
    query,
    memory,
    reach,
    lists,
    n,
    h,
    w,
    C: tl.constexpr,
    K: tl.constexpr,
    SLOTS: tl.constexpr,
    PARTS: tl.constexpr,
    HEIGHT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Fill the lists of the query cells of one tile with the best of every PARTS-th block of memory cells."""
    across, part = tl.cdiv(w, TILE), tl.program_id(1)
    top, left = tl.program_id(0) // across * TILE, tl.program_id(0) % across * TILE
    y, x = top + tl.arange(0, TILE * TILE) // TILE, left + tl.arange(0, TILE * TILE) % TILE
    # Query cells that stick out of the map repeat its border; their lists are not stored.
    qy, qx = tl.minimum(y, h - 1), tl.minimum(x, w - 1)
    q_start = query + (qy * w + qx).to(tl.int64) * C
    slot = tl.arange(0, SLOTS)[None, :] + tl.zeros([TILE * TILE, 1], tl.int64)
    best = tl.where(slot < K, slot + _EMPTY, _FULL)
    distance, offset = tl.arange(0, HEIGHT), tl.arange(0, BLOCK_ROWS * BLOCK_COLUMNS)
    for step in range(n):
        frame = n - 1 - step
        farthest = tl.load(reach + frame * h + distance, mask=distance < h, other=-1)
        wide, tall = tl.max(farthest, 0), tl.max(tl.where(farthest >= 0, distance, -1), 0)
        first_row, first_column = tl.maximum(top - tall, 0), tl.maximum(left - wide, 0)
        rows = tl.cdiv(tl.minimum(top + TILE + tall, h) - first_row, BLOCK_ROWS)
        columns = tl.cdiv(tl.minimum(left + TILE + wide, w) - first_column, BLOCK_COLUMNS)
        for block in range((part + step) % PARTS, rows * columns, PARTS):
            row = first_row + block // columns * BLOCK_ROWS
            column = first_column + block % columns * BLOCK_COLUMNS
            # So do memory cells; the copies of a cell leave the candidates together.
            my = tl.minimum(row + offset // BLOCK_COLUMNS, h - 1)
            mx = tl.minimum(column + offset % BLOCK_COLUMNS, w - 1)
            cell = (frame * h + my) * w + mx
            scores = _multiply(q_start, memory + cell.to(tl.int64) * C, C, CHANNELS)
            scores = tl.where(scores == scores, scores, float("inf"))
            allowed = tl.zeros([TILE * TILE, BLOCK_ROWS * BLOCK_COLUMNS], tl.int32)
            for i in tl.static_range(BLOCK_ROWS):
                at = tl.load(reach + frame * h + tl.abs(qy - tl.minimum(row + i, h - 1)))
                allowed = tl.where((offset // BLOCK_COLUMNS == i)[None, :], at[:, None], allowed)
            scores = tl.where(tl.abs(qx[:, None] - mx[None, :]) <= allowed, scores, float("-inf"))
            best = _insert(best, scores, cell)
    best = tl.where(slot < K, best, _EMPTY)
    start = lists + ((y * w + x).to(tl.int64) * PARTS + part) * SLOTS
    tl.store(start[:, None] + slot, best, mask=((y < h) & (x < w))[:, None])


@_jit
@no_type_check
def _merge(lists, score, index, m, K: tl.constexpr, KEYS: tl.constexpr, CELLS: tl.constexpr):
    """Draw the best keys, best first, from all that the programs of a tile found, and take them apart."""
    row = tl.program_id(0).to(tl.int64) * CELLS + tl.arange(0, CELLS)
    keys = tl.load(lists + row[:, None] * KEYS + tl.arange(0, KEYS)[None, :], mask=(row < m)[:, None], other=_EMPTY)
    for place in range(K):
        key = tl.max(keys, 1)
        keys = tl.where(keys == key[:, None], _EMPTY, keys)
        value = _swap_order((key >> 32).to(tl.int32)).to(tl.float32, bitcast=True)
        tl.store(score + row * K + place, value, mask=row < m)
        tl.store(index + row * K + place, tl.where(value > float("-inf"), (key & _LAST) ^ _LAST, 0), mask=row < m)


@_jit
@no_type_check
def _mix(values, index, weight, mixed, m, c, K: tl.constexpr, CELLS: tl.constexpr, CHANNELS: tl.constexpr):
    """Mix some channels of some query cells."""
    row = tl.program_id(0).to(tl.int64) * CELLS + tl.arange(0, CELLS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    inside = (row < m)[:, None] & (channel < c)
    total = tl.zeros([CELLS, CHANNELS], tl.float32)
    for i in range(K):
        cell = tl.load(index + row * K + i, mask=row < m, other=0)
        share = tl.load(weight + row * K + i, mask=row < m, other=0.0).to(tl.float32)
        value = tl.load(values + cell[:, None] * c + channel, mask=inside, other=0.0)
        total += share[:, None] * value.to(tl.float32)
    tl.store(mixed + row[:, None] * c + channel, total.to(mixed.dtype.element_ty), mask=inside)
