"""Plain NumPy: ``vectors.npy`` float32 (V, D), ``words.txt``, one word per line, and ``counts.npy`` int64 (V,).

``counts.npy`` is absent where counts are not known. Line ends of any kind inside a word become U+2581, so that
every way of reading lines finds the same words.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2v.export.layout import FolderLayout, Settings, Table, save_rows, writable

# All that str.splitlines and files in text mode take for the end of a line.
_LINE_ENDS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"


class NumpyLayout(FolderLayout):
    """A folder of arrays."""

    name = "numpy"

    def fill(self, folder: Path, table: Table, settings: Settings) -> None:
        """See ``FolderLayout.fill``."""
        save_rows(folder / "vectors.npy", table)
        words = writable(table.words, _LINE_ENDS, empty=True)
        (folder / "words.txt").write_bytes("".join(f"{word}\n" for word in words).encode("utf-8"))
        if table.counts is not None:
            np.save(folder / "counts.npy", table.counts, allow_pickle=False)

    def usage(self, path: Path) -> str:
        """See ``Layout.usage``."""
        folder = str(path)
        return (
            f"vectors = numpy.load({folder + '/vectors.npy'!r}); "
            f"words = open({folder + '/words.txt'!r}, encoding='utf-8').read().splitlines()"
        )


LAYOUT = NumpyLayout()
