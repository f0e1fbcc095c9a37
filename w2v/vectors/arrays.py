"""``.npy`` files: those that may come from anywhere are checked against their size, never unpickled or evaluated."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from w2v.errors import FormatError
from w2v.untrusted import check_plain

# numpy.load evaluates the header as a Python literal, which can exhaust the interpreter's stack: here it is matched.
_FIELDS = re.compile(
    r"""\s*(?:
        '(?P<descr>descr)'\s*:\s*'(?P<type>[<>|=][fiu](?:1|2|4|8|16))'
      | '(?P<order>fortran_order)'\s*:\s*(?P<fortran>True|False)
      | '(?P<shape>shape)'\s*:\s*\((?P<sizes>[\d,\sL]*)\)
    )\s*(?:,|(?=\}))""",
    re.VERBOSE,
)
_PYTHON_OBJECTS = re.compile(r"'descr'\s*:\s*(?P<type>'[^']{0,40}'|\[[^\]]{0,40})")
_LONGEST_HEADER = 10_000
_MOST_DIMENSIONS = 32
_LARGEST_SIZE = 1 << 48


class ArrayHeader(NamedTuple):
    """What precedes the numbers: their type, shape and order, and where they start."""

    dtype: np.dtype
    shape: tuple[int, ...]
    order: str
    offset: int

    @property
    def nbytes(self) -> int:
        """How many bytes the numbers take."""
        return self.dtype.itemsize * math.prod(self.shape)


def load_array(path: Path, mmap: bool = True) -> np.ndarray:
    """The array in ``path``; memory-mapped copy-on-write with ``mmap``, so that changes never reach the file.

    Raises FormatError where the file is missing, is no ``.npy`` file, holds anything but plain numbers, or is not
    exactly as long as its header says.
    """
    try:
        length = check_plain(path).st_size
        with path.open("rb") as stream:
            header = _read_header(stream.read(_LONGEST_HEADER + 12), path)
        _check_length(header, length, path)
        if header.nbytes == 0:
            return np.zeros(header.shape, header.dtype, header.order)
        mapped = np.memmap(path, header.dtype, "c", header.offset, header.shape, header.order)
        return np.asarray(mapped) if mmap else np.array(mapped)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error


def array_of(data: bytes, path: object) -> np.ndarray:
    """The array of an ``.npy`` file's bytes, read-only; ``path`` is for messages. Raises as ``load_array``."""
    header = _read_header(data, path)
    _check_length(header, len(data), path)
    if header.nbytes == 0:
        return np.zeros(header.shape, header.dtype, header.order)
    return np.ndarray(header.shape, header.dtype, data, header.offset, order=header.order)


def _read_header(data: bytes, path: object) -> ArrayHeader:
    """The header at the start of ``data``; FormatError where there is none of plain numbers."""
    refused = FormatError(f"{path}: not a readable .npy file: save it again")
    start, kind = {b"\x93NUMPY\x01\x00": (10, "<H"), b"\x93NUMPY\x02\x00": (12, "<I")}.get(data[:8], (0, ""))
    if not start or len(data) < start:
        raise refused
    (length,) = struct.unpack(kind, data[8:start])
    text = data[start : start + length].decode("latin-1").strip()
    if length > _LONGEST_HEADER or len(data) < start + length or text[:1] != "{" or text[-1:] != "}":
        raise refused
    values = _parse(text)
    if values is None:
        other = _PYTHON_OBJECTS.search(text)
        if other and not re.fullmatch(r"'[<>|=][fiu]\d+'", other["type"]):
            raise FormatError(f"{path}: holds {other['type']!r} values, and only plain numbers are loaded")
        raise refused
    dtype, fortran, shape = values
    if len(shape) > _MOST_DIMENSIONS or any(size >= _LARGEST_SIZE for size in shape):
        raise FormatError(f"{path}: the shape {str(shape)[:80]} is impossible")
    # Of no numbers at all the other sizes say nothing, and NumPy multiplies them.
    if math.prod(size or 1 for size in shape) * dtype.itemsize >= 1 << 62:
        raise FormatError(f"{path}: the shape {str(shape)[:80]} is impossible")
    return ArrayHeader(dtype, shape, "F" if fortran else "C", start + length)


def _parse(text: str) -> tuple[np.dtype, bool, tuple[int, ...]] | None:
    """Type, whether in Fortran's order, and shape; None where ``text`` is no dictionary of just these three."""
    found: dict[str, str] = {}
    position = 1
    while match := _FIELDS.match(text, position):
        position = match.end()
        for name in ("type", "fortran", "sizes"):
            if match[name] is not None:
                if name in found:
                    return None
                found[name] = match[name]
    if len(found) != 3 or text[position:].strip() != "}":
        return None
    sizes = [size.strip().removesuffix("L") for size in found["sizes"].split(",")]
    if sizes[-1] == "":  # nothing, or a comma behind the last one
        sizes.pop()
    elif len(sizes) == 1:
        return None  # a number in parentheses is no tuple
    if not all(size.isascii() and size.isdigit() and len(size) < 20 for size in sizes):
        return None
    try:
        return np.dtype(found["type"]), found["fortran"] == "True", tuple(map(int, sizes))
    except TypeError:  # a width that this type does not have
        return None


def _check_length(header: ArrayHeader, length: int, path: object) -> None:
    if header.offset + header.nbytes != length:
        held = length - header.offset
        raise FormatError(f"{path}: holds {held} bytes of data where its header says {header.nbytes}")
