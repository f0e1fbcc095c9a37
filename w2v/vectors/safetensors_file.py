"""Vectors as a ``.safetensors`` file (package ``safetensors``, extra ``hub``).

Tensors: ``input_vectors`` float32 (V, D); ``words`` uint8, the UTF-8 bytes of all words one after the other;
``word_ends`` int64 (V,), where each word ends in them; ``counts`` int64 (V,), absent where counts are not
known. Metadata: ``format`` = ``w2v-vectors``, ``format_version`` = ``1``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np

from w2v.errors import FormatError, require
from w2v.vectors.words import encode_words

_METADATA = {"format": "w2v-vectors", "format_version": "1"}


def read_safetensors(
    path: Path, limit: int | None, mmap: bool = True
) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    """Words, vectors float32 (V, D) and counts; FormatError where a tensor is missing or does not fit.

    With ``mmap`` the vectors are mapped copy-on-write from the file, so that changes never reach it.
    """
    safetensors = require("safetensors", "hub", f"reading {path}")
    try:
        with safetensors.safe_open(path, framework="numpy") as opened:
            names = set(opened.keys())
            missing = {"input_vectors", "words", "word_ends"} - names
            if missing:
                raise FormatError(f"{path}: no tensor {sorted(missing)[0]!r}: not a file that w2v wrote")
            vectors = _mapped(path, "input_vectors") if mmap else opened.get_tensor("input_vectors")
            vectors = vectors[:limit]
            text = opened.get_tensor("words")
            ends = opened.get_tensor("word_ends")
            counts = opened.get_tensor("counts") if "counts" in names else None
    except (safetensors.SafetensorError, OSError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: not a readable safetensors file: {str(error).splitlines()[0][:200]}") from error
    return _checked(path, vectors, text, ends, counts, limit)


def _mapped(path: Path, name: str) -> np.ndarray:
    """A tensor of a file whose header the library has validated: 8 bytes of length, JSON, data (little-endian)."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        entry = json.loads(stream.read(length))[name]
    if entry["dtype"] != "F32":
        raise FormatError(f"{path}: {name} holds {entry['dtype']}, not F32: not a file that w2v wrote")
    offset = 8 + length + entry["data_offsets"][0]
    if 0 in entry["shape"]:
        return np.zeros(entry["shape"], np.float32)  # nothing can be mapped
    return np.asarray(np.memmap(path, "<f4", "c", offset, tuple(entry["shape"])))


def _checked(
    path: Path,
    vectors: np.ndarray,
    text: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray | None,
    limit: int | None,
) -> tuple[list[str], np.ndarray, np.ndarray | None]:
    bounds = np.concatenate(([0], ends[:limit].ravel()))
    fits = (
        vectors.ndim == 2 and vectors.dtype == np.float32 and text.dtype == np.uint8 and text.ndim == 1
        and ends.dtype == np.int64 and ends.ndim == 1 and len(bounds) == len(vectors) + 1
        and bool(np.all(bounds[1:] >= bounds[:-1])) and bounds[-1] <= len(text)
    )  # fmt: skip
    if not fits or (counts is not None and (counts.dtype != np.int64 or counts.shape != ends.shape)):
        raise FormatError(f"{path}: the tensors do not fit each other: the file is damaged")
    if not np.isfinite(vectors).all():
        raise FormatError(f"{path}: a vector holds a value that is no finite number")
    data = text.tobytes()
    pairs = zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    words = [data[start:end].decode("utf-8", "replace") for start, end in pairs]
    return words, vectors, None if counts is None else counts[:limit]


def write_safetensors(path: Path, words: list[str], vectors: np.ndarray, counts: np.ndarray | None) -> None:
    """Write V ``words``, ``vectors`` (V, D) and ``counts`` (V,) or None to ``path`` itself; raises OSError."""
    safetensors = require("safetensors", "hub", f"writing {path}")
    from safetensors.numpy import save_file

    encoded = encode_words(words)
    tensors = {
        "input_vectors": np.ascontiguousarray(vectors, np.float32),
        "words": np.frombuffer(b"".join(encoded), np.uint8),
        "word_ends": np.cumsum([len(word) for word in encoded], dtype=np.int64),
    }
    if counts is not None:
        tensors["counts"] = np.asarray(counts).astype(np.int64)
    path.touch()
    permissions = path.stat().st_mode
    try:
        save_file(tensors, path, metadata=_METADATA)
    except safetensors.SafetensorError as error:
        # It is the library's only way to say that the disk is full; it gives the number in words.
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
    path.chmod(permissions)  # some versions of the library make files that only their owner can read
