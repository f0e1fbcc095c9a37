"""Questions in files and pipes: read line by line, answered a block at a time, printed as they are answered."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from w2v.cli.asked import Question, read_sum, split, split_at_space
from w2v.cli.options import print_table
from w2v.cli.queries import UnknownWords, analogy_lists, answer_lists
from w2v.errors import CorpusError

if TYPE_CHECKING:
    from w2v.cli.asked import AskedWords

# Answers held at once. A block should also be long: for each the vectors are scaled anew.
_ANSWERS_AT_ONCE = 160_000
_Item = TypeVar("_Item")
_STDIN = Path("-")


def check_files(paths: Iterable[Path]) -> None:
    """Raise CorpusError where one of the files cannot be opened: said before the vectors are read."""
    for path in paths:
        if path != _STDIN and not path.is_fifo():
            _open(path).close()


def print_similar(words: AskedWords, paths: Sequence[Path], topn: int, as_json: bool) -> None:
    """Print the neighbours of every word in ``paths``; a line may hold several, one with spaces, or a sum.

    Raises VocabularyError at the end where words have no vector, and CorpusError where a file cannot be read.
    """
    print_answers(words, (question for _, line in _lines(paths) for question in _asked(words, line)), topn, as_json)


def print_answers(words: AskedWords, questions: Iterable[Question], topn: int, as_json: bool) -> None:
    """Print the answers of ``questions``; raises VocabularyError at the end where words of them have no vector."""
    unknown = UnknownWords(words)
    known = (question for question in questions if unknown.all_known(question.words))
    rows = (
        (question.text, *pair)
        for block in _blocks(known, topn)
        for question, pairs in zip(block, answer_lists(words, block, topn), strict=True)
        for pair in pairs
    )
    print_table(("word", "neighbour", "similarity"), rows, as_json)
    _raise(unknown)


def print_analogies(words: AskedWords, paths: Sequence[Path], topn: int, cosmul: bool, as_json: bool) -> None:
    """Print the answers of every question in ``paths``, of which each line is one (see ``_questions``).

    Raises as ``print_similar`` does, and CorpusError naming the line that is malformed.
    """
    unknown = UnknownWords(words)
    questions = (question for question in _questions(paths) if unknown.all_known(question))
    rows = (
        (*question, *pair)
        for block in _blocks(questions, topn)
        for question, pairs in zip(
            block, analogy_lists(words.vectors, [words.found(each) for each in block], topn, cosmul), strict=True
        )
        for pair in pairs
    )
    print_table(("a", "b", "c", "word", "score" if cosmul else "similarity"), rows, as_json)
    _raise(unknown)


def _asked(words: AskedWords, line: str) -> list[Question]:
    """The words of a line, or the sum that it is."""
    tokens = split(words, line)
    asked = read_sum(words, tokens)
    return [Question(token, [token]) for token in tokens] if asked is None else [asked]


def _questions(paths: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    """The first three words of each line; a fourth, the expected answer in questions-words.txt, is passed over.

    So are empty lines, and those that begin with ``:`` (sections) or ``#`` (comments).
    """
    for place, line in _lines(paths):
        words = split_at_space(line)
        if not words or words[0][0] in ":#":
            continue
        if len(words) not in (3, 4):
            raise CorpusError(
                f"{place}: expected three words, or four of which the last is passed over: {line[:60]!r}"
            )
        yield tuple(words[:3])


def _lines(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """(place for messages, line without its end) of each line; bytes that are not UTF-8 become U+FFFD."""
    for path in paths:
        name = "standard input" if path == _STDIN else str(path)
        stream = sys.stdin.buffer if path == _STDIN else _open(path)
        try:
            for number, line in enumerate(stream, 1):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                yield f"{name}, line {number}", text.removeprefix("\ufeff") if number == 1 else text
        except OSError as error:
            raise CorpusError(f"cannot read {name}: {error.strerror or error}") from error
        finally:
            if path != _STDIN:
                stream.close()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise CorpusError(f"no such file: {path}") from None
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from None


def _blocks(items: Iterable[_Item], topn: int) -> Iterator[list[_Item]]:
    items = iter(items)
    while block := list(islice(items, max(1, _ANSWERS_AT_ONCE // topn))):
        yield block


def _raise(unknown: UnknownWords) -> None:
    if (error := unknown.error()) is not None:
        raise error
