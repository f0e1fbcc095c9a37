"""``vocabulary.tsv`` of a model folder: one line per word, the word, a tab and its count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from w2v.errors import FormatError
from w2v.vectors.words import LINE_END, encode_words, writable_words


def write_vocabulary(path: Path, words: Sequence[str], counts: np.ndarray) -> None:
    """Write V ``words`` and int ``counts`` (V,). A line end inside a word becomes U+2581, with a warning."""
    lines = encode_words(writable_words(words, LINE_END, empty=True))
    numbers = np.asarray(counts).astype(np.int64).tolist()
    with path.open("wb") as stream:
        stream.writelines(b"%b\t%d\n" % line for line in zip(lines, numbers, strict=True))


def read_vocabulary(path: Path) -> tuple[list[str], np.ndarray]:
    """The words and int64 counts (V,) of ``path``; FormatError names the line that is malformed."""
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    lines = text.split("\n")
    if lines.pop():
        raise FormatError(f"{path}, line {len(lines) + 1}: cut off: copy the file again")
    words, counts = [], []
    for number, line in enumerate(lines, 1):
        word, tab, count = line.rpartition("\t")
        digits = count.rstrip("\r")
        if not tab or not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise FormatError(f"{path}, line {number}: expected a word, a tab and a count")
        words.append(word)
        counts.append(int(digits))
    if len(set(words)) != len(words):
        raise FormatError(f"{path}: a word occurs twice: the file is damaged")
    return words, np.array(counts, np.int64)
