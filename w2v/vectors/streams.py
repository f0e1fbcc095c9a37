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

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}
# gzip's own default of level 9 takes three times as long for 1 % of the size.
_OPENERS = {".gz": partial(gzip.open, compresslevel=6), ".bz2": bz2.open, ".xz": lzma.open}
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
        with open(path, "rb") as plain:
            magic = plain.read(6)
            size = os.fstat(plain.fileno()).st_size
        compression = next((suffix for start, suffix in _MAGIC.items() if magic.startswith(start)), None)
        if compression == ".zst":
            zstandard = require("zstandard", "io", f"reading {path}")
            failures = (*failures, zstandard.ZstdError)
        with _opened(path, compression, "rb") as stream:
            yield stream, size if compression is None else None
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


def _opened(path: str | os.PathLike, compression: str | None, mode: str) -> BinaryIO:
    if compression is None:
        return open(path, mode)
    if compression == ".zst":
        return require("zstandard", "io", f"opening {path}").open(path, mode)
    opened = _OPENERS[compression](path, mode)
    return io.BufferedReader(opened, 1 << 20) if mode == "rb" else opened
