"""Sums of products of 8-bit numbers for the matcher's CPU kernel: one instruction multiplies and adds 64 pairs.

numba keeps compiled code by the date of the file that calls these: whoever changes this file saves `window_bytes.py`
anew as well.
"""

from typing import no_type_check

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

AVAILABLE = bool(binding.get_host_cpu_features().get("avx512vnni"))
"""Whether this processor has the instruction: that is AVX-512 VNNI."""
GROUP = 4
"""Channels that lie together in one lane."""
LANES, QUERIES = 16, 8
MOST_VECTORS = 3  # with 8 queries 24 sums, 3 vectors of memory cells and one of a query: 28 of 32 registers
_UNROLL = 2


@intrinsic
@no_type_check
def products_of_16(typing, queries, cells, span, place, floors, passed):  # noqa: ARG001
    """Multiply 8 query cells with 16 neighbours in memory; see `products_of_48`."""
    return _signature(queries, cells, floors, passed), _emit_products(1)


@intrinsic
@no_type_check
def products_of_32(typing, queries, cells, span, place, floors, passed):  # noqa: ARG001
    """Multiply 8 query cells with 32 neighbours in memory; see `products_of_48`."""
    return _signature(queries, cells, floors, passed), _emit_products(2)


@intrinsic
@no_type_check
def products_of_48(typing, queries, cells, span, place, floors, passed):  # noqa: ARG001
    """Multiply 8 query cells with 48 neighbours in memory; return whether any product reaches its floor.

    Args of the compiled function:
        queries: Signed bytes, r c.
        cells: Unsigned bytes, flat, in lanes of four channels.
        span: The first row of `queries`, and the last: it stands for those that would follow.
        place: Lane of the first memory cell's first channels, and how many lanes farther the next ones are.
        floors: int32, one for each query cell from the first on; 8 are read.
        passed: Two arrays that are filled if any product reaches its floor: bits (int64), of which bit j of number i
            says that of product (i, j), and all products (int32, 8 48).
    """
    return _signature(queries, cells, floors, passed), _emit_products(3)


@no_type_check
def _signature(queries, cells, floors, passed):
    pair = types.UniTuple(types.int64, 2)
    return types.boolean(queries, cells, pair, pair, floors, passed)


@no_type_check
def _emit_products(vectors):
    def emit(context, builder, signature, arguments):
        def start(kind, array):
            return context.make_array(kind)(context, builder, array)

        queries, cells, floors = (start(signature.args[i], arguments[i]) for i in (0, 1, 4))
        bits, products = (start(signature.args[5][i], builder.extract_value(arguments[5], i)) for i in (0, 1))
        first, last, lane, stride = (builder.extract_value(arguments[i], j) for i in (2, 3) for j in (0, 1))
        channels = builder.extract_value(queries.shape, 1)
        rows = [_emit_least(builder, builder.add(first, _index(i)), last) for i in range(QUERIES)]
        left = [builder.gep(queries.data, [builder.mul(row, channels)]) for row in rows]
        right = builder.gep(cells.data, [builder.mul(lane, _index(GROUP))])
        sums = _emit_loop(builder, channels, left, (right, stride), vectors)
        some = _emit_verdict(builder, sums, builder.gep(floors.data, [first]), bits.data)
        with builder.if_then(some, likely=False):
            for i, row in enumerate(sums):
                for j, value in enumerate(row):
                    place = builder.gep(products.data, [_index(LANES * (MOST_VECTORS * i + j))])
                    builder.store(value, builder.bitcast(place, value.type.as_pointer()), align=4)
        return some

    return emit


@no_type_check
def _emit_loop(builder, channels, queries, memory, vectors):
    """Sum over groups of channels, two groups in each turn."""
    vector = ir.VectorType(ir.IntType(32), LANES)
    before, loop, after = builder.block, builder.append_basic_block("groups"), builder.append_basic_block("summed")
    step = builder.mul(memory[1], _index(GROUP))
    builder.branch(loop)
    builder.position_at_end(loop)
    channel, place = builder.phi(ir.IntType(64)), builder.phi(memory[0].type)
    sums = [[builder.phi(vector) for _ in range(vectors)] for _ in queries]
    grown, here, following = [list(row) for row in sums], place, channel
    for _ in range(_UNROLL):
        right = [_emit_load(builder, here, vector, j) for j in range(vectors)]
        for i, start in enumerate(queries):
            left = builder.load(builder.bitcast(builder.gep(start, [following]), ir.IntType(32).as_pointer()), align=1)
            left = _emit_splat(builder, left, vector)
            grown[i] = [_emit_add(builder, grown[i][j], right[j], left) for j in range(vectors)]
        here, following = builder.gep(here, [step]), builder.add(following, _index(GROUP))
    channel.add_incoming(_index(0), before)
    channel.add_incoming(following, loop)
    place.add_incoming(memory[0], before)
    place.add_incoming(here, loop)
    for phis, values in zip(sums, grown, strict=True):
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(ir.Constant(vector, None), before)
            phi.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, channels), loop, after)
    builder.position_at_end(after)
    return grown


@no_type_check
def _emit_verdict(builder, sums, floors, passed):
    every = _index(0)
    for i, row in enumerate(sums):
        floor = _emit_splat(builder, builder.load(builder.gep(floors, [_index(i)])), row[0].type)
        bits = _index(0)
        for j, value in enumerate(row):
            own = builder.bitcast(builder.icmp_signed(">=", value, floor), ir.IntType(LANES))
            bits = builder.or_(bits, builder.shl(builder.zext(own, bits.type), _index(LANES * j)))
        builder.store(bits, builder.gep(passed, [_index(i)]))
        every = builder.or_(every, bits)
    return builder.icmp_unsigned("!=", every, _index(0))


@no_type_check
def _emit_add(builder, total, unsigned, signed):
    kind = ir.FunctionType(total.type, [total.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(function, [total, unsigned, signed])


@no_type_check
def _emit_least(builder, one, other):
    return builder.select(builder.icmp_signed("<", one, other), one, other)


@no_type_check
def _emit_load(builder, start, vector, number):
    place = builder.gep(start, [_index(GROUP * LANES * number)])
    return builder.load(builder.bitcast(place, vector.as_pointer()), align=1)


@no_type_check
def _emit_splat(builder, number, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, order)


@no_type_check
def _index(number):
    return ir.Constant(ir.IntType(64), number)
