"""``w2v vocab``: the words of a text and their counts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from w2v.cli.options import corpus_argument, refuse_same_file, threads_option, vocabulary_options


@click.command()
@corpus_argument
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="VOCAB.tsv",
    help="File to write; - for standard output.",
)  # fmt: skip
@vocabulary_options
@threads_option
def vocab(
    corpus: tuple[str, ...],
    output: Path,
    min_count: int,
    max_vocab_size: int | None,
    max_final_vocab: int | None,
    lowercase: bool,
    threads: int | None,
) -> None:
    """Count the words of CORPUS and write those that are kept.

    CORPUS: text files, folders, or - for standard input; .gz .bz2 .xz .zst are decompressed. VOCAB.tsv gets one
    line per word, word<TAB>count, the most frequent first; `w2v train --vocab` takes it.
    """
    from w2v.atomic import check_file
    from w2v.cli.text_progress import TextBar
    from w2v.corpus import CorpusOptions, count_words

    printed = str(output) == "-"
    if not printed:
        refuse_same_file(output, corpus)
        check_file(output, make_parents=False)
    options = CorpusOptions(min_count, max_vocab_size, max_final_vocab, lowercase)
    shown = sys.stderr.isatty()
    with TextBar(corpus, shown) as bar:
        report = bar.write if shown else lambda message: click.echo(message, err=True)
        vocabulary, totals = count_words(corpus, options, threads=threads, report=report, progress=bar.update)
    if printed:
        vocabulary.write(click.get_binary_stream("stdout"))
    else:
        vocabulary.save(output)
    seconds = sum(totals.seconds.values())
    where = "written" if printed else f"written to {output}"
    click.echo(f"{len(vocabulary):,} word{'s' * (len(vocabulary) != 1)} {where} ({seconds:.1f} s)", err=True)
