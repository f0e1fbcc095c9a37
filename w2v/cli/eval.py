"""``w2v eval``: correlation with people's scores of word pairs, and accuracy on analogies."""

from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, model_argument, print_table, search_device_option

_File = click.Path(path_type=Path)
_HEADER = ("file", "measure", "section", "score", "covered", "total")


@click.command("eval")
@model_argument
@click.option("--pairs", multiple=True, type=_File, metavar="FILE", help="Word pairs with scores; repeatable.")
@click.option("--analogies", multiple=True, type=_File, metavar="FILE", help="Questions in sections; repeatable.")
@click.option(
    "--restrict", type=click.IntRange(min=1), default=30000, show_default=True,
    help="Ask analogies over this many of the most frequent words.",
)  # fmt: skip
@limit_option
@search_device_option
@json_option
def evaluate(
    model: Path,
    pairs: tuple[Path, ...],
    analogies: tuple[Path, ...],
    restrict: int,
    limit: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Compare vectors with people's judgement.

    MODEL is a model folder or a vector file. Word pairs (two words and a score per line) give Spearman's rank
    correlation x 100; analogies (questions-words format) the percentage of questions that b - a + c answers,
    per section, for the semantic and the syntactic ones, and in total. Words are compared without regard to
    case. "covered" of the "total" pairs or questions have all their words in the vocabulary; only these
    count.
    """
    from w2v.cli.queries import open_vectors
    from w2v.evaluation import evaluate_analogies, evaluate_pairs

    if not (pairs or analogies):
        raise click.UsageError("nothing to evaluate: give --pairs FILE or --analogies FILE")
    vectors = open_vectors(model, limit, device)
    rows = []
    for path in pairs:
        result = evaluate_pairs(vectors, path)
        rows.append((path.name, "spearman", None, 100 * result.spearman.statistic, result.covered, result.total))
    for path in analogies:
        outcome = evaluate_analogies(vectors, path, restrict=restrict)
        for part in (*outcome.sections, outcome.semantic, outcome.syntactic, outcome.total):
            score = 100 * part.accuracy if part.covered else None
            rows.append((path.name, "analogies", part.name, score, part.covered, part.total))
    print_table(_HEADER, rows, as_json)
