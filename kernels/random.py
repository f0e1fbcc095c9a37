"""The one random-number generator: counter-based, so that every backend draws the same numbers in any order.

A draw is a hash of what it is for (seed, epoch, position in the corpus, number of the draw), never a state that
moves on. The 64-bit mixer is the finaliser of SplitMix64 (Steele, Lea & Flood 2014: Fast splittable pseudorandom
number generators); the 32-bit one is a two-multiply mixer of the same shape with constants from Wellons'
hash-prospector search (2018). Streams with different purposes are kept apart by constants.

    epoch_key(seed, epoch, stream)   once per epoch                                   uint64
    window_key(key, position)        once per token of the corpus                     uint64
    draw(key, j)                     the j-th 32-bit number of that window            uint32

numba widens every mix of uint32 and a literal, so the 32-bit parts mask explicitly; LLVM removes the masks. It also
types a Python int below 2^63 as signed: keys from Python are wrapped in np.uint64, and cast here once more.
"""

import numpy as np
from numba import njit

STREAM_SUBSAMPLE = np.uint64(0x5375_6253_616D_706C)
STREAM_WINDOW = np.uint64(0x5769_6E64_6F77_7321)
STREAM_INITIAL = np.uint64(0x496E_6974_5665_6373)
STREAM_HELDOUT = np.uint64(0x4865_6C64_4F75_7421)

_GOLDEN64 = np.uint64(0x9E37_79B9_7F4A_7C15)
_MIX64_A = np.uint64(0xBF58_476D_1CE4_E5B9)
_MIX64_B = np.uint64(0x94D0_49BB_1331_11EB)
_MIX32_A = np.uint64(0x7FEB_352D)
_MIX32_B = np.uint64(0x846C_A68B)
_MASK32 = np.uint64(0xFFFF_FFFF)
_U1 = np.uint64(1)
_U15, _U16 = np.uint64(15), np.uint64(16)
_U27, _U30, _U31, _U32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)


@njit(inline="always")
def mix64(x):
    """SplitMix64's finaliser: a bijection of uint64 that changes every bit on average half the time."""
    x = np.uint64(x)
    x = (x ^ (x >> _U30)) * _MIX64_A
    x = (x ^ (x >> _U27)) * _MIX64_B
    return x ^ (x >> _U31)


@njit(inline="always")
def mix32(x):
    """The 32-bit mixer: a bijection of the low 32 bits, held in a uint64."""
    x = np.uint64(x) & _MASK32
    x = ((x ^ (x >> _U16)) * _MIX32_A) & _MASK32
    x = ((x ^ (x >> _U15)) * _MIX32_B) & _MASK32
    return x ^ (x >> _U16)


@njit(inline="always")
def epoch_key(seed, epoch, stream):
    """The key of one purpose in one epoch, uint64."""
    return mix64(mix64(np.uint64(seed) ^ stream) + np.uint64(epoch) * _GOLDEN64)


@njit(inline="always")
def window_key(key, position):
    """The key of the token at a 64-bit position of the encoded corpus, uint64."""
    return mix64(np.uint64(key) + (np.uint64(position) + _U1) * _GOLDEN64)


@njit(inline="always")
def draw(key, j):
    """The j-th 32-bit number of a key, in a uint64: a Weyl sequence with the key's own odd step, mixed."""
    key = np.uint64(key)
    return mix32((key & _MASK32) + np.uint64(j) * ((key >> _U32) | _U1))


@njit(inline="always")
def below(number, bound):
    """A 32-bit number scaled to 0 … bound − 1 by a multiplication (Lemire 2019: no division), int64."""
    return np.int64((np.uint64(number) * np.uint64(bound)) >> _U32)


@njit(inline="always")
def alias_draw(key, j, buckets):
    """Draw number j from an alias table (Walker 1977; Vose 1991), int64.

    buckets: (V,) uint64, the bucket's threshold in the high half and its alias in the low one: bucket i gives i
    while a 32-bit number is not above the threshold, and its alias otherwise. Numbers 2·j and 2·j + 1 of the key
    are used.
    """
    bucket = below(draw(key, 2 * j), buckets.size)
    packed = buckets[bucket]
    return bucket if draw(key, 2 * j + 1) <= packed >> _U32 else np.int64(packed & _MASK32)
