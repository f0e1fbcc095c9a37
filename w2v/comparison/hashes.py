"""Hashes by which two runs can be seen to have had, or made, the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from w2v.corpus import Vocabulary
from w2v.errors import EvaluationError

_BLOCK = 1 << 16  # rows at once


def sha256_of_vocabulary(vocabulary: Vocabulary) -> str:
    """Of the words and their counts, in order."""
    digest = hashlib.sha256("\n".join(vocabulary.words).encode("utf-8", "surrogatepass"))
    digest.update(b"\n" + vocabulary.counts.astype("<i8").tobytes())
    return digest.hexdigest()


def sha256_of_array(values: np.ndarray, kind: str = "<f4") -> str:
    """Of the numbers, little-endian, in C order; kind: as what they are hashed."""
    digest = hashlib.sha256()
    for start in range(0, len(values), _BLOCK):
        digest.update(np.ascontiguousarray(values[start : start + _BLOCK], kind).tobytes())
    return digest.hexdigest()


def sha256_of_draw(vectors: np.ndarray) -> str:
    """Of the signs of vectors (V, D): the same for one random draw at whatever scale.

    An objective has its own scale for the initial vectors; half of their V·D signs differ between two draws.
    """
    digest = hashlib.sha256(repr(vectors.shape).encode())
    for start in range(0, len(vectors), _BLOCK):
        digest.update(np.packbits(vectors[start : start + _BLOCK] < 0).tobytes())
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """Of a file's bytes; raises EvaluationError where it cannot be read, or only once, as a pipe can."""
    if path.exists() and not path.is_file():
        raise EvaluationError(f"cannot read {path}: a folder, a pipe or a device: give a file")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise EvaluationError(f"no such file: {path}") from error
    except OSError as error:
        raise EvaluationError(f"cannot read {path}: {error.strerror or error}") from error
