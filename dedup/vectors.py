"""Eight hashes at a time: what numba's own language has no words for, as LLVM instructions.

A table keeps 64-bit words of its hashes in *planes*, one array a word, so that a vector holds
one word of eight hashes. LLVM lowers the same instructions to AVX-512, AVX2 or what there is.
Arrays must have `LANES` elements to spare at their end: vectors reach beyond the last hash.
"""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8

_INT = ir.IntType(64)
_VECTOR = ir.VectorType(_INT, LANES)
_PLACES = ir.VectorType(ir.IntType(32), LANES)
_intrinsic = cast(Callable[[Any], Any], intrinsic)


@_intrinsic
def popcount(context: Any, bits: Any) -> Any:
    """Return how many bits of a word are set."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), code


@_intrinsic
def pointer(context: Any, arrays: Any) -> Any:
    """Return where an array, or each array of a tuple, begins. Its elements are read and written
    as an array's are; no references to it are counted, which in an inner loop is most of the
    time. So the caller keeps the arrays.
    """
    several = isinstance(arrays, types.UniTuple)
    kind = types.CPointer(arrays.dtype.dtype if several else arrays.dtype)
    result = types.UniTuple(kind, arrays.count) if several else kind

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(kind: Any, array: Any) -> Any:
            return context.make_array(kind)(context, builder, array).data

        if not several:
            return data(arrays, arguments[0])
        parts = cgutils.unpack_tuple(builder, arguments[0], arrays.count)
        return context.make_tuple(builder, result, [data(arrays.dtype, part) for part in parts])

    return result(arrays), code


@_intrinsic
def copy(context: Any, planes: Any, row: Any, buffer: Any, places: Any, at: Any) -> Any:
    """Copy the eight hashes from *row* on to place *at* of a buffer, and write down their rows."""
    signature = types.void(planes, types.int64, buffer, places, types.int64)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, row, target, numbers, at = arguments
        for word in range(planes.count):
            start = _element(builder, source, word, row)
            end = _element(builder, target, word, at)
            vector = builder.load(builder.bitcast(start, _VECTOR.as_pointer()), align=8)
            builder.store(vector, builder.bitcast(end, _VECTOR.as_pointer()), align=8)
        end = builder.gep(numbers, [at])
        steps = ir.Constant(_PLACES, list(range(LANES)))
        rows = builder.add(_splat(builder, builder.trunc(row, ir.IntType(32)), _PLACES), steps)
        builder.store(rows, builder.bitcast(end, _PLACES.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, code


def _within(queries: int) -> Any:
    """Return a function that compares *queries* hashes with eight others."""

    @_intrinsic
    def within(context: Any, planes: Any, row: Any, buffer: Any, at: Any, radius: Any) -> Any:
        signature = types.int64(planes, types.int64, buffer, types.int64, types.int64)

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source, row, target, at, radius = arguments
            nearest, vectors = None, []
            for word in range(planes.count):
                start = builder.bitcast(_element(builder, target, word, at), _VECTOR.as_pointer())
                vectors.append(builder.load(start, align=8))
            for query in range(queries):
                place, apart = builder.add(row, _INT(query)), None
                for word, vector in enumerate(vectors):
                    own = builder.load(_element(builder, source, word, place))
                    differ = builder.xor(vector, _splat(builder, own, _VECTOR))
                    bits = _call(builder, "llvm.ctpop.v8i64", [differ])
                    apart = bits if apart is None else builder.add(apart, bits)
                nearest = (
                    apart
                    if nearest is None
                    else _call(builder, "llvm.umin.v8i64", [nearest, apart])
                )
            near = builder.icmp_unsigned("<=", nearest, _splat(builder, radius, _VECTOR))
            return builder.zext(builder.bitcast(near, ir.IntType(LANES)), _INT)

        return signature, code

    return within


one_within, two_within, four_within, eight_within = (_within(count) for count in (1, 2, 4, 8))
"""(planes, row, buffer, at, radius) -> bits of the lanes of *buffer* from *at* on that are at
most *radius* away from any of the one, two, four, eight hashes from *row* on."""


def _element(builder: Any, planes: Any, word: int, index: Any) -> Any:
    return builder.gep(builder.extract_value(planes, word), [index])


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, zeros)


def _call(builder: Any, name: str, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)
