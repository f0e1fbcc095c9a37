"""The prompt of ``w2v similar`` and ``w2v analogy``: a question a line, answered at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from w2v.cli.batch import split
from w2v.cli.line_editor import editing
from w2v.cli.options import print_table
from w2v.cli.queries import analogy_lists, neighbour_lists, unknown_words
from w2v.cli.terminal_text import padded, printable, width
from w2v.errors import ConfigError, W2VError

if TYPE_CHECKING:
    from w2v.vectors import KeyedVectors
    from w2v.vectors.queries import Neighbours

_END = (":q", ":quit", ":exit")
# These end too, unless they are words of the vocabulary.
_END_WORDS = ("quit", "exit", "q")


def on_a_terminal() -> bool:
    """Whether somebody types questions and reads the answers."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def prompt_similar(vectors: KeyedVectors, topn: int, as_json: bool) -> None:
    """Answer lines of words, each with its own list, or of sums such as ``king -man +woman``."""

    def answer(line: str) -> None:
        sides = expression(vectors, line)
        if sides is not None:
            positive, negative = sides
            _refuse_unknown(vectors, positive + negative)
            heading = " ".join([" + ".join(positive), *(f"- {word}" for word in negative)])
            _print([heading], [vectors.most_similar(positive, negative, topn=topn)], as_json)
            return
        words = split(vectors, line)
        known = [word for word in words if word in vectors]
        _print(known, neighbour_lists(vectors, known, topn), as_json, heading=len(words) > 1)
        _refuse_unknown(vectors, words)

    _converse("similar", vectors, answer, "words, or king -man +woman", signs=True)


def prompt_analogies(vectors: KeyedVectors, topn: int, cosmul: bool, as_json: bool) -> None:
    """Answer lines of three words: the first is to the second as the third is to what?"""

    def answer(line: str) -> None:
        words = split(vectors, line)
        if len(words) != 3:
            raise ConfigError("three words: man king woman asks what is to woman as king is to man")
        _refuse_unknown(vectors, words)
        a, b, c = words
        _print([f"{b} - {a} + {c}"], analogy_lists(vectors, [words], topn, cosmul), as_json)

    _converse("analogy", vectors, answer, "three words: man king woman")


def expression(vectors: KeyedVectors, line: str) -> tuple[list[str], list[str]] | None:
    """(added, subtracted) words of a line such as ``king -man +woman``; None where it is no sum.

    A sign stands before its word or apart from it. It is one only behind the first word, and where what follows is
    no unknown word, so that words that begin with a sign can be asked about.
    """
    tokens = split(vectors, line)
    sides: dict[str, list[str]] = {"+": tokens[:1], "-": []}
    sign, signs = "", 0
    for position, token in enumerate(tokens[1:], 1):
        if not sign and token in sides and position + 1 < len(tokens):
            sign, signs = token, signs + 1
        elif sign:
            sides[sign].append(token)
            sign = ""
        elif len(token) > 1 and token[0] in sides and (token[1:] in vectors or token not in vectors):
            sides[token[0]].append(token[1:])
            signs += 1
        else:
            sides["+"].append(token)
    return (sides["+"], sides["-"]) if signs else None


def _converse(
    name: str, vectors: KeyedVectors, answer: Callable[[str], None], example: str, signs: bool = False
) -> None:
    """Read lines and answer them until the end of input, a second Ctrl-C in a row, or a line that ends it."""
    vectors.fill_norms()  # the first answer comes as fast as the others
    click.echo(f"{len(vectors)} words. Type {example}; Tab completes, Ctrl-D ends.", err=True)
    prompt = f"{name}> "
    interrupted = False
    with editing(name, vectors.index_to_key, prompt, signs):
        while True:
            try:
                line = _read(prompt)
                interrupted = False
                if line is None or line in _END or (line in _END_WORDS and line not in vectors):
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


def _refuse_unknown(vectors: KeyedVectors, words: Sequence[str]) -> None:
    if (error := unknown_words(vectors, words)) is not None:
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
