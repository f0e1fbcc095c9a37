"""Words on a terminal: in columns, whatever their script, and without what would command the terminal."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Sequence

_UNWRITABLE = "w2v-unwritable"


def printable(text: str) -> str:
    """``text`` with U+FFFD for what is no visible character, in characters that standard output can show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return shown.encode(encoding, "replace").decode(encoding)


def write_anything() -> None:
    """Let standard output take every word: one that is no text must not end a command half-way.

    Bytes that were no UTF-8 when a word was read come out as they were, and ``?`` stands for other characters that
    the encoding does not have.
    """
    codecs.register_error(_UNWRITABLE, _replacement)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors=_UNWRITABLE)


def _replacement(error: UnicodeError) -> tuple[bytes, int]:
    """What ``codecs.register_error`` asks for."""
    letters = map(ord, error.object[error.start : error.end])
    return bytes(letter - 0xDC00 if 0xDC80 <= letter <= 0xDCFF else ord("?") for letter in letters), error.end


def width(text: str) -> int:
    """Columns that ``text`` takes: two for a wide character of East Asia, none for one that joins the one before."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def padded(text: str, columns: int) -> str:
    """``text`` with spaces up to ``columns``."""
    return text + " " * (columns - width(text))


def columns(words: Sequence[str], available: int) -> str:
    """``words`` in lines of equal columns, left to right, as many as fit in ``available`` columns."""
    broadest = max((width(word) for word in words), default=0) + 2
    per_line = max(1, available // broadest)
    lines = (words[start : start + per_line] for start in range(0, len(words), per_line))
    return "\n".join("".join(padded(word, broadest) for word in line).rstrip() for line in lines)
