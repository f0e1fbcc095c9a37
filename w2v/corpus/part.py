"""A part of an encoded corpus, as whoever trains on it opens it: by its file, or with its ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from w2v.errors import CorpusError


@dataclass(frozen=True)
class CorpusPart:
    """Ids ``begin`` … ``end`` of a file of int32; or these ids themselves, where they are in no file."""

    path: Path | None
    begin: int
    end: int
    ids: np.ndarray | None = None

    def open(self) -> np.ndarray:
        """The ids, (end − begin,) int32, memory-mapped; raises CorpusError where the file is not here."""
        if self.ids is not None:
            return self.ids
        try:
            if self.path.stat().st_size < 4 * self.end:
                raise CorpusError(f"{self.path} is shorter than it was: encode the text again")
            return np.memmap(self.path, "<i4", "r", 4 * self.begin, (self.end - self.begin,))
        except OSError as error:
            raise CorpusError(
                f"cannot read the encoded corpus {self.path} on this computer ({error.strerror or error}): choose a "
                "--cache folder that all computers share"
            ) from error


def split_corpus(ids: np.ndarray, parts: int) -> list[CorpusPart]:
    """Cut ids, (N,) int32 with −1 after each sentence, into parts of about one length, after whole sentences.

    Raises CorpusError where there are fewer sentences than parts.
    """
    limits = [0]
    for number in range(1, parts):
        limits.append(_after_sentence(ids, max(limits[-1], ids.size * number // parts)))
    limits.append(ids.size)
    if any(begin == end for begin, end in zip(limits, limits[1:], strict=False)):
        raise CorpusError(f"the text has too few sentences for {parts} replicas: lower --replicas")
    path, offset = _file_of(ids)
    return [
        CorpusPart(path, offset + begin, offset + end) if path else CorpusPart(None, begin, end, ids[begin:end])
        for begin, end in zip(limits, limits[1:], strict=False)
    ]


def _after_sentence(ids: np.ndarray, place: int) -> int:
    """The first place from there on at which a sentence begins; the end where none does."""
    step = 1 << 16
    while place < ids.size:
        ends = np.flatnonzero(ids[place : place + step] < 0)
        if ends.size:
            return place + int(ends[0]) + 1
        place += step
    return ids.size


def _file_of(ids: np.ndarray) -> tuple[Path | None, int]:
    """The file behind a memory map, where there is one with a name, and where in it the ids begin."""
    if not isinstance(ids, np.memmap) or ids.filename is None or not Path(ids.filename).exists():
        return None, 0
    return Path(ids.filename), int(ids.offset) // ids.itemsize
