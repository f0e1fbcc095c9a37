"""What a layout is, and what those that are folders share: replaced as a whole, and only where they are exports."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from w2v.atomic import atomic_folder, check_parent
from w2v.errors import OutputError
from w2v.vectors.files import FILE_SUFFIXES, frequency_order, warn_unless_finite
from w2v.vectors.streams import format_suffix
from w2v.vectors.words import writable_words

if TYPE_CHECKING:
    from w2v.vectors import KeyedVectors

# Tells a folder that was exported from any other; holds the layout's name and the files that belong to it.
MARK = "w2v_export.json"
_MARK_FORMAT = "w2v-export"
_ROWS_AT_ONCE = 4096
# Half of a pair of UTF-16, or a byte that was no UTF-8: neither can be written as UTF-8.
SURROGATES = "\ud800-\udfff"


@dataclass(frozen=True)
class Settings:
    """What only some layouts have a use for.

    ``lowercase``: the words are those of a text in lower case. ``sif``: the constant a of the weights a / (a + p) for
    words of frequency p, or None for no weights (see ``to_model2vec``).
    """

    lowercase: bool = False
    sif: float | None = None


@dataclass(frozen=True)
class Table:
    """What is exported: V ``words``, ``vectors`` (V, D), ``counts`` int64 (V,) or None; ``order``: rows, or None.

    ``vectors`` are as they were loaded, so that they need not be copied; ``words`` and ``counts`` are in order.
    """

    words: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None
    order: np.ndarray | None

    def blocks(self) -> Iterator[np.ndarray]:
        """The vectors in order, float32 (n, D) at a time."""
        for start in range(0, len(self.words), _ROWS_AT_ONCE):
            block = slice(start, start + _ROWS_AT_ONCE)
            rows = self.vectors[block if self.order is None else self.order[block]]
            yield np.ascontiguousarray(rows, "<f4")

    @property
    def shape(self) -> tuple[int, int]:
        """Words and dimensions."""
        return len(self.words), self.vectors.shape[1]


def table_of(vectors: KeyedVectors) -> Table:
    """``vectors`` by falling count where counts are known, else as they are."""
    order = frequency_order(vectors)
    words, counts = vectors.index_to_key, vectors.counts
    if counts is not None and len(counts) != len(words):
        counts = None  # not of all words
    if order is not None:
        words, counts = [words[row] for row in order.tolist()], counts[order]
    return Table(list(words), vectors.vectors, None if counts is None else counts.astype(np.int64), order)


def writable(words: Sequence[str], forbidden: str = "", empty: bool = False) -> list[str]:
    """``words``, still distinct, with U+2581 for the characters ``forbidden`` (inside a pattern's []) and surrogates.

    The same stands for an empty word unless ``empty`` ones are allowed. Warns about what it changed.
    """
    return writable_words(words, re.compile(f"[{forbidden}{SURROGATES}]"), empty)


class Layout(ABC):
    """A way to lay out vectors on the disk for another library; ``name`` is what ``--to`` calls it."""

    name: str

    @abstractmethod
    def outputs(self, path: Path) -> list[Path]:
        """What writing to ``path`` makes."""

    @abstractmethod
    def check(self, path: Path) -> None:
        """Raise OutputError where ``path`` cannot be written or must not be replaced; before long work."""

    @abstractmethod
    def write(self, path: Path, table: Table, settings: Settings) -> None:
        """Write ``table`` to ``path``, where an older one is replaced when the new one is complete."""

    @abstractmethod
    def usage(self, path: Path) -> str:
        """A line that says how to load what was written to ``path``."""


class FolderLayout(Layout):
    """A layout that is a folder: the files that ``fill`` makes, and ``MARK``."""

    @abstractmethod
    def fill(self, folder: Path, table: Table, settings: Settings) -> None:
        """Write the files into ``folder``, which is empty."""

    def outputs(self, path: Path) -> list[Path]:
        """The folder."""
        return [path]

    def check(self, path: Path) -> None:
        """See ``Layout.check``; also for a name that says something else."""
        if format_suffix(path) in FILE_SUFFIXES:
            raise OutputError(f"{path}: --to {self.name} writes a folder: give a name without {path.suffix}")
        self._check_replaceable(path)
        check_parent(path)

    def write(self, path: Path, table: Table, settings: Settings) -> None:
        """See ``Layout.write``."""
        warn_unless_finite(path, table.vectors)
        with atomic_folder(path, self._check_replaceable) as folder:
            self.fill(folder, table, settings)
            mark = {"format": _MARK_FORMAT, "layout": self.name, "files": sorted(os.listdir(folder))}
            (folder / MARK).write_text(json.dumps(mark) + "\n", "utf-8")

    def _check_replaceable(self, path: Path) -> None:
        """Raise OutputError unless at ``path`` is nothing, an empty folder, or such an export and nothing else."""
        if not path.exists() and not path.is_symlink():
            return
        if not path.is_dir():
            raise OutputError(f"{path} is not a folder: move it away or choose another output")
        entries = sorted(path.iterdir())
        if not entries:
            return
        mark = _read_mark(path / MARK)
        if mark is None:
            raise OutputError(f"{path} holds other files and is no export of w2v: choose another output")
        layout, files = mark
        if layout != self.name:
            raise OutputError(f"{path} is an export for {layout}, not for {self.name}: choose another output")
        for entry in entries:
            if entry.is_dir() or entry.name not in files:
                raise OutputError(f"{entry} does not belong to the export: move it away or choose another output")


def _read_mark(path: Path) -> tuple[str, set[str]] | None:
    """The layout and the names of the files of an export, its mark among them; None where ``path`` marks none."""
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != _MARK_FORMAT:
            return None
        layout = content["layout"]
        # It goes into a message.
        return (layout, {MARK, *content["files"]}) if re.fullmatch("[a-z0-9]{1,20}", layout) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def save_rows(path: Path, table: Table) -> None:
    """Write the vectors of ``table`` as an ``.npy`` file, float32 (V, D)."""
    header = {"descr": "<f4", "fortran_order": False, "shape": table.shape}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for block in table.blocks():
            stream.write(block.data)
