"""Sums of products of 8-bit numbers for the matcher's CPU kernel: one instruction multiplies and adds 64 pairs."""

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
REST = GROUP * LANES
"""Bytes of one cell that are multiplied at a time."""
_UNROLL = 2


@intrinsic
@no_type_check
def products_of_16(typing, queries, cells, span, place, bars, passed):  # noqa: ARG001
    """Multiply 8 query cells with 16 neighbours in memory; see `products_of_48`."""
    return _signature(queries, cells, bars, passed), _emit_products(1)


@intrinsic
@no_type_check
def products_of_32(typing, queries, cells, span, place, bars, passed):  # noqa: ARG001
    """Multiply 8 query cells with 32 neighbours in memory; see `products_of_48`."""
    return _signature(queries, cells, bars, passed), _emit_products(2)


@intrinsic
@no_type_check
def products_of_48(typing, queries, cells, span, place, bars, passed):  # noqa: ARG001
    """Multiply the first channels of 8 query cells and 48 neighbours in memory; return whether any pair may count.

    Args of the compiled function:
        queries: Signed bytes, r c.
        cells: Unsigned bytes, flat, in lanes of four channels; behind the last lane of the first channels lies one with
            two words.
        span: The first row of `queries`, and the last: it stands for those that would follow. Then how many channels
            come first, a multiple of 8.
        place: Lane of the first memory cell's first channels, and how many lanes farther the next ones are.
        bars: Two arrays of int32, one number for each query cell from the first on, of which 8 are read: two words that
            are multiplied with those of the memory cell and added to the product, and what that has to reach.
        passed: Two arrays that are filled if any pair does: bits (int64), of which bit j of number i says that of pair
            (i, j), and the products of all pairs (int32, 8 48).
    """
    return _signature(queries, cells, bars, passed), _emit_products(3)


@intrinsic
@no_type_check
def product_of_rest(typing, queries, cells, row, channels, place):  # noqa: ARG001
    """Multiply a query cell with the bytes from a place on.

    `channels` says from which channel on, and how many it has; the rest is a multiple of `REST` bytes, or nothing.
    """
    number = types.int64
    return types.int32(queries, cells, number, types.UniTuple(number, 2), number), _emit_rest


@no_type_check
def _signature(queries, cells, bars, passed):
    number = types.int64
    return types.boolean(queries, cells, types.UniTuple(number, 3), types.UniTuple(number, 2), bars, passed)


@no_type_check
def _emit_products(vectors):
    def emit(context, builder, signature, arguments):
        queries, cells = (_start(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
        (words, least), (bits, products) = (
            [
                _start(context, builder, kind, builder.extract_value(arguments[i], j)).data
                for j, kind in enumerate(signature.args[i])
            ]
            for i in (4, 5)
        )
        first, last, prefix, lane, stride = (builder.extract_value(arguments[i], j) for i, j in _NUMBERS)
        channels = builder.extract_value(queries.shape, 1)
        rows = [_emit_least(builder, builder.add(first, _index(i)), last) for i in range(QUERIES)]
        left = [builder.gep(queries.data, [builder.mul(row, channels)]) for row in rows]
        right = builder.gep(cells.data, [builder.mul(lane, _index(GROUP))])
        sums, ending = _emit_loop(builder, prefix, left, (right, builder.mul(stride, _index(GROUP))), vectors)
        some = _emit_verdict(builder, sums, ending, [builder.gep(array, [first]) for array in (words, least)], bits)
        with builder.if_then(some, likely=False):
            for i, row in enumerate(sums):
                for j, value in enumerate(row):
                    place = builder.gep(products, [_index(LANES * (MOST_VECTORS * i + j))])
                    builder.store(value, builder.bitcast(place, _VECTOR.as_pointer()), align=4)
        return some

    return emit


@no_type_check
def _start(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array)


@no_type_check
def _emit_rest(context, builder, signature, arguments):
    queries, cells = (_start(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
    first, channels = (builder.extract_value(arguments[3], i) for i in (0, 1))
    left = builder.gep(queries.data, [builder.mul(arguments[2], channels)])
    right = builder.gep(cells.data, [builder.sub(arguments[4], first)])
    before, head, body, after = builder.block, *(builder.append_basic_block(name) for name in ("more", "part", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    channel, total = builder.phi(ir.IntType(64)), builder.phi(_VECTOR)
    builder.cbranch(builder.icmp_signed("<", channel, channels), body, after)
    builder.position_at_end(body)
    grown = _emit_add(
        builder, "busd", total, *(_emit_load(builder, builder.gep(start, [channel]), 0) for start in (right, left))
    )
    following = builder.add(channel, _index(REST))
    builder.branch(head)
    _add_incoming(channel, (first, following), (before, body))
    _add_incoming(total, (ir.Constant(_VECTOR, None), grown), (before, body))
    builder.position_at_end(after)
    kind = ir.FunctionType(ir.IntType(32), [_VECTOR])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.add.v16i32"), [total])


@no_type_check
def _emit_loop(builder, channels, queries, memory, vectors):
    """Sum over groups of channels, two groups in each turn; return the sums, and where memory goes on."""
    before, loop, after = builder.block, builder.append_basic_block("groups"), builder.append_basic_block("summed")
    builder.branch(loop)
    builder.position_at_end(loop)
    channel, place = builder.phi(ir.IntType(64)), builder.phi(memory[0].type)
    sums = [[builder.phi(_VECTOR) for _ in range(vectors)] for _ in queries]
    grown, here, following = [list(row) for row in sums], place, channel
    for _ in range(_UNROLL):
        right = [_emit_load(builder, here, j) for j in range(vectors)]
        for i, start in enumerate(queries):
            left = builder.load(builder.bitcast(builder.gep(start, [following]), ir.IntType(32).as_pointer()), align=1)
            left = _emit_splat(builder, left)
            grown[i] = [_emit_add(builder, "busd", grown[i][j], right[j], left) for j in range(vectors)]
        here, following = builder.gep(here, [memory[1]]), builder.add(following, _index(GROUP))
    _add_incoming(channel, (_index(0), following), (before, loop))
    _add_incoming(place, (memory[0], here), (before, loop))
    for phis, values in zip(sums, grown, strict=True):
        for phi, value in zip(phis, values, strict=True):
            _add_incoming(phi, (ir.Constant(_VECTOR, None), value), (before, loop))
    builder.cbranch(builder.icmp_signed("<", following, channels), loop, after)
    builder.position_at_end(after)
    return grown, here


@no_type_check
def _add_incoming(phi, values, blocks):
    for value, block in zip(values, blocks, strict=True):
        phi.add_incoming(value, block)


@no_type_check
def _emit_verdict(builder, sums, ending, bars, passed):
    every = _index(0)
    endings = [_emit_load(builder, ending, j) for j in range(len(sums[0]))]
    for i, row in enumerate(sums):
        word, least = (_emit_splat(builder, builder.load(builder.gep(bar, [_index(i)]))) for bar in bars)
        bits = _index(0)
        for j, value in enumerate(row):
            value = _emit_add(builder, "wssd", value, endings[j], word)
            own = builder.bitcast(builder.icmp_signed(">=", value, least), _MASK)
            bits = builder.or_(bits, builder.shl(builder.zext(own, bits.type), _index(LANES * j)))
        builder.store(bits, builder.gep(passed, [_index(i)]))
        every = builder.or_(every, bits)
    return builder.icmp_unsigned("!=", every, _index(0))


@no_type_check
def _emit_add(builder, kind, total, left, right):
    """Add products within each lane: of four unsigned and four signed bytes (busd), or of two signed words (wssd)."""
    called = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    function = cgutils.get_or_insert_function(builder.module, called, f"llvm.x86.avx512.vpdp{kind}.512")
    return builder.call(function, [total, left, right])


@no_type_check
def _emit_least(builder, one, other):
    return builder.select(builder.icmp_signed("<", one, other), one, other)


@no_type_check
def _emit_load(builder, start, number):
    place = builder.gep(start, [_index(GROUP * LANES * number)])
    return builder.load(builder.bitcast(place, _VECTOR.as_pointer()), align=1)


@no_type_check
def _emit_splat(builder, number):
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, order)


@no_type_check
def _index(number):
    return ir.Constant(ir.IntType(64), number)


_VECTOR, _MASK = ir.VectorType(ir.IntType(32), LANES), ir.IntType(LANES)
_NUMBERS = (2, 0), (2, 1), (2, 2), (3, 0), (3, 1)
"""Arguments and places in them: first, last, prefix, lane, stride."""
