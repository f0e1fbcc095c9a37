"""Rows of vectors collected while a file is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2v.errors import FormatError
from w2v.vectors.words import PLACEHOLDER, drop_duplicates, warn

# Far above any embedding; a header that claims more is damaged.
MAX_DIMENSIONS = 1 << 20


@dataclass
class Header:
    """First line of a word2vec file: how many rows of how many dimensions follow."""

    count: int
    size: int
    length: int  # bytes of the line, its end included


def parse_header(line: bytes) -> Header | None:
    """The header in ``line`` (two whole numbers), or None where the line is something else."""
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() and len(field) < 19 for field in fields):
        return None
    return Header(int(fields[0]), int(fields[1]), len(line))


def check_header(header: Header, path: object, file_size: int | None, bytes_per_row: int) -> None:
    """Raise FormatError where the file cannot hold what its header promises; before any memory is taken."""
    if not 1 <= header.size <= MAX_DIMENSIONS:
        raise FormatError(f"{path}, line 1: {header.size} dimensions are out of range: the header is damaged")
    if file_size is not None and header.count * bytes_per_row > file_size - header.length:
        raise FormatError(
            f"{path}, line 1: the header promises {header.count} vectors of {header.size} dimensions, "
            f"more than {file_size} bytes can hold: the file is cut off or the header is damaged"
        )


class RowBuffer:
    """Growing arrays of words (as bytes) and vectors (n, D)."""

    def __init__(self, size: int, dtype: np.dtype, expected: int = 0) -> None:
        """Room for ``expected`` rows at once; it doubles when it is full."""
        self.words: list[str] = []
        self._vectors = np.empty((expected, size), dtype)

    def __len__(self) -> int:
        """Rows so far."""
        return len(self.words)

    def append(self, words: list[str], vectors: np.ndarray) -> None:
        """Add ``words`` and their ``vectors`` (n, D)."""
        end = len(self.words) + len(words)
        if end > len(self._vectors):
            larger = np.empty((max(end, 2 * len(self._vectors)), self._vectors.shape[1]), self._vectors.dtype)
            larger[: len(self.words)] = self._vectors[: len(self.words)]
            self._vectors = larger
        self._vectors[len(self.words) : end] = vectors
        self.words += words

    def finish(self, path: object) -> tuple[list[str], np.ndarray]:
        """The words and vectors (V, D), of duplicate words the first one only, with a warning."""
        vectors = self._vectors[: len(self.words)]
        keep = drop_duplicates(self.words, path)
        if keep is None:
            return self.words, vectors if vectors.base is None or _nearly_full(vectors) else vectors.copy()
        return [self.words[row] for row in keep], vectors[keep]


def _nearly_full(vectors: np.ndarray) -> bool:
    return len(vectors) * 1.05 >= len(vectors.base)


class WordDecoder:
    """Bytes of words to text, with the repairs counted so that one warning can tell them all."""

    def __init__(self, path: object, encoding: str = "utf-8", errors: str = "repair") -> None:
        """``errors``: one of Python's error handlers, or ``repair``: ``replace`` and warn at the end."""
        self.path, self.encoding, self.errors = path, encoding, errors
        self.undecodable = self.empty = 0

    def decode(self, word: bytes, place: str) -> str:
        """``word`` as text, U+2581 for an empty one; FormatError names ``place`` if it is undecodable."""
        try:
            text = word.decode(self.encoding, "strict" if self.errors == "repair" else self.errors)
        except UnicodeDecodeError as error:
            if self.errors != "repair":
                raise FormatError(
                    f"{self.path}, {place}: a word is not {self.encoding}: pass unicode_errors='replace'"
                ) from error
            self.undecodable += 1
            text = word.decode(self.encoding, "replace")
        if not text:
            self.empty += 1
        return text or PLACEHOLDER

    def report(self) -> None:
        """Warn about what was repaired."""
        if self.undecodable:
            warn(f"{self.path}: {self.undecodable} words are not {self.encoding}: bad bytes became U+FFFD")
        if self.empty:
            warn(f"{self.path}: {self.empty} rows have an empty word: it became {PLACEHOLDER} (U+2581)")
