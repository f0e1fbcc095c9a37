"""How well vectors agree with people: correlation on word pairs and accuracy on analogies."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from w2v.errors import EvaluationError
from w2v.vectors.correlation import Correlation, pearson, spearman
from w2v.vectors.queries import COSMUL_EPSILON
from w2v.vectors.search import normalise_rows
from w2v.vectors.spellings import Spellings

if TYPE_CHECKING:
    from w2v.vectors import KeyedVectors
    from w2v.vectors.device_rows import DeviceRows
    from w2v.vectors.host_rows import HostRows

# The vocabulary that analogies are asked over, as in the published figures.
DEFAULT_RESTRICT = 30_000
Question = tuple[str, str, str, str]


@dataclass(frozen=True)
class PairsResult:
    """Correlation of cosine similarities with people's scores of word pairs.

    ``covered`` of the ``total`` pairs have both words in the vocabulary.
    """

    pearson: Correlation
    spearman: Correlation
    covered: int
    total: int

    @property
    def oov_ratio(self) -> float:
        """Percentage of pairs that are not covered."""
        return 100 * (self.total - self.covered) / self.total


@dataclass(frozen=True)
class AnalogySection:
    """Questions (a, b, c, expected) of one section, by outcome; ``total`` counts the uncovered ones as well."""

    name: str
    correct: list[Question] = field(default_factory=list)
    incorrect: list[Question] = field(default_factory=list)
    total: int = 0

    @property
    def covered(self) -> int:
        """Questions that were asked: all four words are in the vocabulary."""
        return len(self.correct) + len(self.incorrect)

    @property
    def accuracy(self) -> float:
        """Fraction of the covered questions that were answered as expected; NaN where none is covered."""
        return len(self.correct) / self.covered if self.covered else math.nan

    @property
    def syntactic(self) -> bool:
        """Whether the section is about grammar: in questions-words those are called ``gram...``."""
        return self.name.startswith("gram")


@dataclass(frozen=True)
class AnalogiesResult:
    """Outcome by section, and of the semantic, the syntactic and all sections together."""

    sections: list[AnalogySection]

    @property
    def semantic(self) -> AnalogySection:
        """All sections that are not about grammar."""
        return _merged("semantic", [section for section in self.sections if not section.syntactic])

    @property
    def syntactic(self) -> AnalogySection:
        """All sections about grammar."""
        return _merged("syntactic", [section for section in self.sections if section.syntactic])

    @property
    def total(self) -> AnalogySection:
        """All sections."""
        return _merged("total", self.sections)


def evaluate_pairs(
    vectors: KeyedVectors,
    path: str | os.PathLike,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    restrict: int | None = None,
    case_insensitive: bool = True,
    dummy_for_unknown: bool = False,
    skip_malformed: bool = False,
) -> PairsResult:
    """Correlate cosine similarities with the scores in ``path``: two words and a number per line.

    Fields are separated by tabs, commas or spaces, found line by line unless ``delimiter`` says. Blank lines,
    lines that start with ``#`` and a heading in line 1 are passed over. Words are looked up among the first
    ``restrict``, by default without regard to case. A pair with an unknown word is left out, or has
    similarity 0 with ``dummy_for_unknown``. Raises EvaluationError naming the line that is malformed (unless
    ``skip_malformed``), and where fewer than two pairs are covered, since a correlation needs two.
    """
    lookup = _Lookup(vectors, restrict, case_insensitive)
    gold, known, total = [], [], 0
    first, second = [], []
    for left, right, score in _read_pairs(path, delimiter, encoding, skip_malformed):
        total += 1
        rows = lookup.row(left), lookup.row(right)
        covered = None not in rows
        if covered or dummy_for_unknown:
            gold.append(score)
            known.append(covered)
            first.append(rows[0] if covered else 0)
            second.append(rows[1] if covered else 0)
    if sum(known) < 2:
        raise EvaluationError(
            f"{path}: {sum(known)} of {total} pairs are in the vocabulary, and a correlation needs two: "
            "check the language and the case of the words"
        )
    left, right = (normalise_rows(vectors.vectors[rows]) for rows in (first, second))
    similarities = np.where(known, np.einsum("ij,ij->i", left, right), 0)
    gold = np.array(gold)
    return PairsResult(pearson(gold, similarities), spearman(gold, similarities), sum(known), total)


def evaluate_analogies(
    vectors: KeyedVectors,
    path: str | os.PathLike,
    *,
    restrict: int | None = DEFAULT_RESTRICT,
    case_insensitive: bool = True,
    method: str = "3CosAdd",
    encoding: str = "utf-8",
) -> AnalogiesResult:
    """Answer the questions in ``path`` (questions-words format) over the first ``restrict`` words.

    A line ``: name`` starts a section, the others hold a question a b c d: the word nearest to b - a + c,
    these three excluded, should be d. Questions with a word outside are left out. ``method``: ``3CosAdd`` or
    ``3CosMul``. Raises EvaluationError naming the line that is malformed, and where no question is covered.
    """
    sections = answer_analogies(vectors, path, restrict, case_insensitive, method, encoding)
    result = AnalogiesResult(sections)
    if result.total.covered == 0:
        raise EvaluationError(
            f"{path}: none of its {result.total.total} questions is in the vocabulary of {len(vectors):,} words: "
            "check the language, the case of the words and --restrict"
        )
    return result


def answer_analogies(
    vectors: KeyedVectors,
    path: str | os.PathLike,
    restrict: int | None,
    case_insensitive: bool,
    method: str = "3CosAdd",
    encoding: str = "utf-8",
    dummy_for_unknown: bool = False,
    skip_malformed: bool = False,
) -> list[AnalogySection]:
    """The sections of ``path`` with their outcome; see ``evaluate_analogies``.

    With ``dummy_for_unknown`` questions that are not covered count as answered wrong.
    """
    if method not in ("3CosAdd", "3CosMul"):
        raise EvaluationError(f"the method {method!r} is unknown: use 3CosAdd or 3CosMul")
    lookup = _Lookup(vectors, restrict, case_insensitive)
    sections: list[AnalogySection] = []
    totals: list[int] = []
    asked: list[tuple[int, Question, bool]] = []  # section, question, whether it is covered
    rows: list[list[int]] = []
    for name, question in _read_questions(path, encoding, skip_malformed):
        if question is None:
            sections.append(AnalogySection(name))
            totals.append(0)
            continue
        totals[-1] += 1
        question = tuple(map(lookup.fold, question))
        found = [lookup.row(word) for word in question]
        covered = None not in found
        if covered:
            rows.append(found)
        if covered or dummy_for_unknown:
            asked.append((len(sections) - 1, question, covered))
    with vectors.rows_to_search() as searched:
        hits = iter(_answer(searched, lookup, np.array(rows, np.intp).reshape(-1, 4), method).tolist())
    for section, question, covered in asked:
        outcome = sections[section].correct if covered and next(hits) else sections[section].incorrect
        outcome.append(question)
    return [
        AnalogySection(section.name, section.correct, section.incorrect, total)
        for section, total in zip(sections, totals, strict=True)
    ]


class _Lookup(Spellings):
    """The words of the first ``restrict`` rows, and those rows."""

    def __init__(self, vectors: KeyedVectors, restrict: int | None, case_insensitive: bool) -> None:
        words = vectors.index_to_key[:restrict]
        super().__init__(words, case_insensitive)
        self.vectors = vectors.vectors[: len(words)]


def _answer(rows: HostRows | DeviceRows, lookup: _Lookup, questions: np.ndarray, method: str) -> np.ndarray:
    """Which of the ``questions`` (Q, 4: rows of a, b, c, expected) are answered as expected; bool (Q,)."""
    hits = np.zeros(len(questions), bool)
    if not len(questions):
        return hits
    for start, scores in _scores(rows, lookup.vectors, questions, method):
        block = questions[start : start + len(scores)]
        asked = [
            (number, row)
            for number, question in enumerate(block[:, :3].tolist())
            for word in question
            for row in (word, *lookup.spellings.get(word, ()))
        ]
        rows.hide(scores, *np.array(asked).T)
        best = rows.to_host(scores.argmax(axis=1))
        hits[start : start + len(block)] = lookup.representative[best] == block[:, 3]
    return hits


def _scores(
    rows: HostRows | DeviceRows, vectors: np.ndarray, questions: np.ndarray, method: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Scores (q, V) of every word for blocks of questions, each with its first question."""
    a, b, c = (normalise_rows(vectors[questions[:, column]]) for column in range(3))
    if method == "3CosAdd":
        # The length of the sum changes no order, so that it needs no scaling.
        yield from rows.blocks(b - a + c, len(vectors))
        return
    blocks = (rows.blocks(points, len(vectors)) for points in (a, b, c))
    for (start, of_a), (_, of_b), (_, of_c) in zip(*blocks, strict=True):
        yield start, (1 + of_b) * (1 + of_c) / 4 / ((1 + of_a) / 2 + COSMUL_EPSILON)


def _read_pairs(
    path: str | os.PathLike, delimiter: str | None, encoding: str, skip_malformed: bool
) -> Iterator[tuple[str, str, float]]:
    for number, line in _lines(path, encoding):
        fields = _split_pair(line, delimiter)
        score = _finite(fields[2]) if len(fields) >= 3 else None
        if score is not None and fields[0] and fields[1]:
            yield fields[0], fields[1], score
        elif not skip_malformed and not (number == 1 and len(fields) >= 3):
            raise EvaluationError(f"{path}, line {number}: expected two words and a number, not {line[:60]!r}")


def _split_pair(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        delimiter = "\t" if "\t" in line else "," if line.count(",") >= 2 else None
    return [part.strip() for part in line.split(delimiter)]


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_questions(
    path: str | os.PathLike, encoding: str, skip_malformed: bool
) -> Iterator[tuple[str, Question | None]]:
    """(name, None) where a section starts and (name of the section, question) for each question."""
    name = None
    for number, line in _lines(path, encoding):
        if line.startswith(":"):
            name = line[1:].strip()
            yield name, None
            continue
        words = line.split()
        if name is None:
            raise EvaluationError(f"{path}, line {number}: a question before the first section (': name')")
        if len(words) == 4:
            yield name, tuple(words)
        elif not skip_malformed:
            raise EvaluationError(f"{path}, line {number}: expected four words, not {line[:60]!r}")


def _lines(path: str | os.PathLike, encoding: str) -> Iterator[tuple[int, str]]:
    """Numbered lines of ``path`` without white space around them; blank lines and comments left out."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise EvaluationError(f"no such file: {path}") from error
    except OSError as error:
        raise EvaluationError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}, byte {error.start}: not {encoding}: is it a text file?") from error
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line


def _merged(name: str, sections: list[AnalogySection]) -> AnalogySection:
    return AnalogySection(
        name,
        [question for section in sections for question in section.correct],
        [question for section in sections for question in section.incorrect],
        sum(section.total for section in sections),
    )
