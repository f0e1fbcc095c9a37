"""``w2v analogy``: A is to B as C is to what?"""

from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, model_argument, print_table, search_device_option


@click.command()
@model_argument
@click.argument("a")
@click.argument("b")
@click.argument("c")
@click.option("-n", "--topn", type=click.IntRange(min=1), default=10, show_default=True, help="Answers.")
@click.option("--cosmul", is_flag=True, help="Rank by 3CosMul in place of 3CosAdd.")
@limit_option
@search_device_option
@json_option
def analogy(
    model: Path,
    a: str,
    b: str,
    c: str,
    topn: int,
    cosmul: bool,
    limit: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Print the words nearest to B - A + C.

    `w2v analogy MODEL man king woman` asks for queen: A is to B as C is to the answer. MODEL is a model
    folder or a vector file. The three words themselves are left out.
    """
    from w2v.cli.queries import open_vectors, unknown_words

    vectors = open_vectors(model, limit, device)
    if (error := unknown_words(vectors, (a, b, c))) is not None:
        raise error
    ask = vectors.most_similar_cosmul if cosmul else vectors.most_similar
    print_table(("word", "score" if cosmul else "similarity"), ask([b, c], [a], topn=topn), as_json)
