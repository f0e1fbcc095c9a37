"""Where the text with its phrases goes: a file, compressed by its suffix, or standard output."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from w2v.atomic import atomic_file, check_file
from w2v.errors import OutputError, require

STDOUT = Path("-")


def check_output(path: Path) -> None:
    """Raise OutputError or MissingExtraError where ``open_output`` could not write; call it before long work."""
    if path == STDOUT:
        return
    check_file(path, make_parents=False)
    if path.suffix.lower() == ".zst":
        require("zstandard", "io", f"writing {path}")


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """A stream for the finished text, compressed by the suffix of ``path`` (.gz .bz2 .xz .zst); ``-``: stdout.

    A file is replaced only at the end, when all is written. Raises OutputError where it cannot be.
    """
    if path == STDOUT:
        stream = getattr(sys.stdout, "buffer", sys.stdout)
        try:
            yield stream
            stream.flush()
        except BrokenPipeError:  # whoever read it has had enough
            raise
        except OSError as error:
            raise OutputError(f"cannot write to standard output: {error.strerror or error}") from None
        return
    with atomic_file(path, make_parents=False) as temporary, ExitStack() as opened:
        file = opened.enter_context(open(temporary, "wb", buffering=0))
        yield opened.enter_context(_compressed(file, path))


def _compressed(file: BinaryIO, path: Path) -> BinaryIO:
    """A stream that compresses into ``file`` by the suffix of ``path``; the same text gives the same bytes."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)
    if suffix == ".bz2":
        return bz2.BZ2File(file, "wb")
    if suffix == ".xz":
        return lzma.LZMAFile(file, "wb")
    if suffix == ".zst":
        zstandard = require("zstandard", "io", f"writing {path}")
        return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
    return file


def write_all(stream: BinaryIO, data: memoryview) -> None:
    """Write all of ``data``, also to a stream that takes it in pieces."""
    while data:
        count = stream.write(data)
        data = data[len(data) if count is None else count :]
