"""Scores of vectors: which files there are, what they cover, and the numbers at a point of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from w2v.comparison.hashes import sha256_of_file
from w2v.comparison.plan import EvaluationFile
from w2v.comparison.record import valid_text
from w2v.corpus import Vocabulary
from w2v.errors import EvaluationError
from w2v.evaluation import evaluate_analogies, evaluate_pairs
from w2v.vectors import KeyedVectors


class Scorer:
    """Scores by name: Spearman × 100 of word pairs, per cent of the analogies answered right.

    Searched on the CPU, so that the device's memory is training's alone.
    """

    def __init__(self, files: Sequence[EvaluationFile], restrict: int) -> None:
        """restrict: analogies are asked over so many of the most frequent words."""
        self._files = tuple(files)
        self._restrict = restrict

    def __call__(self, vectors: KeyedVectors) -> dict[str, float | None]:
        """The scores of vectors; None where one is no number, as for vectors that are all equal."""
        return {file.name: _finite(self._measure(vectors, file)[0]) for file in self._files}

    def coverage(self, vocabulary: Vocabulary) -> list[dict[str, object]]:
        """The entries of "evaluation" in compare.json.

        Raises EvaluationError where a file is missing or malformed, or covers nothing of the vocabulary.
        """
        # Any vectors do, and these cost least: what is covered depends on the words alone.
        numbers = np.arange(1, len(vocabulary) + 1, dtype=np.float32)
        vectors = np.stack([np.cos(numbers), np.sin(numbers)], axis=1)
        stand_in = KeyedVectors.from_arrays(vocabulary.words, vectors, vocabulary.counts)
        return [self._covered(stand_in, file) for file in self._files]

    def _covered(self, vectors: KeyedVectors, file: EvaluationFile) -> dict[str, object]:
        digest = sha256_of_file(file.path)
        _, covered, total = self._measure(vectors, file)
        return {
            "name": file.name,
            "kind": file.kind,
            "file": file.path.name,
            "sha256": digest,
            "covered": covered,
            "total": total,
        }

    def _measure(self, vectors: KeyedVectors, file: EvaluationFile) -> tuple[float, int, int]:
        """Score, covered and total."""
        if file.kind == "pairs":
            pairs = evaluate_pairs(vectors, file.path)
            return 100 * pairs.spearman.statistic, pairs.covered, pairs.total
        total = evaluate_analogies(vectors, file.path, restrict=self._restrict).total
        return 100 * total.accuracy, total.covered, total.total


def name_files(pairs: Sequence[Path], analogies: Sequence[Path]) -> tuple[EvaluationFile, ...]:
    """The files with a name each: that of the file without its ending, with -2, -3 … where it comes again.

    Bytes of a file's name that are no text are U+FFFD in it, as in compare.json.
    """
    found: dict[str, EvaluationFile] = {}
    for kind, paths in (("pairs", pairs), ("analogies", analogies)):
        for path in paths:
            stem = name = valid_text(path.stem)
            number = 1
            while name in found:
                number += 1
                name = f"{stem}-{number}"
            found[name] = EvaluationFile(name, kind, path)
    return tuple(found.values())


def files_of_folder(folder: Path) -> tuple[list[Path], list[Path]]:
    """Word pairs (``*.tsv``) and analogies (``*.txt`` that begin with a section) of a folder, sorted.

    Raises EvaluationError where there are none, or the folder or a file cannot be read.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.is_file())
        pairs = [path for path in found if path.suffix == ".tsv"]
        analogies = [path for path in found if path.suffix == ".txt" and _begins_a_section(path)]
    except FileNotFoundError as error:
        raise EvaluationError(f"no such folder: {folder}") from error
    except NotADirectoryError as error:
        raise EvaluationError(f"{folder} is no folder: give a file with --pairs or --analogies") from error
    except OSError as error:
        raise EvaluationError(f"cannot read {error.filename or folder}: {error.strerror or error}") from error
    if not (pairs or analogies):
        raise EvaluationError(f"{folder} has no evaluation files (*.tsv, *.txt): fetch some with scripts/fetch_data")
    return pairs, analogies


def _begins_a_section(path: Path) -> bool:
    with path.open("rb", buffering=0) as file:
        return file.read(1) == b":"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
