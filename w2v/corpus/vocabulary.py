"""The words of a corpus, most frequent first, and their file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from w2v.atomic import atomic_file
from w2v.errors import VocabularyError


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
        path = Path(path)
        text = "\n".join(f"{word}\t{count}" for word, count in zip(self.words, self.counts.tolist(), strict=True))
        if text.count("\t") != len(self) or text.count("\n") != max(len(self) - 1, 0) or "\r" in text:
            bad = next(word for word in self.words if any(byte in word for byte in "\t\n\r"))
            raise VocabularyError(
                f"the word {bad!r} holds a tab or a line break, which {path} cannot store: remove it"
            )
        with atomic_file(path, make_parents=False) as temporary:
            temporary.write_bytes((text + "\n").encode() if len(self) else b"")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what ``save`` wrote; the order of the file is kept.

        Raises VocabularyError that names the file and the line where a line is not ``word<TAB>count``, a count is
        negative, or a word comes twice.
        """
        path = Path(path)
        try:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise VocabularyError(
                f"{path}: byte {error.start} is not UTF-8: write the file with `w2v vocab`"
            ) from None
        except OSError as error:
            raise VocabularyError(f"cannot read the vocabulary {path}: {error.strerror or error}") from None
        if text and not text.endswith("\n"):
            text += "\n"
        words, counts = _parse(path, text)
        vocabulary = cls(words, counts)
        if len(vocabulary.index) != len(words):
            number, word = next((n, w) for n, w in enumerate(words) if vocabulary.index[w] != n)
            raise VocabularyError(f"{path}, line {number + 1}: the word {word!r} comes again later: keep one of them")
        return vocabulary


def _parse(path: Path, text: str) -> tuple[list[str], np.ndarray]:
    """Words and counts (int64) of ``word<TAB>count`` lines, each with its line end."""
    data = np.frombuffer(text.encode(), np.uint8)
    separators = data[(data == 9) | (data == 10)]
    try:
        # One tab, one line end, and so on: then all fields can be taken apart at once.
        if np.any(separators[::2] != 9) or np.any(separators[1::2] != 10) or len(separators) % 2:
            raise ValueError
        fields = text.replace("\n", "\t").split("\t")
        words = fields[:-1:2]
        counts = np.fromiter(map(int, fields[1::2]), np.int64, len(words))
    except (ValueError, OverflowError):
        number, line = next((n, line) for n, line in enumerate(text.split("\n")) if not _is_entry(line))
        raise VocabularyError(
            f"{path}, line {number + 1}: {line[:60]!r} is not word<TAB>count: write it with `w2v vocab`"
        ) from None
    if len(counts) and counts.min() < 0:
        raise VocabularyError(f"{path}, line {int(counts.argmin()) + 1}: a count below zero")
    return words, counts


def _is_entry(line: str) -> bool:
    _, tab, count = line.partition("\t")
    try:
        return tab != "" and "\t" not in count and abs(int(count)) < 2**63
    except ValueError:
        return False
