"""TensorBoard's Embedding Projector: ``tensors.tsv``, ``metadata.tsv`` and ``projector_config.pbtxt``.

``tensors.tsv`` has D numbers per line and no header. ``metadata.tsv`` has the columns word, count (where counts are
known) and rank, from 1; with several columns the projector takes its first line for their names. The configuration
names the two, so that ``tensorboard --logdir FOLDER`` finds them; the projector's own page loads the TSV files by
hand. Both read text with any end of line, so tabs and line ends inside a word become U+2581.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from w2v.errors import OutputError
from w2v.export.layout import FolderLayout, Settings, Table, writable

TENSOR_NAME = "words"
_CONFIG = """\
embeddings {{
  tensor_name: "{name}"
  tensor_shape: {count}
  tensor_shape: {size}
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"
}}
"""


class ProjectorLayout(FolderLayout):
    """A folder for the projector."""

    name = "projector"

    def fill(self, folder: Path, table: Table, settings: Settings) -> None:
        """See ``FolderLayout.fill``; OutputError where the projector cannot show such vectors."""
        count, size = table.shape
        if count == 0 or size < 2:
            raise OutputError(f"{count} vectors of {size} dimensions are nothing to project: it takes 2 dimensions")
        (folder / "projector_config.pbtxt").write_text(
            _CONFIG.format(name=TENSOR_NAME, count=count, size=size), "utf-8"
        )
        pattern = "\t".join(["%.9g"] * size) + "\n"
        with (folder / "tensors.tsv").open("w", encoding="ascii", newline="\n") as stream:
            for block in table.blocks():
                stream.writelines(pattern % tuple(row) for row in block.tolist())
        with (folder / "metadata.tsv").open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines("\t".join(map(str, row)) + "\n" for row in _metadata(table))

    def usage(self, path: Path) -> str:
        """See ``Layout.usage``."""
        folder = shlex.quote(str(path))
        return f"tensorboard --logdir {folder} (its page shows the first 100,000 words), or load the two .tsv files"


def _metadata(table: Table) -> list[Sequence[object]]:
    words, ranks = writable(table.words, "\t\n\r"), range(1, len(table.words) + 1)
    if table.counts is None:
        return [("word", "rank"), *zip(words, ranks, strict=True)]
    return [("word", "count", "rank"), *zip(words, table.counts.tolist(), ranks, strict=True)]


LAYOUT = ProjectorLayout()
