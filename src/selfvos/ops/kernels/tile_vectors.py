"""Winograd's transforms of one tile in LLVM's own vector types, so many channels at a time."""

from typing import no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Channels that are transformed together; narrower processors take two or four turns."""
SEEN, MADE = 6, 4
"""Pixels along a side of what a tile sees, and of what it makes."""

_SEE = (
    ((0, 4), (2, -5), (4, 1)),
    ((1, -4), (2, -4), (3, 1), (4, 1)),
    ((1, 4), (2, -4), (3, -1), (4, 1)),
    ((1, -2), (2, -1), (3, 2), (4, 1)),
    ((1, 2), (2, -1), (3, -2), (4, 1)),
    ((1, 4), (3, -5), (5, 1)),
)
_MAKE = (
    ((0, 1), (1, 1), (2, 1), (3, 1), (4, 1)),
    ((1, 1), (2, -1), (3, 2), (4, -2)),
    ((1, 1), (2, 1), (3, 4), (4, 4)),
    ((1, 1), (2, -1), (3, 8), (4, -8), (5, 1)),
)


@intrinsic
@no_type_check
def see(typing, pixels, first, steps, seen, place, plane):  # noqa: ARG001
    """Transform what a tile sees.

    Its first pixel lies at `first` in `pixels`, rows and columns are `steps` apart; the first of the 36 results goes to
    `place` in `seen`, and they are `plane` apart: all counted in numbers.
    """
    number = types.int64
    return types.void(pixels, number, types.UniTuple(number, 2), seen, number, number), _emit_see


@intrinsic
@no_type_check
def make(typing, products, place, plane, made, first, steps, bias, channel):  # noqa: ARG001
    """Transform the products of a tile into its pixels, and add the bias from `channel` on.

    The first of 36 products lies at `place` in `products`, and they are `plane` apart; the first pixel goes to `first`
    in `made`, rows and columns are `steps` apart: all counted in numbers.
    """
    number = types.int64
    pair = types.UniTuple(number, 2)
    return types.void(products, number, number, made, number, pair, bias, number), _emit_make


@no_type_check
def _emit_see(context, builder, signature, arguments):
    pixels, seen = (_data(context, builder, signature, arguments, i) for i in (0, 3))
    steps = [builder.extract_value(arguments[2], i) for i in (0, 1)]
    columns = []
    for j in range(SEEN):
        loaded = [_load(builder, pixels, _place(builder, arguments[1], steps, (i, j))) for i in range(SEEN)]
        columns.append(_mix(builder, _SEE, loaded))
    for i in range(SEEN):
        for j, value in enumerate(_mix(builder, _SEE, [column[i] for column in columns])):
            offset = builder.mul(arguments[5], _index(SEEN * i + j))
            _store(builder, value, seen, builder.add(arguments[4], offset))
    return context.get_dummy_value()


@no_type_check
def _emit_make(context, builder, signature, arguments):
    products, made, bias = (_data(context, builder, signature, arguments, i) for i in (0, 3, 6))
    steps = [builder.extract_value(arguments[5], i) for i in (0, 1)]
    added = _load(builder, bias, arguments[7])
    columns = []
    for j in range(SEEN):
        offsets = [builder.mul(arguments[2], _index(SEEN * i + j)) for i in range(SEEN)]
        loaded = [_load(builder, products, builder.add(arguments[1], offset)) for offset in offsets]
        columns.append(_mix(builder, _MAKE, loaded))
    for i in range(MADE):
        for j, value in enumerate(_mix(builder, _MAKE, [column[i] for column in columns])):
            _store(builder, builder.fadd(value, added), made, _place(builder, arguments[4], steps, (i, j)))
    return context.get_dummy_value()


@no_type_check
def _mix(builder, rows, values):
    """Return the sums of products that each row tells of."""
    return [_sum(builder, row, values) for row in rows]


@no_type_check
def _sum(builder, terms, values):
    # Those that are only added come first: the others can be multiplied on the way.
    terms = sorted(terms, key=lambda term: abs(term[1]))
    place, factor = terms[0]
    total = values[place]
    if factor != 1:
        total = builder.fmul(total, _splat(factor)) if factor != -1 else builder.fneg(total)
    for place, factor in terms[1:]:
        if abs(factor) == 1:
            total = (builder.fadd if factor > 0 else builder.fsub)(total, values[place])
        else:
            total = _multiply_add(builder, values[place], _splat(factor), total)
    return total


@no_type_check
def _place(builder, first, steps, at):
    for step, count in zip(steps, at, strict=True):
        first = builder.add(first, builder.mul(step, _index(count)))
    return first


@no_type_check
def _data(context, builder, signature, arguments, number):
    return context.make_array(signature.args[number])(context, builder, arguments[number]).data


@no_type_check
def _load(builder, start, offset):
    place = builder.bitcast(builder.gep(start, [offset]), _VECTOR.as_pointer())
    return builder.load(place, align=4)


@no_type_check
def _store(builder, value, start, offset):
    builder.store(value, builder.bitcast(builder.gep(start, [offset]), value.type.as_pointer()), align=4)


@no_type_check
def _multiply_add(builder, a, b, c):
    kind = ir.FunctionType(c.type, [c.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")
    return builder.call(function, [a, b, c])


@no_type_check
def _splat(number):
    return ir.Constant(_VECTOR, [float(number)] * LANES)


@no_type_check
def _index(number):
    return ir.Constant(ir.IntType(64), number)


_VECTOR = ir.VectorType(ir.FloatType(), LANES)
