"""The prompt of ``w2v similar`` and ``w2v analogy``: a question a line, answered at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from w2v.cli.asked import Question, read_sum, split
from w2v.cli.line_editor import editing
from w2v.cli.options import print_table
from w2v.cli.queries import analogy_lists, neighbour_lists, sum_list, unknown_words
from w2v.cli.terminal_text import padded, printable, width
from w2v.errors import ConfigError, W2VError

if TYPE_CHECKING:
    from w2v.cli.asked import AskedWords
    from w2v.vectors.queries import Neighbours

_END = (":q", ":quit", ":exit")
# These end too, unless they are words of the vocabulary.
_END_WORDS = ("quit", "exit", "q")


def on_a_terminal() -> bool:
    """Whether somebody types questions and reads the answers."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def prompt_similar(words: AskedWords, topn: int, as_json: bool) -> None:
    """Answer lines of words, each with its own list, or of sums such as ``king -man +woman``."""

    def answer(line: str) -> None:
        tokens = split(words, line)
        if (asked := read_sum(words, tokens, typed=True)) is not None:
            _answer_sum(words, asked, topn, False, as_json)
            return
        known = words.found([word for word in tokens if word in words])
        _print(known, neighbour_lists(words.vectors, known, topn), as_json, heading=len(tokens) > 1)
        _refuse_unknown(words, tokens)

    _converse("similar", words, answer, "words, or king -man +woman")


def prompt_analogies(words: AskedWords, topn: int, cosmul: bool, as_json: bool) -> None:
    """Answer lines of three words (the first is to the second as the third is to what?), or of sums."""

    def answer(line: str) -> None:
        tokens = split(words, line)
        if (asked := read_sum(words, tokens, typed=True)) is not None:
            _answer_sum(words, asked, topn, cosmul, as_json)
            return
        if len(tokens) != 3:
            raise ConfigError(
                "three words: man king woman asks what is to woman as king is to man; or a sum: king -man +woman"
            )
        _refuse_unknown(words, tokens)
        a, b, c = words.found(tokens)
        _print([f"{b} - {a} + {c}"], analogy_lists(words.vectors, [(a, b, c)], topn, cosmul), as_json)

    _converse("analogy", words, answer, "three words: man king woman, or king -man +woman")


def _answer_sum(words: AskedWords, asked: Question, topn: int, cosmul: bool, as_json: bool) -> None:
    _refuse_unknown(words, asked.words)
    added, subtracted = words.found(asked.added), words.found(asked.subtracted)
    heading = " ".join([*([" + ".join(added)] if added else []), *(f"- {word}" for word in subtracted)])
    _print([heading], [sum_list(words, asked, topn, cosmul)], as_json)


def _converse(name: str, words: AskedWords, answer: Callable[[str], None], example: str) -> None:
    """Read lines and answer them until the end of input, a second Ctrl-C in a row, or a line that ends it."""
    vectors = words.vectors
    vectors.fill_norms()  # the first answer comes as fast as the others
    click.echo(
        f"{len(vectors):,} word{'s' * (len(vectors) != 1)}. Type {example}; Tab completes, Ctrl-D ends.", err=True
    )
    prompt = f"{name}> "
    interrupted = False
    with editing(name, vectors.index_to_key, prompt, signs=True):
        while True:
            try:
                line = _read(prompt)
                interrupted = False
                if line is None or line in _END or (line in _END_WORDS and line not in words):
                    return
                if line:
                    answer(line)
            except KeyboardInterrupt:
                click.echo(err=True)
                if interrupted:
                    raise
                interrupted = True
                click.echo("Ctrl-C again, or Ctrl-D, ends.", err=True)
            except W2VError as error:
                click.echo(printable(str(error)), err=True)


def _read(prompt: str) -> str | None:
    """A line without space around it; None at the end of input."""
    try:
        return input(prompt).strip()
    except EOFError:
        click.echo()  # the shell's prompt goes on a line of its own
        return None
    except UnicodeDecodeError as error:
        raise ConfigError("this line is not in the terminal's encoding") from error


def _refuse_unknown(words: AskedWords, asked: Sequence[str]) -> None:
    if (error := unknown_words(words, asked)) is not None:
        raise error


def _print(questions: Sequence[str], lists: Sequence[Neighbours], as_json: bool, heading: bool = True) -> None:
    """The list of each question, its numbers under one another, under a ``heading`` that repeats the question."""
    if as_json:
        rows = ((question, *pair) for question, pairs in zip(questions, lists, strict=True) for pair in pairs)
        print_table(("question", "word", "similarity"), rows, as_json=True)
        return
    shown = [[(printable(word), value) for word, value in pairs] for pairs in lists]
    broadest = max((width(word) for pairs in shown for word, _ in pairs), default=0)
    for question, pairs in zip(questions, shown, strict=True):
        if heading:
            click.echo(printable(question))
        for word, value in pairs:
            click.echo(f"  {padded(word, broadest)}  {value:7.4f}")
