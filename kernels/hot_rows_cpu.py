"""Private copies of the most used rows, so that threads do not fight over their cache lines.

Two cores that write the same row take its cache lines from one another at every touch, and frequent words and the
top of a Huffman tree are in every window: on two cores that costs more than half of what the second one brings. So a
thread works on its own copy of such a row, and after ``limit`` touches adds what it has learned to the shared row and
takes over what the others have (deltas are added, never averaged: Ji et al. 2016 synchronise hot words the same way,
by a clock in place of a count). Between two exchanges a thread does not see the others' last ``limit`` touches.
"""

from collections import namedtuple

import numpy as np
from numba import njit

from .jit import kernel
from .simd import VECTOR_BYTES, add, aligned_zeros, load, store, sub

HotRows = namedtuple("HotRows", "first count limit private snapshot touches")
HotRows.__doc__ = """One thread's private rows of one matrix: rows first … first + count − 1; exchanged at every
``limit``-th touch; private, snapshot (count, D) float32, aligned; touches (count,) int32, 0 where nothing is held."""


def private_rows(first: int, count: int, limit: int, width: int) -> HotRows:
    """Room for ``count`` private rows of ``width`` floats, nothing held yet; count 0: all rows are shared."""
    rows = max(count, 1)  # an array of no rows has no address
    return HotRows(
        first, count, limit, aligned_zeros(rows, width), aligned_zeros(rows, width), np.zeros(rows, np.int32)
    )


@kernel
def placed(hot):
    """(first, count, limit, address of private, address of snapshot): small enough to travel in registers."""
    return hot.first, hot.count, hot.limit, hot.private.ctypes.data, hot.snapshot.ctypes.data


@njit(inline="always")
def row_address(row, shared, row_bytes, place, touches):
    """Where this thread reads and writes a row: an address in the shared matrix, or in its private copy.

    shared: address of the matrix; place: from ``placed``; touches: the same HotRows'.
    """
    index = np.int64(row) - place[0]
    address = shared + np.int64(row) * row_bytes
    if np.uint64(index) < np.uint64(place[1]):
        address = _touch(index, address, row_bytes, place, touches)
    return address


@njit(inline="always")
def is_private(row, place):
    """Whether a row is one of those that this thread holds for itself."""
    return np.uint64(np.int64(row) - place[0]) < np.uint64(place[1])


@kernel
def _touch(index, shared, row_bytes, place, touches):
    """The address of a private row, after an exchange with the shared one where it is due."""
    private = place[3] + index * row_bytes
    touched = touches[index]
    if touched == 0 or touched >= place[2]:
        _exchange(shared, private, place[4] + index * row_bytes, row_bytes, touched > 0)
        touched = 0
    touches[index] = touched + 1
    return private


@kernel
def _exchange(shared, private, snapshot, row_bytes, learned):
    """Add what was learned since the snapshot to the shared row, and take a new copy and snapshot of it."""
    for offset in range(0, row_bytes, VECTOR_BYTES):
        row = load(shared + offset)
        if learned:
            row = add(row, sub(load(private + offset), load(snapshot + offset)))
            store(shared + offset, row)
        store(private + offset, row)
        store(snapshot + offset, row)


@kernel
def give_back(matrix, hot):
    """Add everything learned to the shared rows, and hold nothing. matrix: (rows, D) float32."""
    row_bytes = matrix.shape[1] * 4
    for index in range(hot.count):
        if hot.touches[index] > 0:
            shared = matrix.ctypes.data + (hot.first + index) * row_bytes
            _exchange(shared, hot.private.ctypes.data + index * row_bytes,
                      hot.snapshot.ctypes.data + index * row_bytes, row_bytes, True)  # fmt: skip
            hot.touches[index] = 0
