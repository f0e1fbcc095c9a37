"""Explicit SIMD for numba: a vector type that LLVM lowers to the machine's own registers.

LLVM's loop vectoriser must prove that rows do not overlap before it touches a loop that writes several of them;
with a dozen rows per window it gives up. So the hot loops say what they mean: ``load``, ``fma``, ``store`` on
vectors of LANES float32, at addresses given as integers. LANES follows the processor (16 with AVX-512, 8 with AVX,
4 elsewhere: SSE, NEON); rows are padded to a multiple of 16 floats, so that every width divides them.

Nothing here checks bounds: an address is the caller's word.
"""

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

ROW_MULTIPLE = 16


def _lanes() -> int:
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16
    return 8 if features.get("avx") else 4


LANES = _lanes()
VECTOR_BYTES = 4 * LANES

_float = ir.FloatType()
_int32 = ir.IntType(32)
_vector = ir.VectorType(_float, LANES)


class VectorType(types.Type):
    """numba's name for LANES float32 in one register."""

    def __init__(self):
        """Name the type after its lanes, so that cached code for another width is another type's."""
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _vector)


def padded(size: int) -> int:
    """The row length in floats that holds ``size`` dimensions: a multiple of ROW_MULTIPLE."""
    return -(-size // ROW_MULTIPLE) * ROW_MULTIPLE


def aligned_zeros(rows: int, columns: int) -> np.ndarray:
    """A (rows, columns) float32 array of zeros that starts on a cache line (64 bytes)."""
    raw = np.zeros(rows * columns * 4 + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + rows * columns * 4].view(np.float32).reshape(rows, columns)


def _pointer(builder, address, pointee):
    return builder.inttoptr(address, ir.PointerType(pointee))


@intrinsic
def load(typingctx, address):
    """``load(address) -> vector``: LANES floats from memory, aligned to a float only."""

    def codegen(context, builder, signature, args):
        return builder.load(_pointer(builder, args[0], _vector), align=4)

    return vector(types.intp), codegen


@intrinsic
def store(typingctx, address, value):
    """``store(address, vector)``: LANES floats to memory, aligned to a float only."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], _pointer(builder, args[0], _vector), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, vector), codegen


@intrinsic
def broadcast(typingctx, address):
    """``broadcast(address) -> vector``: the one float at an address, in every lane."""

    def codegen(context, builder, signature, args):
        scalar = builder.load(_pointer(builder, args[0], _float), align=4)
        first = builder.insert_element(ir.Constant(_vector, ir.Undefined), scalar, _int32(0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_int32, LANES), [0] * LANES))

    return vector(types.intp), codegen


def _constant(value):
    return ir.Constant(_vector, [float(np.float32(value))] * LANES)


def _binary(operation, doc):
    """An intrinsic of two vectors that is one instruction of LLVM's."""

    def function(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return getattr(builder, operation)(*args)

        return vector(vector, vector), codegen

    function.__doc__ = doc
    return intrinsic(function)


add = _binary("fadd", "``add(a, b) -> vector``.")
sub = _binary("fsub", "``sub(a, b) -> vector``.")
mul = _binary("fmul", "``mul(a, b) -> vector``.")
div = _binary("fdiv", "``div(a, b) -> vector``.")


@intrinsic
def splat(typingctx, scalar):
    """``splat(scalar) -> vector``: one float in every lane."""

    def codegen(context, builder, signature, args):
        first = builder.insert_element(ir.Constant(_vector, ir.Undefined), args[0], _int32(0))
        return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_int32, LANES), [0] * LANES))

    return vector(types.float32), codegen


@intrinsic
def zero(typingctx):
    """``zero() -> vector``: zeros."""

    def codegen(context, builder, signature, args):
        return _constant(0.0)

    return vector(), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """``fma(a, b, c) -> vector``: a·b + c, contracted into one instruction where the machine has it."""

    def codegen(context, builder, signature, args):
        return _fma(builder, *args)

    return vector(vector, vector, vector), codegen


def _fma(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


@intrinsic
def select_negative(typingctx, test, a, b):
    """``select_negative(test, a, b) -> vector``: a where test < 0, b elsewhere."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered("<", args[0], _constant(0.0)), args[1], args[2])

    return vector(vector, vector, vector), codegen


@intrinsic
def maximum(typingctx, a, b):
    """``maximum(a, b) -> vector``: the larger one of each lane; b where a is not a number."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return vector(vector, vector), codegen


@intrinsic
def exp_minus_abs(typingctx, x):
    """``exp_minus_abs(x) -> vector``: exp(−|x|), relative error below 3e-7; smaller than 1e-37 beyond |x| = 86.

    exp(−a) = 2^n · exp(r) with n = round(−a / ln 2) and |r| ≤ ln 2 / 2, exp(r) by its Taylor polynomial of degree 7.
    """

    def codegen(context, builder, signature, args):
        ints = ir.VectorType(_int32, LANES)
        bits = builder.bitcast(args[0], ints)
        sign = ir.Constant(ints, [-(2**31)] * LANES)
        minus_abs = builder.bitcast(builder.or_(bits, sign), _vector)
        floor = _constant(-86.0)
        a = builder.select(builder.fcmp_ordered("<", minus_abs, floor), floor, minus_abs)
        # Adding and taking away 1.5 · 2^23 rounds to the nearest integer and leaves it in the low bits.
        magic = _constant(12582912.0)
        shifted = _fma(builder, a, _constant(1.4426950408889634), magic)
        n = builder.fsub(shifted, magic)
        r = _fma(builder, n, _constant(-0.693359375), a)
        r = _fma(builder, n, _constant(2.12194440e-4), r)
        p = _constant(1 / 5040)
        for divisor in (720, 120, 24, 6, 2, 1, 1):
            p = _fma(builder, p, r, _constant(1 / divisor))
        exponent = builder.shl(builder.bitcast(shifted, ints), ir.Constant(ints, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(p, ints), exponent), _vector)

    return vector(vector), codegen


@intrinsic
def total(typingctx, x):
    """``total(x) -> float32``: the sum of the lanes."""

    def codegen(context, builder, signature, args):
        result = args[0]
        while result.type.count > 1:
            half = result.type.count // 2
            pick = ir.VectorType(_int32, half)
            result = builder.fadd(
                builder.shuffle_vector(result, result, ir.Constant(pick, list(range(half)))),
                builder.shuffle_vector(result, result, ir.Constant(pick, list(range(half, 2 * half)))),
            )
        return builder.extract_element(result, _int32(0))

    return types.float32(vector), codegen


@intrinsic
def largest(typingctx, x):
    """``largest(x) -> float32``: the largest lane."""

    def codegen(context, builder, signature, args):
        result = args[0]
        while result.type.count > 1:
            half = result.type.count // 2
            low = _pick(builder, result, result, list(range(half)))
            high = _pick(builder, result, result, list(range(half, 2 * half)))
            result = builder.select(builder.fcmp_ordered(">", low, high), low, high)
        return builder.extract_element(result, _int32(0))

    return types.float32(vector), codegen


def _pick(builder, x, y, lanes):
    """Lanes of x and y put together, y's numbered behind x's."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_int32, len(lanes)), lanes))


def _sums4(builder, a, b, c, d):
    """The four horizontal sums as one vector of 4 floats, by a transposed reduction.

    Halves of two vectors are added side by side, so that four sums cost 3 + log2(LANES / 4) additions in place of
    4 · log2(LANES).
    """

    def halves(x, y):
        # Lanes (0 … n/2) of both, plus lanes (n/2 … n) of both: x's sum stays in the low half, y's in the high.
        n = LANES
        low = _pick(builder, x, y, [*range(n // 2), *range(n, n + n // 2)])
        return builder.fadd(low, _pick(builder, x, y, [*range(n // 2, n), *range(n + n // 2, 2 * n)]))

    x, y = halves(a, b), halves(c, d)
    # x holds (a | b), y holds (c | d), n/2 partial sums each: leave (a | b | c | d), n/4 each.
    quarter = LANES // 4
    starts = [0, LANES // 2, LANES, LANES + LANES // 2]
    low = _pick(builder, x, y, [s + i for s in starts for i in range(quarter)])
    result = builder.fadd(low, _pick(builder, x, y, [s + quarter + i for s in starts for i in range(quarter)]))
    while result.type.count > 4:
        # Groups of `width` partial sums shrink to half, all four at once.
        width = result.type.count // 4
        low = _pick(builder, result, result, [g * width + i for g in range(4) for i in range(width // 2)])
        high = [g * width + width // 2 + i for g in range(4) for i in range(width // 2)]
        result = builder.fadd(low, _pick(builder, result, result, high))
    return result


@intrinsic
def store_sums4(typingctx, address, a, b, c, d):
    """``store_sums4(address, a, b, c, d)``: the four horizontal sums, as four floats in a row in memory."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(builder, args[0], ir.VectorType(_float, 4))
        builder.store(_sums4(builder, *args[1:]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, vector, vector, vector, vector), codegen


@intrinsic
def store_sums2x2(typingctx, first, second, a, b, c, d):
    """``store_sums2x2(first, second, a, b, c, d)``: the sums of a and b at one address, of c and d at another."""

    def codegen(context, builder, signature, args):
        sums = _sums4(builder, *args[2:])
        for address, lanes in ((args[0], [0, 1]), (args[1], [2, 3])):
            pair = _pick(builder, sums, sums, lanes)
            builder.store(pair, _pointer(builder, address, pair.type), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, vector, vector, vector, vector), codegen


@intrinsic
def prefetch(typingctx, address):
    """``prefetch(address)``: ask for the cache line that will be written soon."""

    def codegen(context, builder, signature, args):
        pointer = ir.PointerType(ir.IntType(8))
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, _int32, _int32, _int32]),
            "llvm.prefetch.p0i8" if not getattr(pointer, "is_opaque", False) else "llvm.prefetch.p0",
        )
        builder.call(function, [_pointer(builder, args[0], ir.IntType(8)), _int32(1), _int32(3), _int32(1)])
        return context.get_dummy_value()

    return types.void(types.intp), codegen
