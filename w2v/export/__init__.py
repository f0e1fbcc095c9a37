"""Vectors in the layouts that other libraries load, one file per layout.

``LAYOUTS`` is the table: to add a layout, write ``to_NAME.py`` with a ``LAYOUT`` (see ``layout``) and name it here.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from w2v.export.layout import Layout, Settings
    from w2v.vectors import KeyedVectors

LAYOUTS = ("projector", "gensim", "model2vec", "safetensors", "numpy")

__all__ = ["LAYOUTS", "export_vectors", "find_layout"]


def find_layout(name: str) -> Layout:
    """The layout called ``name``, one of LAYOUTS; ConfigError for another name."""
    from w2v.errors import ConfigError

    if name not in LAYOUTS:
        raise ConfigError(f"no layout is called {name!r}: choose {', '.join(LAYOUTS)}")
    return import_module(f"w2v.export.to_{name}").LAYOUT


def export_vectors(
    vectors: KeyedVectors, path: str | os.PathLike, to: str, settings: Settings | None = None
) -> list[Path]:
    """Write ``vectors`` to ``path`` in the layout ``to``, one of LAYOUTS, and return the paths that were written.

    Rows are written by falling count where counts are known. What is there already is replaced when the new one is
    complete, and a folder only where it is such an export. Raises OutputError, and ConfigError for an unknown layout.
    """
    from w2v.export.layout import Settings, table_of

    layout, path = find_layout(to), Path(path)
    layout.check(path)
    layout.write(path, table_of(vectors), settings or Settings())
    return layout.outputs(path)
