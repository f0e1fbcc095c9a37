"""``w2v similar``: the nearest neighbours of words."""

from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, model_argument, print_table, search_device_option
from w2v.cli.queries import approximate_options, file_option


@click.command()
@model_argument
@click.argument("words", nargs=-1, metavar="[WORD...]")
@click.option("-n", "--topn", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours of each.")
@file_option
@approximate_options
@limit_option
@search_device_option
@json_option
def similar(
    model: Path,
    words: tuple[str, ...],
    topn: int,
    files: tuple[Path, ...],
    approximate: bool,
    recall: float | None,
    limit: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Print the nearest neighbours of each WORD.

    MODEL is a model folder or a vector file. Each word gets its own list, by falling cosine similarity. Words
    without a vector are reported on stderr after the lists of the others, and make the exit status 1.

    Without a WORD, a terminal gets a prompt, where `king -man +woman` works too; otherwise the words are read from
    standard input, or from each FILE.
    """
    from w2v.cli.batch import check_files, print_similar
    from w2v.cli.prompt import on_a_terminal, prompt_similar
    from w2v.cli.queries import neighbour_lists, open_searched, refuse_contradictions, unknown_words

    refuse_contradictions(approximate, recall, device, bool(words), bool(files))
    check_files(files)
    vectors = open_searched(model, limit, device, approximate, recall, topn)
    if not (words or files) and on_a_terminal():
        prompt_similar(vectors, topn, as_json)
        return
    if not words:
        print_similar(vectors, files or (Path("-"),), topn, as_json)
        return
    known = [word for word in words if word in vectors]
    if known:
        lists = neighbour_lists(vectors, known, topn)
        rows = [(word, *pair) for word, pairs in zip(known, lists, strict=True) for pair in pairs]
        print_table(("word", "neighbour", "similarity"), rows, as_json)
    if (error := unknown_words(vectors, words)) is not None:
        raise error
