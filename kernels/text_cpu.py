"""The bytes of a text on the CPU: loads at any position, white space, hashes. What its tables of words stand on.

The hash is keyed by secrets drawn per process; no result depends on them. ``hash_long`` mixes the length into the
first bytes, so that two tokens can be made that share it: whoever keeps no bytes to compare adds the length again.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import kernel

# Bytes of a token that are its key in a table; of longer ones it is a hash.
INLINE = 16
_BYTE_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
LOW_MASKS = np.array([_BYTE_MASKS[min(n, 8)] for n in range(INLINE + 1)], np.uint64)
HIGH_MASKS = np.array([_BYTE_MASKS[max(n - 8, 0)] for n in range(INLINE + 1)], np.uint64)
HIGH_BITS = np.uint64(0x8080808080808080)
# An odd constant to spread numbers with: the fractional bits of the golden ratio.
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_U0, _U1, _U8, _U16 = (np.uint64(n) for n in (0, 1, 8, 16))


def byte_pointer(context, builder, signature, args, element):
    """Pointer to byte ``args[1]`` of the array ``args[0]``, typed as ``element``."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), element.as_pointer())


@intrinsic
def load_u64(typingctx, array, index):
    """Eight bytes of a uint8 array at any position, as a little-endian word."""

    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        return builder.load(byte_pointer(context, builder, signature, args, word), align=1)

    return types.uint64(array, types.uint64), codegen


@intrinsic
def _space_mask(typingctx, array, index):
    """Which of the 64 bytes from ``index`` are ASCII white space, first byte in the lowest bit."""

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.IntType(8), 64)

        def splat(value):
            return ir.Constant(vector, [value] * 64)

        data = builder.load(byte_pointer(context, builder, signature, args, vector), align=1)
        # \t \n \v \f \r are 9 to 13.
        control = builder.icmp_unsigned("<=", builder.sub(data, splat(9)), splat(4))
        blank = builder.icmp_unsigned("==", data, splat(32))
        return builder.bitcast(builder.or_(control, blank), ir.IntType(64))

    return types.uint64(array, types.uint64), codegen


@intrinsic
def _trailing_zeros(typingctx, word):
    """Position of the lowest set bit; 64 where there is none."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@intrinsic
def _bit_count(typingctx, word):
    """Number of set bits."""

    def codegen(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


def _prefetcher(columns_log2, writes, doc):
    """An intrinsic that asks for row ``row`` of a C-ordered array (n, 2^columns_log2) of 8-byte numbers.

    writes: the row is written soon, too.
    """

    def ask(typingctx, array, row):
        def codegen(context, builder, signature, args):
            pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            start = builder.gep(data, [builder.shl(args[1], ir.Constant(ir.IntType(64), columns_log2))])
            shape = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
            function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], shape)
            # To be kept in all caches; data, not code.
            hints = (ir.Constant(number, value) for value in (writes, 3, 1))
            builder.call(function, [builder.bitcast(start, pointer), *hints])
            return context.get_dummy_value()

        return types.none(array, types.uint64), codegen

    ask.__doc__ = doc
    return intrinsic(ask)


prefetch_row4 = _prefetcher(2, 0, "Ask for a row of (n, 4) that will be read soon.")
prefetch_row2 = _prefetcher(1, 1, "Ask for a row of (n, 2) that will be read and written soon.")


@intrinsic
def _fold(typingctx, left, right):
    """The 128-bit product of two words, its halves XORed: the mixing step of the hash."""

    def codegen(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))
        return builder.xor(builder.trunc(product, ir.IntType(64)), high)

    return types.uint64(types.uint64, types.uint64), codegen


@kernel
def hash_inline(low, high, length, secrets):
    """Hash of a token of at most 16 bytes, from its two masked words and its length."""
    return _fold(_fold(low ^ secrets[0], high ^ secrets[1] ^ length), secrets[2])


@kernel
def hash_long(text, start, length, secrets):
    """Two hashes of the ``length`` > 16 bytes from ``start``."""
    value = secrets[0] ^ length
    other = secrets[1]
    end = start + length
    at = start
    while at + _U16 < end:
        low = load_u64(text, at)
        high = load_u64(text, at + _U8)
        value = _fold(value ^ low, high ^ secrets[2])
        other = _fold(other ^ high, low ^ secrets[0])
        at += _U16
    low = load_u64(text, end - _U16)
    high = load_u64(text, end - _U8)
    return _fold(value ^ low, high ^ secrets[2]), _fold(other ^ high, low ^ secrets[0])


@kernel
def same_bytes(left, left_start, right, right_start, length):
    """Whether two runs of ``length`` >= 8 bytes are equal."""
    at = _U0
    while at + _U8 < length:
        if load_u64(left, left_start + at) != load_u64(right, right_start + at):
            return False
        at += _U8
    last = length - _U8
    return load_u64(left, left_start + last) == load_u64(right, right_start + last)


@kernel
def boundaries(text, begin, end, carry, positions, held):
    """Write where tokens start and end in [begin, end) to ``positions`` from index ``held`` on.

    ``carry`` is 1 where the byte before ``begin`` is white space. Returns the number of positions held and the
    carry of the next window. Bytes past ``end`` up to the next multiple of 64 must be spaces.
    """
    base = begin
    while base < end:
        spaces = _space_mask(text, base)
        changes = spaces ^ ((spaces << _U1) | carry)
        carry = spaces >> np.uint64(63)
        found = _bit_count(changes)
        at = held
        for _ in range(16):
            positions[at] = base + _trailing_zeros(changes)
            changes &= changes - _U1
            at += _U1
        while changes != _U0:
            positions[at] = base + _trailing_zeros(changes)
            changes &= changes - _U1
            at += _U1
        held += found
        base += np.uint64(64)
    return held, carry


@kernel
def table_shift(slots):
    """Right shift that turns a hash into an index of ``slots`` (a power of two, at least 2)."""
    return np.uint64(64) - _bit_count(np.uint64(slots.shape[0]) - _U1)
