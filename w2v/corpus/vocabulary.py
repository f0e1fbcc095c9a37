"""The words of a corpus, most frequent first, and their file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from w2v.atomic import atomic_file
from w2v.errors import VocabularyError
from w2v.untrusted import read_plain, shortened
from w2v.word_counts import LineError, format_entries, parse_entries, sums_up


class Vocabulary:
    """Words and counts; a word's id is its position.

    words: list of str, distinct. counts: int64 (V,), occurrences. Built by this package, the order is falling
    count, ties by the words' UTF-8 bytes; a loaded one keeps the order of its file.
    """

    def __init__(self, words: Sequence[str], counts: np.ndarray | Sequence[int]) -> None:
        """Keep ``words`` and ``counts`` (same length); raises VocabularyError where the lengths differ."""
        self.words = list(words)
        self.counts = np.asarray(counts, np.int64)
        if self.counts.shape != (len(self.words),):
            raise VocabularyError(f"{len(self.words)} words cannot have counts of shape {self.counts.shape}")

    @cached_property
    def index(self) -> dict[str, int]:
        """The id of each word."""
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of words and counts, as 32 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\n".join(self.words).encode("utf-8", "surrogatepass"))
        digest.update(self.counts.astype("<i8").tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Number of words, V."""
        return len(self.words)

    def __repr__(self) -> str:
        """Size and first words."""
        return f"Vocabulary({len(self)} words: {', '.join(self.words[:4])}, …)"

    def save(self, path: str | Path) -> None:
        """Write ``word<TAB>count`` lines in UTF-8, replacing ``path`` only when complete.

        Raises VocabularyError on a word that holds a tab or a line break (text files cannot bring one), and
        OutputError where the file cannot be written.
        """
        self._check_storable(str(path))
        with atomic_file(path, make_parents=False) as temporary, temporary.open("wb") as file:
            self._write(file)

    def write(self, file: BinaryIO) -> None:
        """Write the lines of ``save`` to an open ``file``; raises the same VocabularyError."""
        self._check_storable("a list of words")
        self._write(file)

    def _write(self, file: BinaryIO) -> None:
        file.writelines(format_entries(map(str.encode, self.words), self.counts))

    def _check_storable(self, target: str) -> None:
        for word in self.words:
            if "\t" in word or "\n" in word or "\r" in word:
                raise VocabularyError(
                    f"the word {word!r} holds a tab or a line break, which {target} cannot store: remove it"
                )

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what ``save`` wrote; the order of the file is kept.

        Raises VocabularyError that names the file and the line where a line is not ``word<TAB>count``, or a word
        comes twice.
        """
        path = Path(path)
        try:
            text = read_plain(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise VocabularyError(
                f"{path}: byte {error.start} is not UTF-8: write the file with `w2v vocab`"
            ) from None
        except OSError as error:
            raise VocabularyError(f"cannot read the vocabulary {path}: {error.strerror or error}") from None
        if text and not text.endswith("\n"):
            text += "\n"
        try:
            words, counts = parse_entries(text)
        except LineError as error:
            raise VocabularyError(
                f"{path}, line {error.number}: {error.line[:60]!r} is not word<TAB>count: write it with `w2v vocab`"
            ) from None
        vocabulary = cls(words, counts)
        if len(vocabulary.index) != len(words):
            number, word = next((n, w) for n, w in enumerate(words) if vocabulary.index[w] != n)
            raise VocabularyError(
                f"{path}, line {number + 1}: the word {shortened(word)} comes again later: keep one of them"
            )
        if not sums_up(counts):
            raise VocabularyError(f"{path}: the counts add up to more than 63 bits hold: write it with `w2v vocab`")
        return vocabulary
