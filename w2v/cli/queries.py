"""What the commands that read vectors share: loading with warnings on stderr, their options, and unknown words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from w2v.cli.asked import SIGNS
from w2v.cli.options import combine
from w2v.errors import ConfigError, VocabularyError

if TYPE_CHECKING:
    from w2v.cli.asked import AskedWords, Question
    from w2v.vectors import KeyedVectors
    from w2v.vectors.queries import Neighbours

# Spellings are compared with this many of the most frequent words: enough to find typing errors at once.
_COMPARED = 20_000
# So many different unknown words are named.
_NAMED = 10
# From this many questions on, one matrix product is faster on the CPU than a product for each: it needs a scaled copy
# of all vectors.
_MANY = 17

file_option = click.option(
    "--file", "files", multiple=True, metavar="FILE", type=click.Path(path_type=Path, allow_dash=True),
    help="Answer the questions of FILE, - for standard input; repeatable.",
)  # fmt: skip
ignore_case_option = click.option(
    "--ignore-case", is_flag=True,
    help="Look words up without regard to case, as `w2v eval` does: of several spellings the most frequent is meant.",
)  # fmt: skip
approximate_options = combine(
    click.option(
        "--ann", "approximate", is_flag=True,
        help="Search approximately (extra: ann), for vocabularies in the millions; the recall is printed.",
    ),
    click.option(
        "--ann-recall", "recall", type=click.FloatRange(0, 1, min_open=True), metavar="SHARE",
        help="The share of the nearest words that --ann should find.  [default: 0.95]",
    ),
)  # fmt: skip


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print warnings of this project as one line each on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: click.echo(f"w2v: warning: {message}", err=True)
        yield


def open_vectors(path: Path, limit: int | None = None, device: str = "cpu") -> KeyedVectors:
    """The vectors of a model folder or a vector file, searched on ``device``; repairs are reported on stderr."""
    from w2v.vectors import load_vectors

    if device != "cpu":
        from w2v.backends import choose_device

        device = choose_device(device)  # said before a long file is read
    with warnings_as_lines():
        return load_vectors(path, limit).search_on(device)


def refuse_contradictions(approximate: bool, recall: float | None, device: str, words: bool, files: bool) -> None:
    """Raise click.UsageError where options of a question contradict one another."""
    if words and files:
        raise click.UsageError("give words or --file, not both")
    if approximate and device == "cuda":
        raise click.UsageError("--ann searches on the CPU: leave out --ann, or --device cuda")
    if recall is not None and not approximate:
        raise click.UsageError("--ann-recall is for --ann: give both, or neither")


def open_searched(
    path: Path, limit: int | None, device: str, approximate: bool, recall: float | None, topn: int
) -> KeyedVectors:
    """``open_vectors``, searched approximately where that is asked for: what it says goes to stderr."""
    if not approximate:
        return open_vectors(path, limit, device)
    from w2v.errors import require

    require("faiss", "ann", "approximate search")  # said before a long file is read
    options = {} if recall is None else {"recall": recall}
    return open_vectors(path, limit).search_approximately(
        topn=topn, report=lambda line: click.echo(line, err=True), **options
    )


def tell_of_one_word(vectors: KeyedVectors) -> None:
    """Say on stderr where ``vectors`` are of one word, which has no neighbours."""
    if len(vectors) == 1:
        click.echo(f"{vectors.index_to_key[0]!r} is the only word: there are no others to find", err=True)


def neighbour_lists(vectors: KeyedVectors, words: Sequence[str], topn: int) -> list[Neighbours]:
    """The ``topn`` neighbours of each of ``words``, in whichever way is faster."""
    if len(words) >= _MANY or vectors.search_device != "cpu":
        return vectors.most_similar_batch(words, topn)
    return [vectors.most_similar(word, topn=topn) for word in words]


def answer_lists(words: AskedWords, questions: Sequence[Question], topn: int) -> list[Neighbours]:
    """The ``topn`` answers of each of the ``questions``, whose words are known: words together, sums one by one."""
    plain = words.found([question.added[0] for question in questions if len(question.words) == 1])
    lists = iter(neighbour_lists(words.vectors, plain, topn) if plain else ())
    return [next(lists) if len(question.words) == 1 else sum_list(words, question, topn) for question in questions]


def sum_list(words: AskedWords, question: Question, topn: int, cosmul: bool = False) -> Neighbours:
    """The ``topn`` words nearest to a sum of known words.

    Raises ConfigError where 3CosMul has nothing to begin with.
    """
    if cosmul and not question.added:
        raise ConfigError("3CosMul needs a word that is added: begin with one")
    ask = words.vectors.most_similar_cosmul if cosmul else words.vectors.most_similar
    return ask(words.found(question.added), words.found(question.subtracted), topn=topn)


def analogy_lists(
    vectors: KeyedVectors, questions: Sequence[Sequence[str]], topn: int, cosmul: bool
) -> list[Neighbours]:
    """The ``topn`` answers of each question (a, b, c), in whichever way is faster."""
    if len(questions) >= _MANY or (len(questions) > 1 and vectors.search_device != "cpu"):
        return vectors.analogies_batch(questions, topn, method="3CosMul" if cosmul else "3CosAdd")
    ask = vectors.most_similar_cosmul if cosmul else vectors.most_similar
    return [ask([b, c], [a], topn=topn) for a, b, c in questions]


class UnknownWords:
    """Words without a vector: the first of them by name, the others by number."""

    def __init__(self, words: AskedWords) -> None:
        """None so far."""
        self._words = words
        self._named: dict[str, None] = {}
        self._others = 0

    def all_known(self, words: Sequence[str]) -> bool:
        """Whether all ``words`` have a vector; those that have none are noted."""
        unknown = [word for word in words if word not in self._words]
        for word in unknown:
            if len(self._named) < _NAMED:
                self._named[word] = None
            elif word not in self._named:
                self._others += 1
        return not unknown

    def error(self) -> VocabularyError | None:
        """The error that tells what was noted, with close spellings; None where nothing was."""
        if not self._named:
            return None
        if len(self._named) == 1:
            (word,) = self._named
            hint = _hint(self._words, word)
            return VocabularyError(f"{word!r} is not in the vocabulary{hint and ': ' + hint}")
        hints = [(word, _hint(self._words, word)) for word in self._named]
        text = ", ".join(f"{word!r} ({hint})" if hint else repr(word) for word, hint in hints)
        others = f"; and {self._others:,} times another unknown word" if self._others else ""
        advice = "; --ignore-case finds words in any case" if any(map(self._in_another_case, self._named)) else ""
        return VocabularyError(f"not in the vocabulary: {text}{others}{advice}")

    def _in_another_case(self, word: str) -> bool:
        return not self._words.ignore_case and bool(_same_but_for_case(self._words, word))


def unknown_words(words: AskedWords, asked: Sequence[str]) -> VocabularyError | None:
    """The error that names those ``asked`` that have no vector, with close spellings; None if all have."""
    unknown = UnknownWords(words)
    unknown.all_known(list(dict.fromkeys(asked)))
    return unknown.error()


def _same_but_for_case(words: AskedWords, word: str) -> list[str]:
    return [other for other in dict.fromkeys((word.lower(), word.upper(), word.capitalize())) if other in words]


def _hint(words: AskedWords, word: str) -> str:
    from difflib import get_close_matches

    if word[:1] in SIGNS and word[1:] in words:
        return f"a sum takes another word, as in other {word}"
    same = _same_but_for_case(words, word)
    close = same or get_close_matches(word, words.vectors.index_to_key[:_COMPARED], n=3)
    return f"did you mean {', '.join(close)}?" if close else ""
