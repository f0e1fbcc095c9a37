"""gensim's two functions for word2vec files, with its arguments."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from w2v.errors import FormatError, OutputError
from w2v.vectors.files import frequency_order, ordered, read_word2vec, warn_unless_finite
from w2v.vectors.streams import open_input, open_output
from w2v.vectors.word2vec_binary import write_binary
from w2v.vectors.word2vec_text import write_text
from w2v.vectors.words import encode_words, writable_words

if TYPE_CHECKING:
    from w2v.vectors.keyed_vectors import KeyedVectors


def load(
    kind: type,
    fname: str | os.PathLike,
    fvocab: str | os.PathLike | None,
    binary: bool,
    encoding: str,
    unicode_errors: str,
    limit: int | None,
    datatype: np.dtype | type,
    no_header: bool,
) -> KeyedVectors:
    """See ``KeyedVectors.load_word2vec_format``."""
    if not os.path.exists(fname):
        raise FormatError(f"no such file: {fname}")
    if binary and no_header:
        raise FormatError(f"{fname}: a binary file without a header cannot be read: its dimensions are unknown")
    words, vectors = read_word2vec(fname, binary, limit, encoding, unicode_errors, datatype, no_header)
    if fvocab is None:
        # As gensim: the rank stands in for a count that the file does not tell.
        counts = np.arange(len(words), 0, -1)
    else:
        known = _read_counts(fvocab, encoding, unicode_errors)
        counts = np.array([known.get(word, 0) for word in words], np.int64)
    return kind.from_arrays(words, vectors, counts)


def _read_counts(path: str | os.PathLike, encoding: str, unicode_errors: str) -> dict[str, int]:
    """Counts by word of a file with a word, white space and a count on each line."""
    counts = {}
    with open_input(path) as (stream, _):
        for number, line in enumerate(stream, 1):
            fields = line.rsplit(None, 1)
            if not fields:
                continue
            if len(fields) != 2 or not fields[1].isdigit() or len(fields[1]) > 18:
                raise FormatError(f"{path}, line {number}: expected a word and its count")
            try:
                word = fields[0].decode(encoding, unicode_errors)
            except UnicodeDecodeError:
                raise FormatError(
                    f"{path}, line {number}: a word is not {encoding}: pass unicode_errors='replace'"
                ) from None
            counts.setdefault(word, int(fields[1]))
    return counts


def save(
    vectors: KeyedVectors,
    fname: str | os.PathLike,
    fvocab: str | os.PathLike | None,
    binary: bool,
    total_vec: int | None,
    write_header: bool,
    prefix: str,
    append: bool,
    sort_attr: str,
) -> None:
    """See ``KeyedVectors.save_word2vec_format``."""
    order = frequency_order(vectors, sort_attr)
    words = writable_words([prefix + word for word in vectors.index_to_key])
    if fvocab is not None:
        _write_counts(fvocab, words, vectors, order, sort_attr)
    total = len(words) if total_vec is None else total_vec
    header = (total, vectors.vector_size) if write_header else None
    write = write_binary if binary else write_text
    warn_unless_finite(fname, vectors.vectors)
    arguments = (*ordered(encode_words(words), vectors.vectors, order), header)
    if not append:
        with open_output(fname) as stream:
            write(stream, *arguments)
        return
    try:
        with open(fname, "ab") as stream:
            write(stream, *arguments)
    except OSError as error:
        raise OutputError(f"cannot write {fname}: {error.strerror or error}") from error


def _write_counts(
    path: str | os.PathLike, words: list[str], vectors: KeyedVectors, order: np.ndarray | None, attribute: str
) -> None:
    """One line per word, the word, a space and its ``attribute``, in the order of the vectors."""
    values = vectors.expandos.get(attribute)
    if values is None:
        raise OutputError(f"cannot write {path}: the words have no attribute {attribute!r}")
    rows = range(len(words)) if order is None else order.tolist()
    with open_output(path) as stream:
        for row, word in zip(rows, encode_words([words[row] for row in rows]), strict=True):
            stream.write(b"%b %d\n" % (word, values[row]))
