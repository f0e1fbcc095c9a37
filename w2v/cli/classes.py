"""``w2v classes``: words divided into classes of similar ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from w2v.cli.options import json_option, limit_option, model_argument, print_table, refuse_same_file

if TYPE_CHECKING:
    from w2v.vectors.clusters import WordClasses

# What ends a cell or a line of the table.
_CELL_END = re.compile(r"[\t\n\r]")
_STDOUT = Path("-")


@click.command()
@model_argument
@click.option("-n", "--classes", "count", type=click.IntRange(min=1), required=True, help="Number of classes.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", default="-",
    help="Write here.  [default: -, standard output]",
)  # fmt: skip
@click.option(
    "--sort",
    type=click.Choice(["word", "class"]),
    default="word",
    show_default=True,
    help="Order of the rows: as in MODEL, or class by class with the words nearest to the centre first.",
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Where the centres begin.")
@limit_option
@json_option
def classes(model: Path, count: int, output: Path, sort: str, seed: int, limit: int | None, as_json: bool) -> None:
    """Divide the words into N classes by the directions of their vectors.

    Spherical k-means, word2vec.c's -classes. MODEL is a model folder or a vector file. Prints each word and the
    number of its class; class 0 is that of the first word. A vector of zeros has no direction, and class -1.
    """
    from w2v.atomic import check_file
    from w2v.cli.queries import open_vectors, warnings_as_lines
    from w2v.vectors.clusters import cluster_words
    from w2v.vectors.words import writable_words

    if output != _STDOUT:
        refuse_same_file(output, [model])
        check_file(output, make_parents=False)
    vectors = open_vectors(model, limit)
    begin = perf_counter()
    found = cluster_words(vectors.vectors, count, seed)
    seconds = perf_counter() - begin
    with warnings_as_lines():
        words = vectors.index_to_key if as_json else writable_words(vectors.index_to_key, _CELL_END, empty=True)
    rows = found.by_class().tolist() if sort == "class" else range(len(words))
    labels = found.labels.tolist()
    with _printed_to(output):
        print_table(("word", "class"), ((words[row], labels[row]) for row in rows), as_json)
    for line in _summary(found, seconds):
        click.echo(line, err=True)


@contextmanager
def _printed_to(output: Path) -> Iterator[None]:
    """Let what is printed inside replace the file ``output`` at the end; ``-`` leaves it on stdout."""
    if output == _STDOUT:
        yield
        return
    from w2v.atomic import atomic_file

    with (
        atomic_file(output, make_parents=False) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as stream,
        redirect_stdout(stream),
    ):
        yield


def _summary(found: WordClasses, seconds: float) -> Iterator[str]:
    """What to say about the classes, a line each."""
    sizes = found.sizes
    classes, words = len(sizes), int(sizes.sum())
    yield (
        f"{classes:,} class{'es' * (classes != 1)} of {words:,} word{'s' * (words != 1)}: mean cosine to the centre "
        f"{found.mean_similarity:.4f}, largest class {sizes.max():,}, smallest {sizes.min():,} ({seconds:.1f} s)"
    )
    left_out = len(found.labels) - words
    if left_out:
        have = "word has" if left_out == 1 else "words have"
        yield f"{left_out:,} {have} a vector of zeros, which no class is near to: class -1"
