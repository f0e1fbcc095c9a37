"""Model folders: plain JSON, TSV and ``.npy`` files, replaced as a whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from w2v.atomic import atomic_folder
from w2v.errors import FormatError, OutputError
from w2v.untrusted import read_json, shortened
from w2v.vectors.array_writing import write_array
from w2v.vectors.arrays import load_array
from w2v.vectors.model_card import model_card
from w2v.vectors.vocabulary_file import read_vocabulary, write_vocabulary

CONFIG, VOCABULARY, VECTORS, TRAINING, CARD = (
    "config.json", "vocabulary.tsv", "input_vectors.npy", "training.json", "README.md",
)  # fmt: skip
# What marks a config.json as one of ours, and the layout's version.
FORMAT, VERSION = "w2v-model", 1


@dataclass
class ModelFolder:
    """What a model folder holds.

    ``words`` (V) and ``counts`` (int64 (V,), None where the source had none), most frequent first;
    ``input_vectors`` float32 (V, D); ``output_parameters``: file name stem -> array.
    """

    config: dict
    words: list[str]
    counts: np.ndarray | None
    input_vectors: np.ndarray
    output_parameters: dict[str, np.ndarray] = field(default_factory=dict)
    training: dict = field(default_factory=dict)


def is_model_folder(path: str | os.PathLike) -> bool:
    """Whether ``path`` is a folder whose ``config.json`` says that w2v wrote it."""
    try:
        return _read_json(Path(path) / CONFIG).get("format") == FORMAT
    except FormatError:
        return False


def read_config(path: str | os.PathLike) -> dict:
    """The contents of ``config.json`` of a model folder; raises FormatError where it has none."""
    config = _read_json(Path(path) / CONFIG)
    if config.get("format") != FORMAT:
        raise FormatError(f"{Path(path) / CONFIG}: not a w2v model's configuration")
    return config


def check_replaceable(path: str | os.PathLike) -> None:
    """Raise OutputError where a model folder must not be written to ``path``, before any work is done for it.

    Allowed are a path where nothing is, an empty folder, and a model folder of ours that holds nothing else.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise OutputError(f"{path} is not a folder: move it away or choose another output")
    entries = sorted(path.iterdir())
    if not entries:
        return
    if not is_model_folder(path):
        raise OutputError(f"{path} holds other files and is no w2v model: choose another output")
    known = {CONFIG, VOCABULARY, VECTORS, TRAINING, CARD}
    for entry in entries:
        if entry.is_dir() or not (entry.name in known or entry.suffix == ".npy"):
            raise OutputError(f"{entry} does not belong to the model: move it away or choose another output")


def save_model_folder(
    path: str | os.PathLike,
    *,
    config: Mapping[str, object],
    words: Sequence[str],
    counts: np.ndarray | None,
    input_vectors: np.ndarray,
    output_parameters: Mapping[str, np.ndarray] | None = None,
    training: Mapping[str, object] | Callable[[], Mapping[str, object]] | None = None,
) -> None:
    """Write a model folder, replacing an older one only when it is complete.

    ``config`` (any names but ``format``, ``format_version`` and ``counts``) and ``training`` are written as
    JSON, ``output_parameters`` as one ``.npy`` file each. ``training`` may be a function: it is called when
    the arrays are written, so that it can tell how long that took. ``counts`` of None are written as falling
    ranks and read back as None. Raises OutputError where ``path`` is something else than a model folder of
    ours, or cannot be written, and FormatError where the sizes do not match.
    """
    output_parameters = output_parameters or {}
    if input_vectors.ndim != 2 or len(words) != len(input_vectors):
        raise FormatError(f"{len(words)} words do not match vectors of shape {input_vectors.shape}")
    if counts is not None and len(counts) != len(words):
        raise FormatError(f"{len(words)} words do not match {len(counts)} counts")
    marks = {
        "format": FORMAT,
        "format_version": VERSION,
        "counts": "corpus" if counts is not None else "ranks",
    }
    with atomic_folder(path, check_replaceable) as folder:
        _write_json(folder / CONFIG, {**config, **marks})
        ranks = np.arange(len(words), 0, -1)
        write_vocabulary(folder / VOCABULARY, words, ranks if counts is None else counts)
        write_array(folder / VECTORS, np.asarray(input_vectors, np.float32))
        for stem, array in output_parameters.items():
            write_array(folder / f"{stem}.npy", np.asarray(array))
        training = dict((training() if callable(training) else training) or {})
        _write_json(folder / TRAINING, training)
        card = model_card(*input_vectors.shape, config, training, counts is not None)
        (folder / CARD).write_text(card, encoding="utf-8", errors="replace")


def load_model_folder(path: str | os.PathLike, mmap: bool = True) -> ModelFolder:
    """Read a model folder; with ``mmap`` arrays are mapped copy-on-write and read from disk as they are used.

    Raises FormatError naming the file (and line) that is missing, malformed or of the wrong size. Where another run
    puts a new model in its place meanwhile, that is read: never some files of the one and some of the other.
    """
    if not os.path.exists(path):
        raise FormatError(f"no such file: {path}")
    folder = Path(path)
    while True:
        before = _identity(folder)
        try:
            model = _load(folder, mmap)
        except FormatError:
            if _identity(folder) == before:
                raise
        else:
            if _identity(folder) == before:
                return model


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is, None where there is none: a new model is another one under the same name."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _load(folder: Path, mmap: bool) -> ModelFolder:
    config = _read_json(folder / CONFIG)
    if config.pop("format", None) != FORMAT:
        raise FormatError(f"{folder / CONFIG}: not a w2v model's configuration")
    version = config.pop("format_version", None)
    if version != VERSION:
        raise FormatError(f"{folder}: format version {shortened(version)} is unknown: use a newer w2v")
    counted = config.pop("counts", "corpus") != "ranks"
    words, counts = read_vocabulary(folder / VOCABULARY)
    vectors = load_array(folder / VECTORS, mmap)
    if vectors.ndim != 2 or vectors.dtype != np.float32 or len(vectors) != len(words):
        raise FormatError(
            f"{folder / VECTORS}: {vectors.dtype} of shape {vectors.shape} where float32 of "
            f"({len(words)}, dimensions) is needed to match {VOCABULARY}"
        )
    others = sorted(entry for entry in folder.glob("*.npy") if entry.name != VECTORS)
    return ModelFolder(
        config=config,
        words=words,
        counts=counts if counted else None,
        input_vectors=vectors,
        output_parameters={entry.stem: load_array(entry, mmap) for entry in others},
        training=_read_json(folder / TRAINING) if (folder / TRAINING).exists() else {},
    )


def _read_json(path: Path) -> dict:
    try:
        value = read_json(path)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        reason = str(error).splitlines()[0] if str(error) else "damaged"
        raise FormatError(f"{path}: not valid JSON: {reason}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path}: not a JSON object")
    return value


def _write_json(path: Path, value: dict) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1, default=_plain)
    path.write_text(text + "\n", encoding="utf-8", errors="replace")


def _plain(value: object) -> object:
    """NumPy numbers and paths as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
