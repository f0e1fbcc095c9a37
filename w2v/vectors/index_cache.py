"""What an approximate search learns about vectors, kept in the cache folder for the next run: one file each."""

from __future__ import annotations

import hashlib
import json
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from w2v.atomic import atomic_file
from w2v.cores import available_cores
from w2v.errors import FormatError
from w2v.untrusted import check_plain
from w2v.vectors.arrays import array_of

# Raise it whenever the meaning of what is kept changes: older files are then made anew.
LAYOUT = 1
_ENTRY = re.compile(r"ann-[0-9a-f]{32}\.npz")
_UNFINISHED = re.compile(r"\.ann-[0-9a-f]{32}\.npz\.tmp-[0-9a-f]{8}")
_ABANDONED = 3600  # seconds
_HASHED_AT_ONCE = 1 << 24  # bytes


@dataclass(frozen=True)
class Cells:
    """How the V rows fall into C cells, and the exact answers to a sample of Q queries.

    ``centroids`` (C, D) float32; ``cells`` (V,) int32: the cell of each row; ``sample`` (Q,) int64: the rows that
    are asked about; ``similarities`` (Q, N) float32: of their N nearest other rows, falling.
    """

    centroids: np.ndarray
    cells: np.ndarray
    sample: np.ndarray
    similarities: np.ndarray

    def fit(self, rows: int, size: int) -> bool:
        """Whether these can be the cells of vectors (``rows``, ``size``): shapes, types and ranges."""
        kinds = {"centroids": ("f4", 2), "cells": ("i4", 1), "sample": ("i8", 1), "similarities": ("f4", 2)}
        for name, kind in kinds.items():
            array = getattr(self, name)
            if (array.dtype, array.ndim) != kind or not np.isfinite(array).all():
                return False
        return (
            self.centroids.shape[1] == size
            and self.cells.shape == (rows,)
            and len(self.similarities) == len(self.sample)
            and _within(self.cells, len(self.centroids))
            and _within(self.sample, rows)
        )


@dataclass(frozen=True)
class IndexEntry:
    """A file of the cache: its size in bytes, and the vectors that it belongs to where it says so."""

    path: Path
    size: int
    rows: int | None
    dimensions: int | None


class IndexCache:
    """The files of approximate searches in the cache folder. They are NumPy arrays; nothing is ever unpickled."""

    def __init__(self, root: str | Path | None = None) -> None:
        """Use ``root``, by default the folder of the encoded corpora ($W2V_CACHE or the user's cache folder)."""
        from w2v.corpus.cache import default_cache_dir

        self.root = Path(root) if root is not None else default_cache_dir()

    def path(self, key: str) -> Path:
        """Where the cells of the vectors with the fingerprint ``key`` are kept."""
        return self.root / f"ann-{key}.npz"

    def find(self, key: str, rows: int, size: int) -> Cells | None:
        """The cells of vectors (``rows``, ``size``); None where there are none, or what is there is damaged."""
        # Whatever a damaged file provokes in zipfile and in NumPy's parser of headers, it is no index of ours.
        with suppress(Exception):
            arrays = _members(self.path(key))
            if _description(arrays) == {"layout": LAYOUT, "vectors": key, "rows": rows, "dimensions": size}:
                found = Cells(**{field.name: arrays[field.name] for field in fields(Cells)})
                if found.fit(rows, size):
                    return found
        return None

    def keep(self, key: str, found: Cells) -> Path:
        """Write the file of ``key``, replacing an old one when it is finished; raises OutputError."""
        about = {
            "layout": LAYOUT,
            "vectors": key,
            "rows": len(found.cells),
            "dimensions": found.centroids.shape[1],
        }
        arrays = {field.name: getattr(found, field.name) for field in fields(Cells)}
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        with atomic_file(self.path(key)) as temporary, temporary.open("wb") as stream:
            np.savez(stream, description=text, **arrays)
        return self.path(key)

    def entries(self) -> list[IndexEntry]:
        """What is kept, by name; unfinished files included."""
        return [_entry(path) for path in self._files()]

    def clear(self) -> tuple[int, int]:
        """Remove all of it but what is being written; returns how many files, and their bytes."""
        removed = freed = 0
        for path in self._files():
            with suppress(OSError):
                stat = path.stat()
                if _UNFINISHED.fullmatch(path.name) and time.time() - stat.st_mtime < _ABANDONED:
                    continue
                path.unlink()
                removed, freed = removed + 1, freed + stat.st_size
        return removed, freed

    def _files(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        named = (
            path for path in self.root.iterdir() if _ENTRY.fullmatch(path.name) or _UNFINISHED.fullmatch(path.name)
        )
        return sorted(path for path in named if path.is_file() and not path.is_symlink())


def fingerprint(vectors: np.ndarray) -> str:
    """Hash of the shape, the type and all numbers of ``vectors`` (V, D), on all cores."""
    step = max(1, _HASHED_AT_ONCE // max(1, vectors.shape[1] * vectors.itemsize))
    parts = (vectors[start : start + step] for start in range(0, len(vectors), step))
    whole = hashlib.blake2b(json.dumps([vectors.shape, vectors.dtype.str]).encode(), digest_size=16)
    with ThreadPoolExecutor(available_cores()) as pool:
        for digest in pool.map(_digest, parts):
            whole.update(digest)
    return whole.hexdigest()


def _digest(part: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(part).view(np.uint8)).digest()


def _within(numbers: np.ndarray, end: int) -> bool:
    return not len(numbers) or (numbers.min() >= 0 and numbers.max() < end)


def _members(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file by name; raises anything where it is none, or larger inside than outside.

    Members are not compressed, and each is as long as its header says, so that no more memory is taken than the file
    is long.
    """
    arrays = {}
    size = check_plain(path).st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size:
            raise FormatError(f"{path}: more inside than outside")
        for member in members:
            arrays[member.filename.removesuffix(".npy")] = array_of(archive.read(member), path)
    return arrays


def _description(arrays: dict[str, np.ndarray]) -> object:
    return json.loads(arrays["description"].tobytes())


def _entry(path: Path) -> IndexEntry:
    about: object = None
    with suppress(Exception):
        about = _description(_members(path))
    rows, dimensions = ((about.get(name) if isinstance(about, dict) else None) for name in ("rows", "dimensions"))
    whole = all(type(number) is int for number in (rows, dimensions))
    return IndexEntry(path, path.stat().st_size, *((rows, dimensions) if whole else (None, None)))
