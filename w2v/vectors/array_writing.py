"""Writing ``.npy`` files: row by row, with a checksum."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# What is copied at once of an array.
_BLOCK_BYTES = 1 << 24


def write_array(path: Path, array: np.ndarray) -> int:
    """Write a ``.npy`` file in blocks of rows, so that a view is never copied whole; returns ``checksum``'s sum."""
    sum_so_far = 0
    with path.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for block in _blocks(array):
            stream.write(block)
            sum_so_far = zlib.crc32(block, sum_so_far)
    return sum_so_far


def checksum(array: np.ndarray) -> int:
    """CRC-32 of the values in C order."""
    found = 0
    for block in _blocks(array):
        found = zlib.crc32(block, found)
    return found


def _blocks(array: np.ndarray) -> Iterator[memoryview]:
    """The bytes of an array of one or two dimensions in C order, some rows at a time."""
    rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for begin in range(0, len(array), rows):
        yield memoryview(np.ascontiguousarray(array[begin : begin + rows])).cast("B")
