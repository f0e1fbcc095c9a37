"""safetensors: one file, as ``w2v convert`` writes it and w2v itself loads it.

Tensors: ``input_vectors`` float32 (V, D); ``words`` uint8, the UTF-8 bytes of all words one after the other;
``word_ends`` int64 (V,), where each word ends in them; ``counts`` int64 (V,), absent where counts are not known.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2v.atomic import atomic_file, check_file
from w2v.errors import OutputError
from w2v.export.layout import Layout, Settings, Table, writable
from w2v.vectors.files import warn_unless_finite
from w2v.vectors.safetensors_file import write_safetensors


class SafetensorsLayout(Layout):
    """One file."""

    name = "safetensors"

    def outputs(self, path: Path) -> list[Path]:
        """The file."""
        return [path]

    def check(self, path: Path) -> None:
        """See ``Layout.check``."""
        if path.suffix.lower() != ".safetensors":
            raise OutputError(f"{path}: --to safetensors writes a file: give it the suffix .safetensors")
        check_file(path)

    def write(self, path: Path, table: Table, settings: Settings) -> None:
        """See ``Layout.write``."""
        warn_unless_finite(path, table.vectors)
        rows = table.vectors if table.order is None else table.vectors[table.order]
        with atomic_file(path) as temporary:
            write_safetensors(temporary, writable(table.words, empty=True), np.asarray(rows), table.counts)

    def usage(self, path: Path) -> str:
        """See ``Layout.usage``."""
        return (
            f"tensors = safetensors.numpy.load_file({str(path)!r}); word i: bytes(tensors['words']"
            "[tensors['word_ends'][i - 1] if i else 0 : tensors['word_ends'][i]]).decode()"
        )


LAYOUT = SafetensorsLayout()
