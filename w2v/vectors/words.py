"""Words as bytes: the repairs that formats without quoting need, each with one warning."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

# Stands in for white space inside a word, and for a word that is empty, where a format cannot hold them.
PLACEHOLDER = "\u2581"
ASCII_SPACE = re.compile(r"[ \t\n\r\v\f]")
LINE_END = re.compile(r"\n")


def warn(message: str) -> None:
    """Report a repair. The command line prints these on stderr."""
    warnings.warn(message, UserWarning, stacklevel=3)


def writable_words(words: Sequence[str], forbidden: re.Pattern = ASCII_SPACE, empty: bool = False) -> list[str]:
    """``words`` as a format without quoting can hold them, still distinct.

    Characters that match ``forbidden`` become U+2581 (▁), and so does an empty word unless ``empty`` words
    are allowed; a repaired word that equals another one gets further ▁ appended. Warns once.
    """
    text = "".join(words)
    if not forbidden.search(text) and (empty or "" not in words):
        return list(words)
    taken = set(words)
    repaired, changed = [], 0
    for word in words:
        clean = forbidden.sub(PLACEHOLDER, word)
        if not clean and not empty:
            clean = PLACEHOLDER
        if clean != word:
            changed += 1
            while clean in taken:
                clean += PLACEHOLDER
            taken.add(clean)
        repaired.append(clean)
    warn(f"{changed} words with white space (or empty) were written with {PLACEHOLDER} (U+2581) in its place")
    return repaired


def encode_words(words: Sequence[str]) -> list[bytes]:
    """UTF-8 bytes of each word. Bytes that were undecodable when read come out as they were."""
    return [_encode(word) for word in words]


def drop_duplicates(words: list[str], source: object) -> list[int] | None:
    """Rows of ``words`` to keep so that each word occurs once, the first time; None where all do. Warns."""
    if len(set(words)) == len(words):
        return None
    seen: set[str] = set()
    keep = []
    example = None
    for row, word in enumerate(words):
        if word in seen:
            example = word if example is None else example
            continue
        seen.add(word)
        keep.append(row)
    count = len(words) - len(keep)
    warn(f"{source}: {count} duplicate words (such as {example!r}) left out: the first one counts")
    return keep


def _encode(word: str) -> bytes:
    try:
        return word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return word.encode("utf-8", "replace")
