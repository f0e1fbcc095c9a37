"""Where text comes from: files, folders, addresses, standard input; plain or compressed; cut into blocks."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from w2v.errors import CorpusError, OutputError, W2VError, require

BOM = b"\xef\xbb\xbf"
# A single token beyond this is no text; it also keeps positions within a block below 2^32.
LONGEST_TOKEN = 1 << 30
_CHUNK = 1 << 20
# Bytes of compressed data at once: what they can become at most (with zstd, by some 30,000) has to fit in memory.
_COMPRESSED = 1 << 14
COMPRESSED_SUFFIXES = frozenset((".gz", ".bz2", ".xz", ".zst"))
# Two letters at least: one is a drive of Windows.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class Source:
    """One input: a file, or standard input where ``path`` is None; others have classes of their own.

    starts: it begins where a file begins, where a byte order mark may be. ends: a line ends with it, whatever its
    last byte is. remote: reading it may fail in ways of its own.
    """

    path: Path | None
    label: str | None = None

    starts = ends = True
    remote = False
    rights = "change its rights (chmod +r)"

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.label or ("standard input" if self.path is None else str(self.path))

    @property
    def is_stdin(self) -> bool:
        """Whether it is standard input, which can be read only once."""
        return self.path is None

    @property
    def suffix(self) -> str:
        """What tells how it is compressed, in lower case."""
        return "" if self.path is None else self.path.suffix.lower()

    @property
    def size(self) -> int:
        """Bytes, as they are stored; of a regular one only."""
        with reported(self):
            return self.path.stat().st_size

    def open_raw(self) -> BinaryIO:
        """Its bytes as they are stored; raises what opening a file raises."""
        return _open_stdin() if self.path is None else open(self.path, "rb", buffering=0)

    @property
    def regular(self) -> bool:
        """Whether it is a plain file: one that can be read twice, and that has an identity."""
        return self.path is not None and self.path.is_file()

    def spooled(self, folder: Path) -> Source:
        """A copy in ``folder`` that can be read more than once, of a source that cannot.

        Raises CorpusError where it cannot be read, and OutputError where the copy cannot be written.
        """
        path = folder / f"input.tmp{self.suffix}"
        with ExitStack() as opened:
            with reported(self):
                stream = opened.enter_context(self.open_raw())
            try:
                file = opened.enter_context(path.open("xb", buffering=0))
                while piece := self._piece(stream):
                    while piece:
                        piece = piece[file.write(piece) :]
            except OSError as error:
                raise OutputError(
                    f"cannot write {path}, a copy of {self.name}: {error.strerror or error}: set TMPDIR to a folder "
                    "with room"
                ) from None
        return Source(path, self.name)

    def _piece(self, stream: BinaryIO) -> bytes:
        with reported(self):
            return stream.read(_CHUNK)

    def identity(self) -> list[str | int]:
        """Path, size, and times of the last change of content (ns) and of the file's record (ns)."""
        with reported(self):
            status = self.path.stat()
            return [str(self.path.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def find_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """The files of ``inputs`` in order; a folder, or the address of one, gives its files, recursively, sorted.

    Left out are hidden files and folders, and the model folders and checkpoints that ``w2v`` wrote: they are no text.
    Raises CorpusError where an input is missing or a folder holds no file, MissingExtraError where reading an address
    needs a package.
    """
    sources = []
    for item in inputs:
        if str(item) == "-":
            sources.append(Source(None))
            continue
        if is_address(item):
            from w2v.corpus.addresses import find_address

            sources.extend(find_address(str(item)))
            continue
        path = Path(item)
        if path.is_dir():
            sources.extend(_folder(path))
        elif path.exists():
            sources.append(Source(path))
        else:
            raise CorpusError(f"{path} does not exist: give a text file, a folder, or - for standard input")
    if not sources:
        raise CorpusError("no input: give a text file, a folder, or - for standard input")
    if sum(source.is_stdin for source in sources) > 1:
        raise CorpusError("standard input can be read only once: give - once")
    return sources


def is_address(item: str | Path) -> bool:
    """Whether an input is an address such as ``s3://bucket/text``, which fsspec reads."""
    return isinstance(item, str) and _ADDRESS.match(item) is not None


def identities(sources: Sequence[Source]) -> list[list | None]:
    """The identity of each of ``sources``, None where it has none."""
    return [source.identity() if source.regular else None for source in sources]


@contextmanager
def unchanged(sources: Sequence[Source], before: Sequence[list | None]) -> Iterator[None]:
    """Read ``sources`` meanwhile: raises CorpusError where one is not what it was when ``identities`` was asked.

    That is said too in the place of a CorpusError that may come from it.
    """
    try:
        yield
    except CorpusError:
        _refuse_changes(sources, before)
        raise
    _refuse_changes(sources, before)


def _refuse_changes(sources: Sequence[Source], before: Sequence[list | None]) -> None:
    for source, identity in zip(sources, before, strict=True):
        if identity is not None and source.identity() != identity:
            raise CorpusError(f"{source.name} changed while it was read: run again when it is complete")


def _folder(folder: Path) -> list[Source]:
    def refuse(error: OSError) -> None:
        raise CorpusError(f"cannot read the folder {error.filename}: {error.strerror}: check its rights") from None

    found = []
    for root, folders, files in os.walk(folder, onerror=refuse):
        if ("config.json" in files and _is_model(root)) or _holds_checkpoints(root, folders, files):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.extend(Path(root, name) for name in files if not name.startswith("."))
    if not found:
        raise CorpusError(
            f"the folder {folder} holds no file (hidden ones and w2v models are left out): put text files into it"
        )
    found.sort(key=lambda path: path.relative_to(folder).parts)
    for path in found:
        _check_plain(path)
    return [Source(path) for path in found]


def _check_plain(path: Path) -> None:
    """Raise CorpusError where a file of a folder is none that can be read to an end: a pipe would be waited for."""
    if not path.is_file():
        what = "a pipe, a socket or a device" if path.exists() else "a link that leads nowhere"
        raise CorpusError(f"{path} is {what}: move it out of the folder, or name the files to read")


def _holds_checkpoints(folder: str, folders: list[str], files: list[str]) -> bool:
    """Whether a folder is the ``OUT.checkpoint`` of a run: of this one, perhaps, which writes beside its text."""
    numbered = all(re.fullmatch(r"\.?\d{6,}(\.tmp)?", name) for name in folders)
    return folder.endswith(".checkpoint") and numbered and files in ([], ["lock"]) and bool(files or folders)


def _is_model(folder: str) -> bool:
    from w2v.vectors.folder import is_model_folder

    return is_model_folder(folder)


@contextmanager
def reported(source: Source) -> Iterator[None]:
    """Turn what can go wrong while reading ``source`` into a CorpusError that names it."""
    try:
        yield
    except W2VError:
        raise
    except FileNotFoundError:
        raise CorpusError(f"{source.name} does not exist: check the path") from None
    except PermissionError:
        raise CorpusError(f"{source.name} may not be read: {source.rights}") from None
    except EOFError:
        raise CorpusError(f"{source.name} is cut off in the middle of its compressed data: fetch it again") from None
    except (gzip.BadGzipFile, zlib.error, ValueError) as error:
        if source.remote and not source.suffix:
            raise _unreachable(source, error) from None
        raise CorpusError(f"{source.name} is not intact compressed data ({error}): fetch it again") from None
    except OSError as error:
        if source.remote:
            raise _unreachable(source, error) from None
        reason = error.strerror or error
        raise CorpusError(f"cannot read {source.name}: {reason}: give a file that can be read to its end") from None
    except Exception as error:
        # What is behind an address has errors of its own kinds.
        if not source.remote:
            raise
        raise _unreachable(source, error) from None


def _unreachable(source: Source, error: Exception) -> CorpusError:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    return CorpusError(f"cannot read {source.name}: {reason}: check the address, the network and your credentials")


def open_source(source: Source) -> BinaryIO:
    """Open a source for reading bytes, decompressed by its suffix (.gz .bz2 .xz .zst)."""
    with reported(source):
        suffix = source.suffix
        if suffix == ".gz":
            return _Gzip(source.open_raw())
        if suffix in COMPRESSED_SUFFIXES:
            decompressor = _decompressor(source.name, suffix)
            return io.BufferedReader(_Frames(source.open_raw(), *decompressor), _CHUNK)
        return source.open_raw()


def _decompressor(name: str, suffix: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    """What makes a decompressor of one frame, and what that raises for damaged data."""
    if suffix == ".bz2":
        return bz2.BZ2Decompressor, (OSError, ValueError)
    if suffix == ".xz":
        return lzma.LZMADecompressor, (lzma.LZMAError,)
    zstandard = require("zstandard", "io", f"reading {name}")
    return lambda: zstandard.ZstdDecompressor().decompressobj(), (zstandard.ZstdError,)


def _open_stdin() -> BinaryIO:
    """Standard input without Python's buffer, whose lock a thread still waiting for input would keep at exit."""
    if sys.stdin is None:
        raise CorpusError("standard input is closed: give a file, or a pipe to read from")
    stream = getattr(sys.stdin, "buffer", sys.stdin)
    try:
        # Where another program made it so that reading does not wait, it would seem to end where it is slow.
        os.set_blocking(stream.fileno(), True)
        return open(stream.fileno(), "rb", buffering=0, closefd=False)
    except (AttributeError, OSError):
        return stream


class _Gzip(gzip.GzipFile):
    """Closes the file below as well."""

    def __init__(self, file: BinaryIO) -> None:
        self._below = file
        super().__init__(
            fileobj=io.BufferedReader(file, _CHUNK) if isinstance(file, io.RawIOBase) else file, mode="rb"
        )

    def close(self) -> None:
        super().close()
        self._below.close()


class _Frames(io.RawIOBase):
    """Compressed frames, one after another, of a file.

    Unlike the readers of ``bz2`` and ``lzma`` it refuses what is no frame behind one, where they leave out the rest
    of the file; unlike that of zstandard it tells where the last frame is cut off. Zero bytes behind a frame are
    padding.
    """

    def __init__(self, file: BinaryIO, new_frame: Callable[[], Any], errors: tuple[type[Exception], ...]) -> None:
        """new_frame: a decompressor with ``decompress``, ``eof`` and ``unused_data``; errors: what it raises."""
        self._new_frame, self._errors = new_frame, errors
        self._file = file
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Close the file below as well."""
        self._file.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:
        """Decompress up to ``len(buffer)`` bytes; EOFError where a frame is cut off, ValueError where damaged."""
        while not self._output:
            if not self._input:
                self._input = self._file.read(_COMPRESSED)
                if not self._input:
                    if self._frame is not None:
                        raise EOFError
                    return 0
            self._decompress()
        count = min(len(buffer), len(self._output))
        buffer[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _decompress(self) -> None:
        if self._frame is None and self._started:
            self._input = self._input.lstrip(b"\0")
            if not self._input:
                return
        self._started = True
        self._frame = self._frame or self._new_frame()
        try:
            self._output = memoryview(self._frame.decompress(self._input))
        except self._errors as error:
            raise ValueError(str(error)) from None
        self._input = b""
        if self._frame.eof:
            self._input, self._frame = self._frame.unused_data, None

    _started = False


class BlockReader:
    """Cuts the text of several sources into blocks that end after white space, at line ends where it can.

    Each source ends with a line end, added where it has none; a UTF-8 byte order mark at its start is left out. That
    does not apply to one that ``starts`` or ``ends`` within a file.
    """

    def __init__(self, sources: Sequence[Source], padding: int = 0) -> None:
        """Read ``sources`` in order; nothing is opened before the first ``fill``.

        padding: how many spaces follow each block in its buffer.
        """
        self._sources = iter(sources)
        self._padding = padding
        self._source: Source | None = None
        self._stream: BinaryIO | None = None
        self._rest = b""
        self._open_line = False
        self._done = False

    def fill(self, buffer: bytearray) -> tuple[bytearray, int]:
        """Put the next block into ``buffer``, or into a larger one where a single token does not fit.

        Returns the buffer used and the length of the block in it; 0 after the last one.
        """
        length = len(self._rest)
        while len(buffer) < length + self._padding + 4:
            buffer = _larger(buffer, self._source)
        buffer[:length] = self._rest
        while True:
            length = self._read(buffer, length)
            cut = length if self._done else _cut(buffer, length)
            if cut or self._done:
                self._rest = bytes(memoryview(buffer)[cut:length])
                buffer[cut : cut + self._padding] = b" " * self._padding
                return buffer, cut
            buffer = _larger(buffer, self._source)

    def close(self) -> None:
        """Close the source that is open, if any."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _read(self, buffer: bytearray, length: int) -> int:
        """Read until ``buffer`` is full or all sources have ended; returns the bytes it then holds."""
        room = len(buffer) - self._padding
        view = memoryview(buffer)
        # Room is kept for a line end after a source's last byte, and for telling a byte order mark: `readinto`
        # must never be asked for nothing, which looks like the end.
        while room - length >= 4:
            if self._stream is None:
                self._source = next(self._sources, None)
                if self._source is None:
                    self._done = True
                    break
                self._stream = open_source(self._source)
                if self._source.starts:
                    length += self._head(view[length:])
                continue
            with reported(self._source):
                count = self._stream.readinto(view[length : room - 1])
            if count:
                length += count
                self._open_line = buffer[length - 1] != 10
                continue
            self.close()
            if self._open_line and self._source.ends:
                buffer[length] = 10
                length += 1
            self._open_line = False
        return length

    def _head(self, view: memoryview) -> int:
        """Read the first bytes of a source; returns how many stay after a byte order mark is taken out."""
        head = b""
        with reported(self._source):
            while len(head) < len(BOM):
                more = self._stream.read(len(BOM) - len(head))
                if not more:
                    break
                head += more
        if head == BOM:
            return 0
        view[: len(head)] = head
        self._open_line = bool(head) and head[-1] != 10
        return len(head)


def _cut(buffer: bytearray, length: int) -> int:
    """Where to end a block: after the last line end, else after the last white space; 0 where there is none."""
    cut = buffer.rfind(b"\n", 0, length) + 1
    return cut or max(buffer.rfind(space, 0, length) for space in (b" ", b"\t", b"\r", b"\x0b", b"\x0c")) + 1


def _larger(buffer: bytearray, source: Source | None) -> bytearray:
    if len(buffer) > LONGEST_TOKEN:
        where = "" if source is None else f"{source.name}: "
        raise CorpusError(
            f"{where}a single token is longer than a gigabyte: is this text, with white space between words?"
        )
    return buffer + bytes(len(buffer))
