"""The matcher's compiled kernel for float32 on the CPU: a register-blocked product that keeps only the best.

Three query cells meet four memory cells at a time. The twelve dot products stay in vector registers, are compared
with the score each query cell's list ends with, and are stored only where one of them belongs into a list. LLVM's
own vector types carry the product, so one text serves every processor and no compiler is needed at installation.

Threads are plain Python threads around compiled code that releases the interpreter's lock, not numba's `prange`,
which is no faster: its OpenMP layer ends every process forked after its first use (data loaders fork), its workqueue
layer any process that matches from two threads at once (servers do).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float32, Int64
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

CHANNEL_STEP = 32
"""The kernel takes channels in multiples of this, whatever the width of the vectors: code compiled for one machine
and found by another must not read past the end."""

_QUERIES, _CELLS = 3, 4  # 12 sums, 3 query vectors and 1 memory vector: the 16 registers of AVX2
_UNROLL = 2
_FIRST_CACHE = 4096  # floats of memory cells that wait while query cells pass by: half of a 32 KiB cache
_SECOND_CACHE = 96 * 1024  # floats of query cells that are searched for at a time: some 40 % of a 1 MiB cache
_BLOCK_COLUMNS = 36
_BANDS_PER_WORKER = 4  # spare bands even out rows at the border, whose windows are smaller


def _lanes() -> int:
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx") else 4


_LANES = _lanes()  # floats in a vector; CHANNEL_STEP is a multiple of _LANES * _UNROLL


def window_topk(
    query: Float32[np.ndarray, "h w c"],
    memory: Float32[np.ndarray, "n h w c"],
    reach: Int64[np.ndarray, "n h"],
    k: int,
    workers: int,
) -> tuple[Float32[np.ndarray, "m k"], Int64[np.ndarray, "m k"]]:
    """Find the k memory cells that each query cell likes best.

    Args:
        query: Features of the query frame, C-contiguous; c is a multiple of `CHANNEL_STEP`.
        memory: Features of the memory frames, C-contiguous.
        reach: Farthest column distance allowed in each memory frame at each row distance, -1 for none.
        k: Length of the lists, at least 1.
        workers: Threads to use, at least 1; the result does not depend on it.

    Returns:
        Dot products, descending, -inf where fewer than k cells are allowed, inf where a product is not a number;
        and their flat cell numbers, ascending among equal products, arbitrary where the product is -inf.
    """
    h, w, c = query.shape
    scores = np.full((h * w, k), -np.inf, dtype=np.float32)
    cells = np.full((h * w, k), np.iinfo(np.int64).max, dtype=np.int64)
    rows = max(1, min(_SECOND_CACHE // (_BLOCK_COLUMNS * c), -(-h // (workers * _BANDS_PER_WORKER))))

    def search(top: int) -> None:
        _search_band(query, memory, reach, (top, min(top + rows, h)), (scores, cells))

    _in_parallel(search, range(0, h, rows), workers)
    return scores, cells


def _in_parallel(task: Callable[[int], None], work: range, workers: int) -> None:
    if workers == 1 or len(work) == 1:
        for item in work:
            task(item)
        return
    with ThreadPoolExecutor(min(workers, len(work))) as pool:
        for _ in pool.map(task, work):
            pass


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder to keep compiled code in: every process compiles anew
        return njit(nogil=True)(function)


@intrinsic
@no_type_check
def _products(typing, query, memory, rows, columns, floors, scores):  # noqa: ARG001
    """Multiply 3 query cells with 4 memory cells; bit 4 i + j of the result is set unless product (i, j) < floor i.

    The sum runs over channels in one fixed order for every pair of cells, so equal features give equal products
    wherever they lie. Comparing "not less" lets products that are not a number through to be noticed.
    """
    signature = types.int64(
        query,
        memory,
        types.UniTuple(types.int64, _QUERIES),
        types.UniTuple(types.int64, _CELLS),
        types.UniTuple(types.float32, _QUERIES),
        scores,
    )
    return signature, _emit_products


@no_type_check
def _emit_products(context, builder, signature, arguments):
    q_array, m_array, s_array = (
        context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 1, 5)
    )
    channels = builder.extract_value(q_array.shape, 2)

    def starts(data, numbers, count):
        picked = [builder.extract_value(numbers, i) for i in range(count)]
        return [builder.gep(data, [builder.mul(number, channels)]) for number in picked]

    sums = _emit_loop(
        builder, channels, starts(q_array.data, arguments[2], _QUERIES), starts(m_array.data, arguments[3], _CELLS)
    )
    bits = ir.Constant(ir.IntType(64), 0)
    for i in range(_QUERIES):
        products = _emit_transposed_sum(builder, sums[i])
        place = builder.gep(s_array.data, [ir.Constant(ir.IntType(64), i * _CELLS)])
        store = builder.store(products, builder.bitcast(place, products.type.as_pointer()))
        store.align = 4
        floor = _emit_splat(builder, builder.extract_value(arguments[4], i), products.type)
        passed = builder.bitcast(builder.fcmp_unordered(">=", products, floor), ir.IntType(_CELLS))
        bits = builder.or_(bits, builder.shl(builder.zext(passed, bits.type), ir.Constant(bits.type, i * _CELLS)))
    return bits


@no_type_check
def _emit_loop(builder, channels, queries, cells):
    vector, index = ir.VectorType(ir.FloatType(), _LANES), ir.IntType(64)
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.v{_LANES}f32"
    )
    before, loop, after = builder.block, builder.append_basic_block("channels"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    channel = builder.phi(index)
    sums = [[builder.phi(vector) for _ in cells] for _ in queries]

    def load(start, channel):
        place = builder.bitcast(builder.gep(start, [channel]), vector.as_pointer())
        loaded = builder.load(place)
        loaded.align = 4
        return loaded

    grown = [list(row) for row in sums]
    following = channel
    for _ in range(_UNROLL):
        left = [load(start, following) for start in queries]
        for j, start in enumerate(cells):
            # One at a time: loaded together, the four would push a sum out of its register.
            right = load(start, following)
            for i in range(len(queries)):
                grown[i][j] = builder.call(fma, [left[i], right, grown[i][j]])
        following = builder.add(following, ir.Constant(index, _LANES))
    channel.add_incoming(ir.Constant(index, 0), before)
    channel.add_incoming(following, loop)
    for i, row in enumerate(sums):
        for j, phi in enumerate(row):
            phi.add_incoming(ir.Constant(vector, None), before)
            phi.add_incoming(grown[i][j], loop)
    builder.cbranch(builder.icmp_signed("<", following, channels), loop, after)
    builder.position_at_end(after)
    return grown


@no_type_check
def _emit_transposed_sum(builder, vectors):
    """Add up the lanes of each of four vectors; return the four sums as one vector."""
    halved = [_emit_fold(builder, vector) for vector in vectors]
    first, second = (_emit_pairwise(builder, *halved[i : i + 2]) for i in (0, 2))
    return _emit_pairwise(builder, first, second)


@no_type_check
def _emit_fold(builder, vector):
    while (lanes := vector.type.count) > 4:
        low = _emit_shuffle(builder, vector, vector, range(lanes // 2))
        high = _emit_shuffle(builder, vector, vector, range(lanes // 2, lanes))
        vector = builder.fadd(low, high)
    return vector


@no_type_check
def _emit_pairwise(builder, a, b):
    even = _emit_shuffle(builder, a, b, (0, 2, 4, 6))
    odd = _emit_shuffle(builder, a, b, (1, 3, 5, 7))
    return builder.fadd(even, odd)


@no_type_check
def _emit_shuffle(builder, a, b, order):
    order = list(order)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


@no_type_check
def _emit_splat(builder, number, vector):
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    return _emit_shuffle(builder, first, first, [0] * vector.count)


@_compiled
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


@_compiled
@no_type_check
def _floors(scores, query, count):
    """Return what a product must reach to enter the lists of 3 query cells, the first `count` of which are wanted."""
    last = scores.shape[1] - 1
    never = np.float32(np.inf)
    second = scores[query + 1, last] if count > 1 else never
    third = scores[query + 2, last] if count > 2 else never
    return scores[query, last], second, third


@_compiled
@no_type_check
def _search_row(query, memory, span, panel, reach, lists):
    """Offer memory cells left..right-1 of the row that starts at cell `origin` to query cells x0..x1-1 of row y."""
    y, x0, x1 = span
    origin, left, right = panel
    scores, cells, products = lists
    for x in range(x0, x1, _QUERIES):
        # Groups that stick out of the span repeat its last cell; what the repetitions yield is never looked at.
        q = y * query.shape[1] + x
        count = min(_QUERIES, x1 - x)
        queries = (q, q + min(1, count - 1), q + count - 1)
        floors = _floors(scores, q, count)
        stop = min(right, x + _QUERIES + reach)
        for m in range(max(left, x - reach), stop, _CELLS):
            first, last = origin + m, origin + stop - 1
            columns = (first, min(first + 1, last), min(first + 2, last), min(first + 3, last))
            passed = _products(query, memory, queries, columns, floors, products)
            if passed == 0:
                continue
            for i in range(count):
                nearest, farthest = max(0, x + i - reach - m), min(_CELLS, stop - m, x + i + reach + 1 - m)
                for j in range(nearest, farthest):
                    if passed >> (_CELLS * i + j) & 1:
                        _insert(scores[q + i], cells[q + i], products[_CELLS * i + j], first + j)
            floors = _floors(scores, q, count)


@_compiled
@no_type_check
def _search_band(query, memory, reach, band, results):
    """Fill the lists of the query cells in rows top..bottom-1.

    Frames are visited from last to first: the latest ones are most alike and raise the bar early. Loops are nested
    so that a panel of memory cells stays in the first-level cache and a block of query cells in the second.
    """
    top, bottom = band
    n, h, w, c = memory.shape
    lists = (results[0], results[1], np.empty(_QUERIES * _CELLS, dtype=np.float32))
    width = max(_CELLS, _FIRST_CACHE // c // _CELLS * _CELLS)
    for frame in range(n - 1, -1, -1):
        for x0 in range(0, w, _BLOCK_COLUMNS):
            for row in range(h):
                for left in range(0, w, width):
                    right = min(left + width, w)
                    panel = ((frame * h + row) * w, left, right)
                    for y in range(top, bottom):
                        r = reach[frame, abs(row - y)]
                        if r >= 0:
                            span = (y, max(x0, left - r), min(x0 + _BLOCK_COLUMNS, w, right + r))
                            _search_row(query, memory, span, panel, r, lists)
