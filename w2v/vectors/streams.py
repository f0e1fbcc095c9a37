"""Opening vector files, compressed or not: by content when reading, by suffix when writing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from w2v.atomic import atomic_file
from w2v.errors import FormatError, require
from w2v.untrusted import check_plain

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
# gzip's own default of level 9 takes three times as long for 1 % of the size.
_OPENERS = {".gz": partial(gzip.open, compresslevel=6), ".bz2": bz2.open, ".xz": lzma.open}
# What decompressing may give: so many bytes of any file, and then so many for each of its bytes.
_UNFOLDED_FREELY, _UNFOLDED_PER_BYTE = 16 << 20, 100
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


def format_suffix(path: str | os.PathLike) -> str:
    """The suffix that tells the format, in lower case: ``.bin`` of ``vectors.bin.gz``."""
    path = Path(path)
    if path.suffix.lower() in COMPRESSIONS:
        path = path.with_suffix("")
    return path.suffix.lower()


@contextmanager
def open_input(path: str | os.PathLike) -> Iterator[tuple[BinaryIO, int | None]]:
    """Give a binary stream of the decompressed content, and its size in bytes (None where compressed).

    Errors of reading and decompressing inside the block become a FormatError that names the file.
    """
    failures = (OSError, EOFError, zlib.error, lzma.LZMAError)
    compression = None
    try:
        size = check_plain(path).st_size
        with open(path, "rb") as plain:
            magic = plain.read(6)
        compression = next((suffix for start, suffix in _MAGIC.items() if magic.startswith(start)), None)
        if compression == ".zst":
            zstandard = require("zstandard", "io", f"reading {path}")
            failures = (*failures, zstandard.ZstdError)
        with _opened(path, compression, "rb") as stream:
            if compression is None:
                yield stream, size
            else:
                yield _Unfolded(stream, path, compression, size), None
    except failures as error:
        if compression is None:
            raise FormatError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
        raise FormatError(f"{path}: the {compression[1:]} data is cut off or damaged: copy it again") from error


@contextmanager
def open_output(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Give a binary stream whose content, compressed as the suffix says, replaces ``path`` at the end."""
    suffix = Path(path).suffix.lower()
    compression = suffix if suffix in COMPRESSIONS else None
    with atomic_file(path) as temporary, _opened(temporary, compression, "wb") as stream:
        yield stream


class _Unfolded(io.BufferedIOBase):
    """Decompressed data, of which no more is read than vectors could have been compressed to.

    Decimals of vectors shrink to a third or so, and even vectors of a few different values to a tenth; a file of a
    kilobyte that unfolds to a gigabyte was made for harm.
    """

    def __init__(self, stream: BinaryIO, path: object, compression: str, size: int) -> None:
        self._stream, self._path, self._compression = stream, path, compression
        self._most = max(_UNFOLDED_FREELY, _UNFOLDED_PER_BYTE * size)
        self._left = self._most

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """As of any stream; FormatError where it has given more than its compressed size justifies."""
        return self._counted(self._stream.read(self._asked(size)))

    def readline(self, size: int | None = -1) -> bytes:
        """As of any stream; see ``read``."""
        return self._counted(self._stream.readline(self._asked(size)))

    def _asked(self, size: int | None) -> int:
        return self._left + 1 if size is None or size < 0 else min(size, self._left + 1)

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise FormatError(
                f"{self._path}: unfolds to more than {self._most >> 20:,} MB, far more than vectors shrink to: "
                f"decompress it with a tool for {self._compression} first if you trust it"
            )
        return data


def _opened(path: str | os.PathLike, compression: str | None, mode: str) -> BinaryIO:
    if compression is None:
        return open(path, mode)
    if compression == ".zst":
        opened = require("zstandard", "io", f"opening {path}").open(path, mode)
    else:
        opened = _OPENERS[compression](path, mode)
    return io.BufferedReader(opened, 1 << 20) if mode == "rb" else opened
