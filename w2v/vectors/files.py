"""Any vector file or model folder to KeyedVectors and back: by content to read, by suffix to write."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from w2v.errors import FormatError
from w2v.vectors.folder import load_model_folder, save_model_folder
from w2v.vectors.keyed_vectors import KeyedVectors


def load_vectors(
    path: str | os.PathLike, limit: int | None = None, mmap: bool = True, kind: type = KeyedVectors
) -> KeyedVectors:
    """Read the vectors of a model folder or of any vector file; the format is found from the content.

    ``limit`` keeps the first rows only. ``mmap`` maps the vectors of a model folder copy-on-write. Raises
    FormatError (also for a missing file) naming the file and the line or byte.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"no such file: {path}")
    folder = load_model_folder(path, mmap)
    counts = None if folder.counts is None else folder.counts[:limit]
    return kind.from_arrays(folder.words[:limit], folder.input_vectors[:limit], counts)


def save_as_folder(path: str | os.PathLike, vectors: KeyedVectors) -> None:
    """Write ``vectors`` as a model folder without output parameters, most frequent words first."""
    words, rows, counts = vectors.index_to_key, vectors.vectors, vectors.counts
    if counts is not None and len(counts) > 1 and np.any(counts[1:] > counts[:-1]):
        order = np.argsort(-counts, kind="stable")
        words, rows, counts = [words[row] for row in order.tolist()], rows[order], counts[order]
    config = {"vector_size": vectors.vector_size}
    save_model_folder(path, config=config, words=words, counts=counts, input_vectors=rows)
