"""Sums of products for the matcher's CPU kernel, in LLVM's own vector types.

One text serves every processor, and no compiler is needed at installation.
"""

from typing import no_type_check

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

QUERIES, CELLS = 3, 4  # 12 sums, 3 query vectors and 1 memory vector: the 16 registers of AVX2
SKETCH = 16
"""Numbers in a sketch of a cell: its coordinates along 15 axes, then the length of what they leave out."""
BOUND_QUERIES, BOUND_CELLS = 2, 24  # two neighbours' windows of radius 12 are 24 cells wide
_UNROLL = 2
_BOUND_LANES = 8


def _lanes() -> int:
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx") else 4


_LANES = _lanes()  # floats in a vector; the kernel's step of channels is a multiple of _LANES * _UNROLL


@intrinsic
@no_type_check
def grid_products(typing, query, memory, rows, columns, floors, products):  # noqa: ARG001
    """Multiply 3 query cells with 4 memory cells; bit 4 i + j of the result is set unless product (i, j) < floor i.

    The sum runs over channels in one fixed order for every pair of cells, so equal features give equal products
    wherever they lie. Comparing "not less" lets products that are not a number through to be noticed.
    """
    signature = types.int64(
        query,
        memory,
        types.UniTuple(types.int64, QUERIES),
        types.UniTuple(types.int64, CELLS),
        types.UniTuple(types.float32, QUERIES),
        products,
    )
    return signature, _emit_grid_products


@intrinsic
@no_type_check
def pair_products(typing, query, memory, rows, columns, products):  # noqa: ARG001
    """Multiply 4 query cells with one memory cell each: to the last bit what `grid_products` says of these pairs."""
    numbers = types.UniTuple(types.int64, CELLS)
    return types.void(query, memory, numbers, numbers, products), _emit_pair_products


@intrinsic
@no_type_check
def bounds(typing, queries, cells, query, cell, stride, floors):  # noqa: ARG001
    """Multiply the sketches of 2 query cells with those of 24 memory cells, neighbours in memory both.

    Bit 32 i + j of the result is set unless product (i, j) < floor i. `query` and `cell` say where the first ones'
    sketches start, `stride` how far the numbers of one sketch are apart.
    """
    place = types.int64
    signature = types.int64(queries, cells, place, place, place, types.UniTuple(types.float32, BOUND_QUERIES))
    return signature, _emit_bounds


@intrinsic
@no_type_check
def lowest_bit(typing, bits):  # noqa: ARG001
    """Return the place of the lowest bit that is set; there has to be one."""

    def emit(context, builder, signature, arguments):  # noqa: ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), emit


@no_type_check
def _emit_grid_products(context, builder, signature, arguments):
    pairs = [(i, j) for i in range(QUERIES) for j in range(CELLS)]
    sums = _emit_sums(context, builder, signature, arguments, pairs)
    out = context.make_array(signature.args[5])(context, builder, arguments[5]).data
    bits = ir.Constant(ir.IntType(64), 0)
    for i in range(QUERIES):
        products = _emit_transposed_sum(builder, [sums[i, j] for j in range(CELLS)])
        _emit_store(builder, products, builder.gep(out, [ir.Constant(ir.IntType(64), i * CELLS)]))
        floor = builder.extract_value(arguments[4], i)
        bits = _emit_not_less(builder, products, floor, bits, i * CELLS)
    return bits


@no_type_check
def _emit_pair_products(context, builder, signature, arguments):
    pairs = [(i, i) for i in range(CELLS)]
    sums = _emit_sums(context, builder, signature, arguments, pairs)
    out = context.make_array(signature.args[4])(context, builder, arguments[4]).data
    _emit_store(builder, _emit_transposed_sum(builder, [sums[pair] for pair in pairs]), out)
    return context.get_dummy_value()


@no_type_check
def _emit_bounds(context, builder, signature, arguments):
    index, vector = ir.IntType(64), ir.VectorType(ir.FloatType(), _BOUND_LANES)
    queries, cells = (
        builder.gep(context.make_array(signature.args[i])(context, builder, arguments[i]).data, [arguments[i + 2]])
        for i in (0, 1)
    )
    sums = {}
    for _ in range(SKETCH):
        loaded = [
            _emit_load(builder, cells, ir.Constant(index, j), vector) for j in range(0, BOUND_CELLS, _BOUND_LANES)
        ]
        for i in range(BOUND_QUERIES):
            number = builder.load(builder.gep(queries, [ir.Constant(index, i)]))
            number = _emit_splat(builder, number, vector)
            for j, right in enumerate(loaded):
                before = sums.get((i, j), ir.Constant(vector, None))
                sums[i, j] = _emit_multiply_add(builder, number, right, before)
        queries, cells = (builder.gep(place, [arguments[4]]) for place in (queries, cells))
    bits = ir.Constant(index, 0)
    for (i, j), bound in sums.items():
        floor = builder.extract_value(arguments[5], i)
        bits = _emit_not_less(builder, bound, floor, bits, 32 * i + _BOUND_LANES * j)
    return bits


@no_type_check
def _emit_sums(context, builder, signature, arguments, pairs):
    """Multiply pairs of cells, whose numbers the third and fourth argument hold, and add up what lies in each lane."""
    arrays = [context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 1)]
    channels = builder.extract_value(arrays[0].shape, signature.args[0].ndim - 1)

    def starts(data, numbers, count):
        picked = [builder.extract_value(numbers, i) for i in range(count)]
        return [builder.gep(data, [builder.mul(number, channels)]) for number in picked]

    left, right = (starts(arrays[i].data, arguments[2 + i], signature.args[2 + i].count) for i in (0, 1))
    return _emit_loop(builder, channels, left, right, pairs)


@no_type_check
def _emit_loop(builder, channels, queries, cells, pairs):
    vector, index = ir.VectorType(ir.FloatType(), _LANES), ir.IntType(64)
    before, loop, after = builder.block, builder.append_basic_block("channels"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    channel = builder.phi(index)
    sums = {pair: builder.phi(vector) for pair in pairs}
    grown = dict(sums)
    following = channel
    for _ in range(_UNROLL):
        left = [_emit_load(builder, start, following, vector) for start in queries]
        for j, start in enumerate(cells):
            # One at a time: loaded together, the four would push a sum out of its register.
            right = _emit_load(builder, start, following, vector)
            for i, other in pairs:
                if other == j:
                    grown[i, j] = _emit_multiply_add(builder, left[i], right, grown[i, j])
        following = builder.add(following, ir.Constant(index, _LANES))
    channel.add_incoming(ir.Constant(index, 0), before)
    channel.add_incoming(following, loop)
    for pair, phi in sums.items():
        phi.add_incoming(ir.Constant(vector, None), before)
        phi.add_incoming(grown[pair], loop)
    builder.cbranch(builder.icmp_signed("<", following, channels), loop, after)
    builder.position_at_end(after)
    return grown


@no_type_check
def _emit_load(builder, start, offset, vector):
    loaded = builder.load(builder.bitcast(builder.gep(start, [offset]), vector.as_pointer()))
    loaded.align = 4
    return loaded


@no_type_check
def _emit_store(builder, value, place):
    stored = builder.store(value, builder.bitcast(place, value.type.as_pointer()))
    stored.align = 4


@no_type_check
def _emit_multiply_add(builder, a, b, c):
    kind = ir.FunctionType(c.type, [c.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{c.type.count}f32")
    return builder.call(function, [a, b, c])


@no_type_check
def _emit_not_less(builder, numbers, floor, bits, place):
    """Set one bit for each number that is not below the floor, from `place` on."""
    floor = _emit_splat(builder, floor, numbers.type)
    passed = builder.bitcast(builder.fcmp_unordered(">=", numbers, floor), ir.IntType(numbers.type.count))
    return builder.or_(bits, builder.shl(builder.zext(passed, bits.type), ir.Constant(bits.type, place)))


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
