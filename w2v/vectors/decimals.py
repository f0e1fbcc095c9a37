"""Decimal numbers in text to float32, many at once: eight digits per 64-bit operation, in NumPy.

Reading a digit at a time, as ``np.fromstring`` does, takes most of the time of loading a text file. Here a
number is the eight bytes before its point and the sixteen behind it, fetched as three 64-bit words; the
digits of a word are added up in three multiplications (Lemire & Langdale, "Parsing gigabytes of JSON per
second", 2019, section 3.1.3).
"""

from __future__ import annotations

import numpy as np

_ZEROS = np.uint64(0x3030303030303030)
# Bytes of a word to keep by how many digits there are: the first ones (in memory) or the last ones.
_FIRST = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_LAST = np.array([(1 << 64) - (1 << 8 * (8 - count)) if count else 0 for count in range(9)], np.uint64)
_PAD = b" " * 8
# Text per step: its numbers as 64-bit words then fit the processor's cache.
_STEP = 1 << 17


def parse_decimals(text: bytes, count: int) -> np.ndarray | None:
    """The ``count`` numbers of ``text``, single spaces between, as float32 (count,).

    None where ``text`` holds anything but plain decimals with a point (an exponent may follow), at most 8
    digits before it and 16 behind it, or not ``count`` of them: the caller then reads it the slow and general
    way. The float64 that is rounded to float32 may be off by two units in its last place.
    """
    values, start = [], 0
    while start < len(text):
        end = text.find(b" ", start + _STEP)
        end = len(text) if end < 0 else end
        part = _parse(text[start:end])
        if part is None:
            return None
        values.append(part)
        start = end + 1
    result = np.concatenate(values) if values else np.empty(0, np.float32)
    return result if len(result) == count else None


def _parse(text: bytes) -> np.ndarray | None:
    padded = _PAD + text + _PAD * 2
    data = np.frombuffer(padded, np.uint8)
    inner = data[8 : 8 + len(text)]
    spaces = np.flatnonzero(inner == ord(" ")) + 8
    starts = np.concatenate(([8], spaces + 1))
    ends = np.append(spaces, 8 + len(text))
    points = np.flatnonzero(inner == ord(".")) + 8
    if len(points) != len(starts):
        return None
    negative = data[starts] == ord("-")
    exponents = _exponents(padded, inner, starts, ends)
    if exponents is None:
        return None
    tokens, exact, other = exponents
    digits = np.count_nonzero(inner - np.uint8(48) < 10)
    if digits + len(points) + len(spaces) + np.count_nonzero(negative) + other != len(text):
        return None
    before, behind = points - starts - negative, ends - points - 1
    behind[tokens] = 1  # their values are taken from ``exact``
    if before.min() < 0 or before.max() > 8 or behind.min() < 0 or behind.max() > 16 or (before + behind).min() < 1:
        return None
    words = np.ndarray((len(padded) - 7,), np.dtype("<u8"), padded, 0, (1,))
    whole = _digits(words[points - 8], _LAST[before])
    values = whole * 1e8 + _digits(words[points + 1], _FIRST[np.minimum(behind, 8)])
    if behind.max() > 8:
        values += _digits(words[points + 9], _FIRST[np.maximum(behind, 8) - 8]) * 1e-8
    values *= np.where(negative, -1e-8, 1e-8)
    values[tokens] = exact
    with np.errstate(over="ignore"):  # the caller looks for what is not finite, and knows the line
        return values.astype(np.float32)


def _digits(words: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The eight digits in each of ``words`` (first digit in the lowest byte) as a number; masked ones are 0."""
    words = (words ^ _ZEROS) & mask
    words = (words * np.uint64(10 * (1 << 8) + 1)) >> np.uint64(8)
    words = ((words & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(100 * (1 << 16) + 1)) >> np.uint64(16)
    words = ((words & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(10_000 * (1 << 32) + 1)) >> np.uint64(32)
    return words.astype(np.float64)


def _exponents(
    padded: bytes, inner: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, list[float], int] | None:
    """The numbers with an exponent (few): their positions, values, and how many bytes e and its sign take."""
    marks = np.flatnonzero((inner | 32) == ord("e")) + 8
    tokens = np.searchsorted(starts, marks, "right") - 1
    exact, other = [], 0
    for token, mark in zip(tokens.tolist(), marks.tolist(), strict=True):
        try:
            exact.append(float(padded[starts[token] : ends[token]]))
        except ValueError:
            return None
        other += 1 + (padded[mark + 1 : mark + 2] in (b"+", b"-"))
    return tokens, exact, other
