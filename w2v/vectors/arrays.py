"""``.npy`` files: written row by row; read from anywhere, checked against the file's size, never unpickled."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from w2v.errors import FormatError

# What is copied at once of an array that is written.
_BLOCK_BYTES = 1 << 24


def load_array(path: Path, mmap: bool = True) -> np.ndarray:
    """The array in ``path``; memory-mapped copy-on-write with ``mmap``, so that changes never reach the file.

    Raises FormatError where the file is missing, is no ``.npy`` file, holds Python objects, or is not exactly
    as long as its header says.
    """
    try:
        with path.open("rb") as stream:
            # numpy's header parser raises whatever a hostile header provokes in Python's own parser.
            try:
                version = np.lib.format.read_magic(stream)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, fortran_order, dtype = read_header(stream)
            except Exception as error:
                raise FormatError(f"{path}: not a readable .npy file: save it again") from error
            offset = stream.tell()
            length = path.stat().st_size
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    if dtype.kind not in "fiu":
        raise FormatError(f"{path}: holds {dtype} values, and only plain numbers are loaded")
    if any(not 0 <= size < 2**48 for size in shape):
        raise FormatError(f"{path}: the shape {shape} is impossible")
    expected = dtype.itemsize
    for size in shape:
        expected *= size
    if offset + expected != length:
        raise FormatError(f"{path}: holds {length - offset} bytes of data where its header says {expected}")
    order = "F" if fortran_order else "C"
    if expected == 0:
        return np.zeros(shape, dtype, order)
    mapped = np.memmap(path, dtype, "c", offset, shape, order)
    return np.asarray(mapped) if mmap else np.array(mapped)


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
