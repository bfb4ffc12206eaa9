"""Sums of products of 8-bit numbers for the matcher's CPU kernel: one instruction multiplies and adds 16,384 pairs.

That is Intel's AMX (Sapphire Rapids and later). Its registers hold tiles of 16 rows of 64 bytes; a program asks the
system once whether it may use them.

Source:
    Intel Architecture Instruction Set Extensions Programming Reference, chapter 3 (AMX); arch_prctl(2) of Linux.
"""

import ctypes
import platform
from functools import cache
from typing import Any, no_type_check

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from selfvos.ops.kernels.byte_vectors import LANES, MOST_VECTORS

SIDE = 16
"""Query cells, and memory cells, that are multiplied at a time."""
STEP = 64
"""Channels that one instruction takes."""
ALIGNED = 64
"""Bytes: rows that start at a multiple of this are loaded six times as fast."""
STRIDE = LANES * MOST_VECTORS
"""Numbers from one row of products to the next."""

_SETTINGS: Any = config
# Where the user has numba compile for another processor, it need not know the instruction.
_OTHER = bool(_SETTINGS.CPU_NAME or _SETTINGS.CPU_FEATURES)
_KNOWN = bool(binding.get_host_cpu_features().get("amx-int8")) and not _OTHER
_ARCH_PRCTL, _ASK, _TILE_DATA = 158, 0x1023, 18
_QUERIES, _CELLS, _SUMS = 0, (1, 2, 3), (4, 5, 6)  # registers


@cache
def allowed() -> bool:
    """Return whether this processor has the instruction, and the system lets this process use it."""
    if not _KNOWN or platform.system() != "Linux":
        return False
    return int(ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK, _TILE_DATA)) == 0


@intrinsic
@no_type_check
def begin_tiles(typing):  # noqa: ARG001
    """Lay registers out as `products_of_tile` needs them, in this thread, until `end_tiles`."""
    return types.void(), _emit_begin


@intrinsic
@no_type_check
def end_tiles(typing):  # noqa: ARG001
    """Let go of the registers, so that nobody has to save them."""
    return types.void(), _emit_end


@intrinsic
@no_type_check
def products_of_tile(typing, queries, cells, span, place, floors, passed):  # noqa: ARG001
    """Multiply 16 query cells with 16 memory cells; see `products_of_3_tiles`."""
    return _signature(queries, cells, floors, passed), _emit_products(1)


@intrinsic
@no_type_check
def products_of_2_tiles(typing, queries, cells, span, place, floors, passed):  # noqa: ARG001
    """Multiply 16 query cells with 32 memory cells; see `products_of_3_tiles`."""
    return _signature(queries, cells, floors, passed), _emit_products(2)


@intrinsic
@no_type_check
def products_of_3_tiles(typing, queries, cells, span, place, floors, passed):  # noqa: ARG001
    """Multiply 16 query cells with 48 memory cells; return whether any product reaches its floor.

    Args of the compiled function:
        queries: Signed bytes, r c; c is a multiple of `STEP`.
        cells: Unsigned bytes, flat: by 16 cells, by 64 channels, group of four, cell, and channel in the group.
        span: The first row of `queries`, and how many channels there are.
        place: Where the memory cells start.
        floors: What the products of each query cell have to reach (int32, r).
        passed: Two arrays that are filled: bits (int64, 16), of which bit j of number i says that pair (i, j) does, and
            the products (int32, 16 48).
    """
    return _signature(queries, cells, floors, passed), _emit_products(3)


@no_type_check
def _signature(queries, cells, floors, passed):
    number = types.int64
    return types.boolean(queries, cells, types.UniTuple(number, 2), number, floors, passed)


@no_type_check
def _emit_begin(context, builder, signature, arguments):  # noqa: ARG001
    if _KNOWN:
        rows, widths = [0] * 16, [0] * 32
        for tile in (_QUERIES, *_CELLS, *_SUMS):
            rows[tile], widths[2 * tile] = SIDE, STEP
        layout = bytes([1, *[0] * 15, *widths, *rows])  # palette 1, bytes of a row by tile, rows by tile
        kind = ir.ArrayType(ir.IntType(8), len(layout))
        constant = cgutils.global_constant(builder, "tiles", ir.Constant(kind, bytearray(layout)))
        _call(builder, "ldtilecfg", builder.bitcast(constant, _BYTES))
    return context.get_dummy_value()


@no_type_check
def _emit_end(context, builder, signature, arguments):  # noqa: ARG001
    if _KNOWN:
        _call(builder, "tilerelease")
    return context.get_dummy_value()


@no_type_check
def _emit_products(tiles):
    def emit(context, builder, signature, arguments):
        if not _KNOWN:
            return ir.Constant(ir.IntType(1), 0)
        kinds = signature.args
        queries, cells, floors = (context.make_array(kinds[i])(context, builder, arguments[i]) for i in (0, 1, 4))
        bits, products = (
            context.make_array(kinds[5][i])(context, builder, builder.extract_value(arguments[5], i)).data
            for i in (0, 1)
        )
        first, channels = (builder.extract_value(arguments[2], i) for i in (0, 1))
        left = builder.bitcast(builder.gep(queries.data, [builder.mul(first, channels)]), _BYTES)
        right = builder.bitcast(builder.gep(cells.data, [arguments[3]]), _BYTES)
        _emit_sums(builder, left, right, channels, tiles)
        for j in range(tiles):
            place = builder.bitcast(builder.gep(products, [_index(SIDE * j)]), _BYTES)
            _call(builder, "tilestored64", _tile(_SUMS[j]), place, _index(4 * STRIDE))
        return _emit_verdict(builder, products, builder.gep(floors.data, [first]), bits, tiles)

    return emit


@no_type_check
def _emit_sums(builder, left, right, channels, tiles):
    before, loop, after = builder.block, builder.append_basic_block("channels"), builder.append_basic_block("summed")
    for j in range(tiles):
        _call(builder, "tilezero", _tile(_SUMS[j]))
    builder.branch(loop)
    builder.position_at_end(loop)
    channel = builder.phi(ir.IntType(64))
    _call(builder, "tileloadd64", _tile(_QUERIES), builder.gep(left, [channel]), channels)
    for j in range(tiles):
        offset = builder.mul(builder.add(channel, builder.mul(channels, _index(j))), _index(SIDE))
        _call(builder, "tileloadd64", _tile(_CELLS[j]), builder.gep(right, [offset]), _index(STEP))
        _call(builder, "tdpbsud", _tile(_SUMS[j]), _tile(_QUERIES), _tile(_CELLS[j]))
    following = builder.add(channel, _index(STEP))
    channel.add_incoming(_index(0), before)
    channel.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, channels), loop, after)
    builder.position_at_end(after)


@no_type_check
def _emit_verdict(builder, products, floors, bits, tiles):
    every = _index(0)
    for i in range(SIDE):
        floor = _emit_splat(builder, builder.load(builder.gep(floors, [_index(i)])))
        row = _index(0)
        for j in range(tiles):
            place = builder.bitcast(builder.gep(products, [_index(STRIDE * i + SIDE * j)]), _VECTOR.as_pointer())
            reach = builder.icmp_signed(">=", builder.load(place, align=4), floor)
            mask = builder.zext(builder.bitcast(reach, ir.IntType(SIDE)), ir.IntType(64))
            row = builder.or_(row, builder.shl(mask, _index(SIDE * j)))
        builder.store(row, builder.gep(bits, [_index(i)]))
        every = builder.or_(every, row)
    return builder.icmp_unsigned("!=", every, _index(0))


@no_type_check
def _emit_splat(builder, number):
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(_VECTOR, [0] * SIDE))


@no_type_check
def _call(builder, name, *arguments):
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


@no_type_check
def _tile(number):
    return ir.Constant(ir.IntType(8), number)


@no_type_check
def _index(number):
    return ir.Constant(ir.IntType(64), number)


_BYTES, _VECTOR = ir.IntType(8).as_pointer(), ir.VectorType(ir.IntType(32), SIDE)
