"""``w2v similar``: the nearest neighbours of words."""

from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, model_argument, print_table, search_device_option


@click.command()
@model_argument
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option("-n", "--topn", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours of each.")
@limit_option
@search_device_option
@json_option
def similar(model: Path, words: tuple[str, ...], topn: int, limit: int | None, device: str, as_json: bool) -> None:
    """Print the nearest neighbours of each WORD.

    MODEL is a model folder or a vector file. Each word gets its own list, by falling cosine similarity. Words
    without a vector are reported on stderr after the lists of the others, and make the exit status 1.
    """
    from w2v.cli.queries import open_vectors, unknown_words

    vectors = open_vectors(model, limit, device)
    known = [word for word in words if word in vectors]
    if known:
        # Many words are one matrix product; for a few, scaling a copy of all vectors would take longer on the CPU.
        many = len(known) > 16 or vectors.search_device != "cpu"
        lists = (
            vectors.most_similar_batch(known, topn) if many else [vectors.most_similar(w, topn=topn) for w in known]
        )
        rows = [(word, *pair) for word, pairs in zip(known, lists, strict=True) for pair in pairs]
        print_table(("word", "neighbour", "similarity"), rows, as_json)
    if (error := unknown_words(vectors, words)) is not None:
        raise error
