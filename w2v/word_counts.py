"""Lines of ``word<TAB>count``: how vocabularies are stored, on their own and in model folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np


class LineError(ValueError):
    """A line that is no word, tab and count; callers turn it into an error of theirs. ``number`` starts at 1."""

    def __init__(self, number: int, line: str) -> None:
        """Keep the line and its number."""
        super().__init__(f"line {number}: {line[:60]!r}")
        self.number = number
        self.line = line


def format_entries(words: Iterable[bytes], counts: np.ndarray) -> Iterator[bytes]:
    """One line per word (bytes without line ends) and its int64 count."""
    return (b"%b\t%d\n" % entry for entry in zip(words, counts.tolist(), strict=True))


def parse_entries(text: str, tabs_in_words: bool = False) -> tuple[list[str], np.ndarray]:
    """Words and int64 counts (V,) of lines that end with LF or CR LF.

    A word is what precedes the last tab; it holds none itself unless ``tabs_in_words``. A count is ASCII digits
    and fits 63 bits. Raises LineError for the first line that is something else, the last one without its line
    end included.
    """
    text = text.replace("\r\n", "\n")
    separators = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    separators = separators[(separators == 9) | (separators == 10)]
    if len(separators) % 2 == 0 and np.all(separators[::2] == 9) and np.all(separators[1::2] == 10):
        # One tab, one line end, and so on: then all fields can be taken apart at once.
        fields = text.replace("\n", "\t").split("\t")
        counts = _numbers(fields[1::2])
        if counts is not None and not fields[-1]:
            return fields[:-1:2], counts
    return _parse_lines(text, tabs_in_words)


def sums_up(counts: np.ndarray) -> bool:
    """Whether the sum of ``counts`` (V,), none negative, fits 63 bits: shares are taken of it."""
    return bool(counts.sum(dtype=np.float64) < 2.0**63)


def _numbers(digits: list[str]) -> np.ndarray | None:
    """The int64 values of ``digits``; None where one of them is no count."""
    joined = "".join(digits)
    if joined and not (joined.isascii() and joined.isdigit()):
        return None
    try:
        return np.fromiter(map(int, digits), np.int64, len(digits))
    except (ValueError, OverflowError):
        return None


def _parse_lines(text: str, tabs_in_words: bool) -> tuple[list[str], np.ndarray]:
    """See ``parse_entries``: slower, and able to tell which line is wrong."""
    lines = text.split("\n")
    unfinished = lines.pop()
    words, counts = [], []
    for number, line in enumerate(lines, 1):
        word, tab, count = line.rpartition("\t")
        value = _numbers([count])
        if not tab or value is None or ("\t" in word and not tabs_in_words):
            raise LineError(number, line)
        words.append(word)
        counts.append(value)
    if unfinished:
        raise LineError(len(lines) + 1, unfinished)
    return words, np.concatenate(counts or [np.empty(0, np.int64)])
