"""Shards of a text: files, and ranges of large ones, of about one size. Importing this imports no numba."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from w2v.corpus.sources import COMPRESSED_SUFFIXES, Source, reported

# Shards for each worker: more of them even out what takes longer, and add words that have to be merged.
SHARDS_PER_WORKER = 4
# Bytes of text below which a shard of its own costs more than it brings.
LEAST_SHARD = 8 << 20
MOST_SHARDS = 1024
# What a compressed byte counts as.
_INFLATED = 4
# Bytes from a cut on in which a line end is looked for; in longer lines the cut is after white space.
_LINE = 1 << 20
_SPACES = b" \t\n\r\x0b\x0c"


@dataclass(frozen=True)
class Range(Source):
    """Bytes ``begin`` … ``end`` of a file that is not compressed.

    mid_line: a line goes on behind it.
    """

    path: None = None
    of: Source = Source(None)
    begin: int = 0
    end: int = 0
    mid_line: bool = False

    @property
    def starts(self) -> bool:
        """Whether the file begins here."""
        return self.begin == 0

    @property
    def ends(self) -> bool:
        """Whether a line ends here."""
        return not self.mid_line

    @property
    def remote(self) -> bool:
        """As the file."""
        return self.of.remote

    @property
    def rights(self) -> str:
        """As the file."""
        return self.of.rights

    @property
    def name(self) -> str:
        """The file's."""
        return self.of.name

    @property
    def suffix(self) -> str:
        """None: it is not compressed."""
        return ""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.begin

    def open_raw(self) -> BinaryIO:
        """Its bytes; raises what opening the file raises."""
        file = self.of.open_raw()
        file.seek(self.begin)
        return _Limited(file, self.size)


class _Limited(io.RawIOBase):
    """The next so many bytes of a file."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        view = memoryview(buffer)[: self._left]
        count = self._file.readinto(view) if len(view) else 0
        self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class Shard:
    """A run of a text. number: its place; sources: what it reads; files: of which files, one for each of ``sources``.

    mid_line: it begins within a line.
    """

    number: int
    sources: tuple[Source, ...]
    mid_line: bool

    @property
    def files(self) -> list[Source]:
        """The files that its sources are, or are ranges of."""
        return [source.of if isinstance(source, Range) else source for source in self.sources]


def cut_into_shards(sources: Sequence[Source], workers: int, least: int = LEAST_SHARD) -> list[Shard]:
    """Cut the text of ``sources`` into shards of ``least`` bytes or more, some for each of ``workers``.

    Together, in their order, they are the text. A large file is cut after line ends, or after other white space where
    a line is very long; a compressed one stays whole. Raises CorpusError where a file cannot be read.
    """
    weights = [source.size * (_INFLATED if source.suffix in COMPRESSED_SUFFIXES else 1) for source in sources]
    count = min(MOST_SHARDS, workers * SHARDS_PER_WORKER)
    target = max(least, -(-sum(weights) // count))
    shards: list[Shard] = []
    taken: list[Source] = []
    held = 0
    mid_line = next_mid_line = False
    for source, weight in zip(sources, weights, strict=True):
        for piece in _pieces(source, weight, target):
            size = weight if piece is source else piece.size
            if taken and (held + size > target + target // 4 or next_mid_line):
                shards.append(Shard(len(shards), tuple(taken), mid_line))
                taken, held, mid_line = [], 0, next_mid_line
            taken.append(piece)
            held += size
            next_mid_line = not piece.ends
    shards.append(Shard(len(shards), tuple(taken), mid_line))
    return shards


def _pieces(source: Source, size: int, target: int) -> list[Source]:
    """A source, whole or in ranges of about ``target`` bytes."""
    count = round(size / target)
    if source.suffix in COMPRESSED_SUFFIXES or count < 2:
        return [source]
    pieces = []
    begin = 0
    with reported(source), source.open_raw() as file:
        for number in range(1, count):
            cut, mid_line = _cut(file, size * number // count)
            if begin < cut < size:
                pieces.append(Range(of=source, begin=begin, end=cut, mid_line=mid_line))
                begin = cut
    return [*pieces, Range(of=source, begin=begin, end=size)]


def _cut(file: BinaryIO, place: int) -> tuple[int, bool]:
    """The first place from ``place`` on where a line begins, or a word where the line is long; whether it is that."""
    file.seek(place)
    window = _read(file, _LINE)
    found = window.find(b"\n")
    if found >= 0:
        return place + found + 1, False
    while window:
        found = min((at for at in map(window.find, _bytes(_SPACES)) if at >= 0), default=-1)
        if found >= 0:
            return place + found + 1, window[found] != 10
        place += len(window)
        window = _read(file, _LINE)
    return place, False


def _bytes(letters: bytes) -> list[bytes]:
    return [bytes([letter]) for letter in letters]


def _read(file: BinaryIO, size: int) -> bytes:
    """``size`` bytes, or as many as there are."""
    parts = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
