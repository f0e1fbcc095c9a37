"""Reading ``.npy`` files that may come from anywhere: checked against the file's size, never unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2v.errors import FormatError


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
