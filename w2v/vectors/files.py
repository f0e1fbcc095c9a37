"""Any vector file or model folder to KeyedVectors and back: by content to read, by suffix to write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from w2v.atomic import atomic_file, check_file, check_parent
from w2v.errors import FormatError, OutputError
from w2v.vectors.folder import check_replaceable, load_model_folder, save_model_folder
from w2v.vectors.rows import WordDecoder, parse_header
from w2v.vectors.streams import COMPRESSIONS, format_suffix, open_input, open_output
from w2v.vectors.word2vec_binary import read_binary, write_binary
from w2v.vectors.word2vec_text import is_number, read_text, write_text
from w2v.vectors.words import drop_duplicates, encode_words, warn, writable_words

if TYPE_CHECKING:
    from w2v.vectors.keyed_vectors import KeyedVectors

# Enough of a file to tell its format: two lines of the longest vectors.
_HEAD = 1 << 20
_ROWS_AT_ONCE = 4096
_FOREIGN = {
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\x93NUMPY": "a bare array without words: load a model folder or a vector file",
    b"\x80\x02": "a Python pickle, which is never loaded: export it with save_word2vec_format",
    b"\x80\x03": "a Python pickle, which is never loaded: export it with save_word2vec_format",
    b"\x80\x04": "a Python pickle, which is never loaded: export it with save_word2vec_format",
    b"\x80\x05": "a Python pickle, which is never loaded: export it with save_word2vec_format",
}
# The formats by suffix; anything else is written as a model folder.
FILE_SUFFIXES = (".bin", ".txt", ".vec", ".safetensors")


def load_vectors(
    path: str | os.PathLike, limit: int | None = None, mmap: bool = True, kind: type | None = None
) -> KeyedVectors:
    """Read the vectors of a model folder or of any vector file; the format is found from the content.

    ``limit`` keeps the first rows only. ``mmap`` maps the vectors of a model folder or of a safetensors file
    copy-on-write; the word2vec formats, whose rows stand between words, are read at once. ``kind`` is the class to
    make, by default KeyedVectors. What had to be repaired (words that are not UTF-8, empty or duplicate) is warned
    about. Raises FormatError (also for a missing file) naming the file and the line or byte.
    """
    if kind is None:
        from w2v.vectors.keyed_vectors import KeyedVectors as kind
    path = Path(path)
    found = detect_format(path)
    if found == "folder":
        folder = load_model_folder(path, mmap)
        counts = None if folder.counts is None else folder.counts[:limit]
        return kind.from_arrays(folder.words[:limit], folder.input_vectors[:limit], counts)
    if found == "safetensors":
        return kind.from_arrays(*_read_safetensors(path, limit, mmap))
    return kind.from_arrays(*read_word2vec(path, found == "binary", limit))


def read_word2vec(
    path: str | os.PathLike,
    binary: bool,
    limit: int | None = None,
    encoding: str = "utf-8",
    unicode_errors: str = "repair",
    datatype: np.dtype | type = np.float32,
    no_header: bool = False,
) -> tuple[list[str], np.ndarray]:
    """Words and vectors (V, D) of a word2vec file; see ``read_text`` and ``read_binary``."""
    decoder = WordDecoder(path, encoding, unicode_errors)
    with open_input(path) as (stream, size):
        if binary:
            words, vectors = read_binary(stream, path, size, limit, decoder, np.dtype(datatype))
        else:
            words, vectors = read_text(stream, path, size, limit, decoder, np.dtype(datatype), no_header)
    decoder.report()
    return words, vectors


def detect_format(path: str | os.PathLike) -> str:
    """``folder``, ``safetensors``, ``text`` or ``binary``; FormatError where ``path`` is none of them."""
    path = Path(path)
    # os.path.exists says no to a name that the system cannot have, where Path.exists may raise.
    if not os.path.exists(path):
        raise FormatError(f"no such file: {path}")
    if path.is_dir():
        return "folder"
    with open_input(path) as (stream, size):
        head = stream.read(_HEAD)
    if not head:
        raise FormatError(f"{path}: the file is empty")
    for start, what in _FOREIGN.items():
        if head.startswith(start):
            raise FormatError(f"{path}: {what}")
    suffix = format_suffix(path)
    if suffix == ".safetensors" or (size is not None and _is_safetensors(head, size)):
        return "safetensors"
    return "text" if _is_text(head, suffix) else "binary"


def _is_safetensors(head: bytes, size: int) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def _is_text(head: bytes, suffix: str) -> bool:
    """Whether a word2vec file that starts with ``head`` is in the text format."""
    first, _, rest = head.partition(b"\n")
    header = parse_header(first)
    if header is None or suffix in (".txt", ".vec"):
        return True
    fields = rest.partition(b"\n")[0].rsplit(None, header.size)
    if len(fields) == header.size + 1 and all(map(is_number, fields[1:])):
        return True
    # Floats are full of control characters, text has none.
    return suffix != ".bin" and not any(byte < 9 or 13 < byte < 32 for byte in rest[:_ROWS_AT_ONCE])


def _read_safetensors(path: Path, limit: int | None, mmap: bool) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    from w2v.vectors.safetensors_file import read_safetensors

    words, vectors, counts = read_safetensors(path, limit, mmap)
    keep = drop_duplicates(words, path)
    if keep is None:
        return words, vectors, counts
    return [words[row] for row in keep], vectors[keep], None if counts is None else counts[keep]


def check_output(path: str | os.PathLike) -> None:
    """Raise OutputError where vectors or a model cannot be written to ``path``; call it before long work."""
    path = Path(path)
    if is_vector_file(path):
        check_file(path)
        return
    check_replaceable(path)
    check_parent(path)


def is_vector_file(path: Path) -> bool:
    """Whether ``path`` names a file format by its suffix, not a model folder."""
    if format_suffix(path) in FILE_SUFFIXES:
        return True
    if path.suffix.lower() in COMPRESSIONS:
        raise OutputError(f"{path}: which format? write {path.stem}.txt{path.suffix} or {path.stem}.bin{path.suffix}")
    return False


def save_vectors(path: str | os.PathLike, vectors: KeyedVectors, header: bool = True) -> None:
    """Write ``vectors`` in the format of the suffix, most frequent words first where counts are known.

    ``.bin``: word2vec binary; ``.txt`` and ``.vec``: word2vec text, without its first line unless ``header``;
    both are compressed where ``.gz``, ``.bz2``, ``.xz`` or ``.zst`` follows; ``.safetensors``; anything else
    is written as a model folder with vectors only. White space in words becomes U+2581 in word2vec formats,
    with a warning. An existing output is replaced only by a finished one. Raises OutputError.
    """
    path = Path(path)
    check_output(path)
    suffix = format_suffix(path)
    if not is_vector_file(path):
        save_as_folder(path, vectors)
    elif suffix == ".safetensors":
        _save_safetensors(path, vectors)
    else:
        words, rows = writable_words(vectors.index_to_key), frequency_order(vectors)
        shape = (len(vectors), vectors.vector_size) if header else None
        write = write_binary if suffix == ".bin" else write_text
        warn_unless_finite(path, vectors.vectors)
        with open_output(path) as stream:
            write(stream, *ordered(encode_words(words), vectors.vectors, rows), shape)


def save_as_folder(path: str | os.PathLike, vectors: KeyedVectors) -> None:
    """Write ``vectors`` as a model folder without output parameters, most frequent words first."""
    words, rows, counts = _sorted(vectors)
    config = {"vector_size": vectors.vector_size}
    save_model_folder(path, config=config, words=words, counts=counts, input_vectors=rows)


def _save_safetensors(path: Path, vectors: KeyedVectors) -> None:
    from w2v.vectors.safetensors_file import write_safetensors

    if path.suffix.lower() in COMPRESSIONS:
        raise OutputError(f"{path}: safetensors files are not compressed: leave {path.suffix} off")
    words, rows, counts = _sorted(vectors)
    with atomic_file(path) as temporary:
        write_safetensors(temporary, words, rows, counts)


def _sorted(vectors: KeyedVectors) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Words, vectors and counts by falling count; as they are where counts are unknown or in order."""
    order = frequency_order(vectors)
    if order is None:
        return vectors.index_to_key, vectors.vectors, vectors.counts
    return (
        [vectors.index_to_key[row] for row in order.tolist()],
        vectors.vectors[order],
        vectors.counts[order],
    )


def frequency_order(vectors: KeyedVectors, attribute: str = "count") -> np.ndarray | None:
    """Rows by falling ``attribute``, equal ones as they are; None where it is unknown or in order already."""
    values = vectors.expandos.get(attribute)
    if values is None or len(values) != len(vectors) or not np.any(values[1:] > values[:-1]):
        return None
    return np.argsort(-values, kind="stable")


def ordered(
    words: list[bytes], vectors: np.ndarray, order: np.ndarray | None
) -> tuple[list[bytes], Iterator[np.ndarray]]:
    """``words`` and blocks of ``vectors`` in ``order`` (rows, or None), as the writers take them."""
    starts = range(0, len(words), _ROWS_AT_ONCE)
    if order is None:
        return words, (vectors[start : start + _ROWS_AT_ONCE] for start in starts)
    blocks = (vectors[order[start : start + _ROWS_AT_ONCE]] for start in starts)
    return [words[row] for row in order.tolist()], blocks


def warn_unless_finite(path: object, vectors: np.ndarray) -> None:
    """Warn where ``vectors`` hold values that readers of the file will refuse."""
    if not np.isfinite(vectors).all():
        warn(f"{path}: some vectors hold values that are no finite numbers, which most readers refuse")
