"""model2vec: a folder that ``model2vec.StaticModel.from_pretrained(FOLDER)`` loads.

``model.safetensors`` has one tensor, ``embeddings`` float32 (V + 1, D), whose last row is the unknown token's;
``tokenizer.json`` is a word-level tokenizer of the library ``tokenizers`` that splits as training does, at ASCII
white space; ``config.json`` says that nothing is normalised or cut, so that ``encode`` gives the mean of the vectors
of the known words, and zeros where there are none. ``README.md`` begins with the metadata that model2vec reads. After
training with ``--lowercase`` the tokenizer lowers too, letter by letter: a capital sigma at the end of a word, which
training lowers by its place in the word, is not found.

With ``Settings.sif`` each vector is first multiplied by a / (a + p) for a word of frequency p (Arora et al. 2017, "A
simple but tough-to-beat baseline for sentence embeddings", equation 3): the mean is then a weighted one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from w2v.errors import OutputError
from w2v.export.layout import FolderLayout, Settings, Table, writable

UNKNOWN = "[UNK]"
_CARD = """\
---
library_name: model2vec
tags:
- embeddings
- static-embeddings
- word2vec
---

# Word vectors

{count:,} word vectors of {size} dimensions, exported by w2v.

```python
from model2vec import StaticModel

model = StaticModel.from_pretrained("FOLDER")
model.encode(["some words of a sentence"])
```

A sentence is split at white space{lowered}, and its vector is the mean of those of its known words{weighted}.
Pass `normalize=True` for vectors of length 1.
"""


class Model2vecLayout(FolderLayout):
    """A folder for model2vec."""

    name = "model2vec"

    def fill(self, folder: Path, table: Table, settings: Settings) -> None:
        """See ``FolderLayout.fill``; OutputError where ``settings.sif`` is given and counts are not known."""
        words = writable(table.words, empty=True)
        weights = None if settings.sif is None else sif_weights(table.counts, settings.sif)
        count, size = table.shape
        _write_tensor(folder / "model.safetensors", "embeddings", (count + 1, size), _rows(table, weights))
        _write_json(folder / "tokenizer.json", _tokenizer(words, settings.lowercase), None)
        _write_json(folder / "config.json", _config(size, settings), 1)
        card = _CARD.format(
            count=count,
            size=size,
            lowered=", in lower case" if settings.lowercase else "",
            weighted="" if weights is None else f", weighted by {settings.sif:g} / ({settings.sif:g} + frequency)",
        )
        (folder / "README.md").write_text(card, "utf-8")

    def usage(self, path: Path) -> str:
        """See ``Layout.usage``."""
        return f"model2vec.StaticModel.from_pretrained({str(path)!r}).encode(['some words'])"


def sif_weights(counts: np.ndarray | None, constant: float) -> np.ndarray:
    """The weights a / (a + p), float64 (V,), of words with ``counts`` (V,); p is the share of all that is counted."""
    if counts is None:
        raise OutputError("weights need the counts of the words, and these vectors have none: leave --sif out")
    return constant / (constant + counts / max(1, int(counts.sum())))


def _rows(table: Table, weights: np.ndarray | None) -> Iterator[np.ndarray]:
    start = 0
    for block in table.blocks():
        if weights is not None:
            block = (block * weights[start : start + len(block), None]).astype("<f4")
        start += len(block)
        yield block
    # model2vec leaves unknown words out of the mean; what does not moves it towards zero, but not elsewhere.
    yield np.zeros((1, table.shape[1]), "<f4")


def _tokenizer(words: list[str], lowercase: bool) -> dict:
    """The content of ``tokenizer.json``: the id of a word is its row."""
    known = set(words)
    unknown = UNKNOWN
    while unknown in known:
        unknown += "_"
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"} if lowercase else None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": r"[ \t\n\r\x0b\x0c]+"},
            "behavior": "Removed",
            "invert": False,
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {**{word: row for row, word in enumerate(words)}, unknown: len(words)},
            "unk_token": unknown,
        },
    }


def _config(size: int, settings: Settings) -> dict:
    return {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "hidden_dim": size,
        "embedding_dtype": "float32",
        "pooling": "mean",
        "normalize": False,
        "max_length": None,
        "apply_pca": None,
        "sif_coefficient": settings.sif,
    }


def _write_json(path: Path, value: dict, indent: int | None) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", "utf-8")


def _write_tensor(path: Path, name: str, shape: tuple[int, int], blocks: Iterator[np.ndarray]) -> None:
    """Write a ``.safetensors`` file of one float32 tensor, block by block.

    The format is 8 bytes of length, a JSON header (padded, so that the data is aligned), and the data; written here,
    the matrix with its additional row is never in memory.
    """
    entry = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 4 * shape[0] * shape[1]]}
    header = json.dumps({name: entry}).encode("ascii")
    header += b" " * (-len(header) % 8)
    with path.open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        for block in blocks:
            stream.write(block.data)


LAYOUT = Model2vecLayout()
