"""``vocabulary.tsv`` of a model folder: one line per word, the word, a tab and its count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from w2v.errors import FormatError
from w2v.untrusted import read_plain
from w2v.vectors.words import LINE_END, encode_words, writable_words
from w2v.word_counts import LineError, format_entries, parse_entries, sums_up


def write_vocabulary(path: Path, words: Sequence[str], counts: np.ndarray) -> None:
    """Write V ``words`` and int ``counts`` (V,). A line end inside a word becomes U+2581, with a warning."""
    lines = encode_words(writable_words(words, LINE_END, empty=True))
    with path.open("wb") as stream:
        stream.writelines(format_entries(lines, np.asarray(counts).astype(np.int64)))


def read_vocabulary(path: Path) -> tuple[list[str], np.ndarray]:
    """The words and int64 counts (V,) of ``path``; FormatError names the line that is malformed."""
    try:
        text = read_plain(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    if text and not text.endswith("\n"):
        raise FormatError(f"{path}, line {text.count(chr(10)) + 1}: cut off: copy the file again")
    try:
        words, counts = parse_entries(text, tabs_in_words=True)
    except LineError as error:
        raise FormatError(f"{path}, line {error.number}: expected a word, a tab and a count") from None
    if len(set(words)) != len(words):
        raise FormatError(f"{path}: a word occurs twice: the file is damaged")
    if not sums_up(counts):
        raise FormatError(f"{path}: the counts add up to more than 63 bits hold: the file is damaged")
    return words, counts
