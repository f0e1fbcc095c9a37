"""``w2v phrases``: join the words of a text that belong together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from w2v.cli.options import corpus_argument, refuse_same_file, threads_option

if TYPE_CHECKING:
    from w2v.phrases import PhraseTotals


@click.command()
@corpus_argument
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Text to write, compressed when it ends in .gz .bz2 .xz .zst; - for standard output.",
)
@click.option(
    "--scoring",
    type=click.Choice(["default", "npmi", "word2phrase"]),
    default="default",
    show_default=True,
    help="How a pair is scored: default and npmi as gensim's Phrases, word2phrase as word2phrase.c.",
)
@click.option(
    "--threshold",
    "-threshold",
    type=float,
    help="Join pairs that score more than this.  [default: 10; npmi (-1 to 1): 0.5; word2phrase: 100]",
)
@click.option(
    "--min-count",
    "-min-count",
    type=int,
    default=5,
    show_default=True,
    help="Taken off the count of a pair; with npmi, ignore pairs that occur less often.",
)
@click.option("--delimiter", default="_", show_default=True, help="What joins the words of a phrase.")
@click.option(
    "--connector-words",
    default="none",
    show_default=True,
    metavar="none|english|FILE",
    help="Words that may stand within a phrase, never at its ends (bank_of_america).",
)
@click.option(
    "--passes",
    type=int,
    default=1,
    show_default=True,
    help="Run again over the result, so that longer phrases arise.",
)
@click.option("--lowercase", is_flag=True, help="Lower-case the text (Unicode).")
@click.option(
    "--max-vocab-size",
    type=int,
    default=40_000_000,
    show_default=True,
    help="Bound the words and pairs held while counting: rare ones are pruned.",
)
@click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path),
    metavar="FILE.tsv",
    help="Write the phrases found: phrase, count, score, by falling score.",
)
@threads_option
def phrases(
    corpus: tuple[str, ...],
    output: Path,
    scoring: str,
    threshold: float | None,
    min_count: int,
    delimiter: str,
    connector_words: str,
    passes: int,
    lowercase: bool,
    max_vocab_size: int,
    list_file: Path | None,
    threads: int | None,
) -> None:
    """Join the words of CORPUS that occur together more often than by chance.

    CORPUS: text files, folders, or - for standard input; .gz .bz2 .xz .zst are decompressed. One sentence per line;
    lines stay as they are but for the white space within phrases, which becomes the delimiter: new york → new_york.
    """
    from w2v.phrases import PhraseOptions, join_phrases
    from w2v.phrases.connectors import read_connector_words

    _check_files(corpus, output, list_file)
    options = PhraseOptions(
        scoring,
        threshold,
        min_count,
        delimiter,
        read_connector_words(connector_words),
        max_vocab_size,
        passes,
        lowercase,
    )
    shown = sys.stderr.isatty()
    with _list_writer(list_file) as write_list:
        totals = join_phrases(
            corpus,
            output,
            options,
            threads=threads,
            keep_list=list_file is not None,
            report=_report,
            progress=_bars(shown),
            finished=write_list,
        )
    click.echo(
        f"{totals.phrases:,} phrases of {totals.pairs:,} pairs; {totals.words:,} words -> {totals.words_after:,}; "
        f"{'written' if str(output) == '-' else f'saved to {output}'} ({totals.seconds:.1f} s)",
        err=True,
    )


def _check_files(corpus: Sequence[str], output: Path, list_file: Path | None) -> None:
    """Raise where a file cannot be written, or would replace an input or the other one."""
    from w2v.atomic import check_file

    if str(output) != "-":
        refuse_same_file(output, corpus)
    if list_file is None:
        return
    refuse_same_file(list_file, corpus)
    check_file(list_file, make_parents=False)
    if list_file.resolve() == output.resolve():
        raise click.UsageError(f"--list {list_file} is the output as well: choose another file")


def _report(message: str) -> None:
    """A line on stderr, above a bar if there is one."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


def _bars(shown: bool):  # noqa: ANN202 (w2v.phrases.join.Progress, whose import can wait)
    """A bar for each pass, over both readings of its text."""
    from w2v.cli.text_progress import TextBar

    @contextmanager
    def bar(inputs: Sequence[str]) -> Iterator[Callable[[int], None]]:
        with TextBar(inputs, shown) as text_bar:
            yield text_bar.update

    return bar


@contextmanager
def _list_writer(path: Path | None) -> Iterator[Callable[[PhraseTotals], None]]:
    """What writes the list of phrases, which gets its name ``path`` at the end: after the text, or neither does."""
    if path is None:
        yield lambda totals: None
        return
    from w2v.atomic import atomic_file

    with atomic_file(path, make_parents=False) as temporary:
        yield partial(_write_list, path, temporary)


def _write_list(path: Path, temporary: Path, totals: PhraseTotals) -> None:
    """Write phrase<TAB>count<TAB>score lines under a header line; errors name ``path``."""
    from w2v.atomic import write_failure

    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write("phrase\tcount\tscore\n")
            file.writelines(f"{text}\t{count}\t{score:.6g}\n" for text, count, score in totals.listed())
    except OSError as error:
        raise write_failure(path, error) from None
