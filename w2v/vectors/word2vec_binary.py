"""The binary format of word2vec.c: a header line, then per row a word, a space and D little-endian float32.

word2vec.c ends each row with a line feed and gensim does not: both are read, the latter is written. Words
cannot hold spaces. The rows have no fixed place in the file, so that it cannot be memory-mapped; it is read
once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from w2v.errors import FormatError
from w2v.vectors.rows import Header, RowBuffer, WordDecoder, check_header, parse_header

_BLOCK = 1 << 24
# word2vec.c cuts words at 100 bytes; a longer stretch without a space means that rows and header disagree.
_LONGEST_WORD = 1 << 16


def read_binary(
    stream: BinaryIO, path: object, size: int | None, limit: int | None, decoder: WordDecoder, dtype: np.dtype
) -> tuple[list[str], np.ndarray]:
    """Read words and vectors (V, D); ``size`` is that of the file in bytes, None where it is unknown.

    Raises FormatError naming the byte (of the decompressed data) where the file ends early, goes on after the
    last row, or holds a value that is no finite number.
    """
    line = stream.readline(256)
    header = parse_header(line) if line.endswith(b"\n") else None
    if header is None:
        raise FormatError(f"{path}, line 1: no header of two numbers: not a binary word2vec file")
    check_header(header, path, size, 4 * header.size + 1)
    wanted = header.count if limit is None else min(limit, header.count)
    rows = RowBuffer(header.size, dtype, wanted if size is not None else 0)
    pending, offset = b"", header.length  # bytes that no complete row was found in yet, and where they start
    while len(rows) < wanted:
        block = stream.read(max(_BLOCK, 4 * header.size))
        pending += block
        used = _take_rows(pending, offset, wanted - len(rows), header, rows, decoder, path)
        pending, offset = pending[used:], offset + used
        if not block and len(rows) < wanted:
            end = offset + len(pending)
            raise FormatError(
                f"{path}, byte {end}: the file ends in row {len(rows) + 1} of the {header.count} that its "
                "header promises: it is cut off"
            )
    if wanted == header.count:
        rest = (pending + stream.read(_BLOCK)).lstrip(b"\r\n")
        if rest:
            raise FormatError(
                f"{path}: data goes on after the {header.count} vectors of {header.size} dimensions that its "
                f"header promises, from about byte {offset}: the header is wrong"
            )
    return rows.finish(path)


def _take_rows(
    data: bytes, offset: int, wanted: int, header: Header, rows: RowBuffer, decoder: WordDecoder, path: object
) -> int:
    """Move up to ``wanted`` complete rows of ``data``, found at ``offset``, to ``rows``; the bytes used."""
    length, position = 4 * header.size, 0
    words, starts = [], []
    while len(words) < wanted:
        space = data.find(b" ", position, position + _LONGEST_WORD)
        if space < 0:
            if len(data) - position >= _LONGEST_WORD:
                raise FormatError(
                    f"{path}, byte {offset + position}: no word of row {len(rows) + len(words) + 1} here: "
                    "the header is wrong or the file is damaged"
                )
            break
        if space + 1 + length > len(data):
            break
        words.append(decoder.decode(data[position:space].lstrip(b"\r\n"), f"byte {offset + position}"))
        starts.append(space + 1)
        position = space + 1 + length
    if words:
        windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), length)
        vectors = windows[starts].view("<f4")
        _check_finite(vectors, [offset + start for start in starts], path)
        rows.append(words, vectors)
    return position


def _check_finite(vectors: np.ndarray, places: list[int], path: object) -> None:
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        place = places[int(np.argmin(finite))]
        raise FormatError(f"{path}, byte {place}: a vector holds a value that is no finite number")


def write_binary(
    stream: BinaryIO, words: list[bytes], blocks: Iterable[np.ndarray], header: tuple[int, int] | None
) -> None:
    """Write ``words`` and their vectors, given as blocks (n, D); ``header`` is (V, D) or None."""
    if header is not None:
        stream.write(b"%d %d\n" % header)
    row = 0
    for block in blocks:
        data = np.ascontiguousarray(block, "<f4").tobytes()
        length = 4 * block.shape[1]
        pieces = []
        for start in range(0, len(data), length):
            pieces += (words[row], b" ", data[start : start + length])
            row += 1
        stream.write(b"".join(pieces))
