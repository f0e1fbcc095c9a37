"""The text formats of word2vec, fastText (``.vec``) and GloVe: per line a word and D numbers.

The first line may be a header (number of rows, D), as word2vec and fastText write it, or already the first
row, as GloVe does. The last D fields of a line are its numbers and the rest is the word, which may hold
spaces. Text cannot be memory-mapped; it is read once, in blocks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from w2v.errors import FormatError
from w2v.vectors.decimals import parse_decimals
from w2v.vectors.rows import MAX_DIMENSIONS, Header, RowBuffer, WordDecoder, check_header, parse_header

_BLOCK = 1 << 22
_LONGEST_LINE = 1 << 26


def read_text(
    stream: BinaryIO,
    path: object,
    size: int | None,
    limit: int | None,
    decoder: WordDecoder,
    dtype: np.dtype,
    no_header: bool = False,
) -> tuple[list[str], np.ndarray]:
    """Read words and vectors (V, D); ``size`` is that of the file in bytes, None where it is unknown.

    A first line of two whole numbers is a header unless ``no_header``. Blank lines are skipped. Raises
    FormatError naming the line where the number of dimensions changes, where a value is no finite number, and
    where rows are missing or left over.
    """
    lines = _numbered_lines(stream, path)
    first = next((block for block in map(_without_leading_blanks, lines) if block[1]), None)
    if first is None:
        raise FormatError(f"{path}: the file is empty")
    header = None if no_header else parse_header(first[1][0])
    if header is None:
        dimensions = _count_numbers(first[1][0])
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise FormatError(f"{path}, line {first[0]}: no word followed by numbers")
        lines = _chained(first, lines)
    else:
        check_header(header, path, size, 2 * header.size)
        dimensions = header.size
        if len(first[1]) > 1:
            lines = _chained((first[0] + 1, first[1][1:]), lines)
    rows = _read_rows(lines, path, header, dimensions, limit, decoder, dtype, size is not None)
    if header is not None and len(rows) < (header.count if limit is None else min(limit, header.count)):
        raise FormatError(
            f"{path}: the header promises {header.count} vectors but {len(rows)} are there: it is cut off"
        )
    return rows.finish(path)


def is_number(field: bytes) -> bool:
    """Whether ``field`` reads as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return b"_" not in field


def _read_rows(
    blocks: Iterable[tuple[int, list[bytes]]],
    path: object,
    header: Header | None,
    dimensions: int,
    limit: int | None,
    decoder: WordDecoder,
    dtype: np.dtype,
    bounded: bool,
) -> RowBuffer:
    """The rows of all blocks of lines, at most ``limit``; FormatError where the header promises fewer."""
    wanted = limit if header is None else header.count if limit is None else min(limit, header.count)
    rows = RowBuffer(dimensions, dtype, wanted if bounded and header is not None else 0)
    for first, lines in blocks:
        numbers, words, vectors = _parse_block(first, lines, dimensions, decoder, dtype, path)
        room = len(words) if wanted is None else wanted - len(rows)
        rows.append(words[:room], vectors[:room])
        if room < len(words) and (limit is None or limit > wanted):
            raise FormatError(
                f"{path}, line {numbers[room]}: rows go on after the {header.count} that the header promises"
            )
        if limit is not None and len(rows) >= limit:
            break
    return rows


def _without_leading_blanks(block: tuple[int, list[bytes]]) -> tuple[int, list[bytes]]:
    number, lines = block
    blanks = next((position for position, line in enumerate(lines) if line.strip()), len(lines))
    return number + blanks, lines[blanks:]


def _chained(
    first: tuple[int, list[bytes]], rest: Iterator[tuple[int, list[bytes]]]
) -> Iterator[tuple[int, list[bytes]]]:
    yield first
    yield from rest


def _numbered_lines(stream: BinaryIO, path: object) -> Iterator[tuple[int, list[bytes]]]:
    """Blocks of whole lines without their ends, each with the number of its first line (from 1)."""
    number, pending = 1, []
    while block := stream.read(_BLOCK):
        end = block.rfind(b"\n")
        if end < 0:
            pending.append(block)
            if len(pending) * _BLOCK > _LONGEST_LINE:
                raise FormatError(f"{path}, line {number}: more than {_LONGEST_LINE} bytes long: not a text file")
            continue
        lines = b"".join((*pending, block[:end])).split(b"\n")
        yield number, lines
        number += len(lines)
        pending = [block[end + 1 :]]
    if last := b"".join(pending):
        yield number, [last]


def _parse_block(
    first: int, lines: list[bytes], dimensions: int, decoder: WordDecoder, dtype: np.dtype, path: object
) -> tuple[list[int], list[str], np.ndarray]:
    """Line numbers, words and vectors (n, D) of the lines that are not blank."""
    numbers, words, values = [], [], []
    for number, line in enumerate(lines, first):
        line = line.rstrip()
        word, _, rest = line.partition(b" ")
        if not word or rest.count(b" ") != dimensions - 1 or b"  " in rest or not rest:
            if not line:
                continue
            word, rest = _split_line(line, number, dimensions, path)
        numbers.append(number)
        words.append(decoder.decode(word, f"line {number}"))
        values.append(rest)
    vectors = _numbers(b" ".join(values), len(words) * dimensions, dtype)
    if len(vectors) != len(words) * dimensions:
        bad = next((n for n, rest in zip(numbers, values, strict=True) if not _all_numbers(rest)), first)
        raise FormatError(f"{path}, line {bad}: a field where a number is expected is none")
    vectors = vectors.reshape(len(words), dimensions)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise FormatError(f"{path}, line {numbers[int(np.argmin(finite))]}: a value is no finite number")
    return numbers, words, vectors


def _split_line(line: bytes, number: int, dimensions: int, path: object) -> tuple[bytes, bytes]:
    """Word and numbers (single spaces between) of a line that is not simply word, space, D numbers."""
    fields = line.rsplit(None, dimensions)
    if len(fields) == dimensions and line[:1].isspace():
        return b"", b" ".join(fields)
    if len(fields) <= dimensions:
        raise FormatError(f"{path}, line {number}: {max(0, len(fields) - 1)} numbers where {dimensions} are expected")
    word = fields[0].strip()
    if b" " in word and is_number(word.split()[-1]):
        raise FormatError(f"{path}, line {number}: more than the {dimensions} numbers that are expected")
    return word, b" ".join(fields[1:])


def _count_numbers(line: bytes) -> int:
    """How many fields at the end of ``line`` are numbers, leaving at least one field for the word."""
    fields = line.split()
    count = 0
    while count < len(fields) - 1 and is_number(fields[-1 - count]):
        count += 1
    return count


def _numbers(text: bytes, count: int, dtype: np.dtype) -> np.ndarray:
    """The ``count`` numbers of ``text``, in float32 or wider; another number of them where a field is none."""
    wide = np.promote_types(dtype, np.float32)
    if not text:
        return np.empty(0, wide)
    if wide == np.float32 and (vectors := parse_decimals(text, count)) is not None:
        return vectors
    with warnings.catch_warnings():
        # NumPy reports garbage as a warning, later versions as an error; the caller counts either way.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return np.fromstring(text, wide, sep=" ")
        except ValueError:
            return np.empty(0, wide)


def _all_numbers(rest: bytes) -> bool:
    return all(is_number(field) for field in rest.split(b" "))


def write_text(
    stream: BinaryIO, words: list[bytes], blocks: Iterable[np.ndarray], header: tuple[int, int] | None
) -> None:
    """Write ``words`` and their vectors, given as blocks (n, D); ``header`` is (V, D) or None.

    Nine significant digits tell every float32 exactly.
    """
    if header is not None:
        stream.write(b"%d %d\n" % header)
    row = 0
    for block in blocks:
        # Seventeen digits for vectors that are wider than float32.
        digits = 9 if block.dtype.itemsize <= 4 else 17
        pattern = b"%%b%b\n" % (b" %%.%dg" % digits * block.shape[1])
        lines = [pattern % (word, *values) for word, values in zip(words[row:], block.tolist(), strict=False)]
        stream.write(b"".join(lines))
        row += len(block)
