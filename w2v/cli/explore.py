"""``w2v explore``: a page to look at vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from w2v.cli.options import limit_option, model_argument, print_table, refuse_same_file

if TYPE_CHECKING:
    from w2v.vectors import KeyedVectors

_Path = click.Path(path_type=Path)
# What each projection takes for 20,000 words of 100 dimensions; PCA is not worth a line.
_SLOW = {"umap": "UMAP", "tsne": "t-SNE"}


@click.command()
@model_argument
@click.argument("other", metavar="[MODEL2]", required=False, type=_Path)
@click.option("-o", "--output", required=True, metavar="PAGE.html", type=_Path, help="The page to write.")
@click.option(
    "--words", type=click.IntRange(min=3), default=20_000, show_default=True,
    help="How many words, the most frequent ones.",
)  # fmt: skip
@click.option(
    "--projection", type=click.Choice(["pca", "umap", "tsne"]), default="pca", show_default=True,
    help="How words get their places; umap and tsne take minutes, and the extra 'map'.",
)  # fmt: skip
@click.option("--title", help="The page's title.  [default: the models' names]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of umap and tsne.")
@limit_option
@click.option("--json", "as_json", is_flag=True, help="Print a record of the page to stdout as JSON.")
def explore(
    model: Path,
    other: Path | None,
    output: Path,
    words: int,
    projection: str,
    title: str | None,
    seed: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Write a page on which the words of MODEL can be looked at, in any browser and without a network.

    A map of the most frequent words, search, the nearest neighbours of a word, and analogies. With MODEL2 both maps
    lie side by side over the words that both models know (the most frequent of MODEL), with the neighbours
    that differ. MODEL and MODEL2 are model folders or vector files. An existing page is replaced when the new one is
    complete.
    """
    from w2v.atomic import atomic_file, check_file
    from w2v.explore.page import build_page
    from w2v.explore.payload import build_payload
    from w2v.explore.projection import check_method
    from w2v.explore.words import choose_words

    if output.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"{output} would not open in a browser: give it the suffix .html")
    paths = [model] if other is None else [model, other]
    refuse_same_file(output, paths)
    check_file(output)
    check_method(projection)
    shown = choose_words(_open(paths, limit), words)
    if projection in _SLOW:
        click.echo(f"placing {len(shown[0].words):,} words by {_SLOW[projection]}", err=True)
    title = " and ".join(m.name for m in shown) if title is None else title
    payload = build_payload(shown, title, projection, seed)
    page = build_page(payload).encode()
    with atomic_file(output) as temporary:
        temporary.write_bytes(page)
    click.echo(_summary(output, payload, len(page)), err=True)
    if as_json:
        print_table(
            ("output", "words", "dimensions", "projection", "bytes"),
            [(str(output), len(shown[0].words), shown[0].unit_rows.shape[1], projection, len(page))],
            as_json=True,
        )


def _summary(output: Path, payload: dict[str, Any], size: int) -> str:
    """What was saved, in a line."""
    from w2v.corpus.cache import describe_size

    models = payload["models"]
    dimensions = _together([f"{model['dimensions']:,}" for model in models])
    exact = _together([f"{100 * model['agreement']:.0f} %" for model in models])
    return (
        f"saved to {output}: {len(payload['words']):,} words × {dimensions} by {payload['projection']}, "
        f"{describe_size(size)}; {exact} of the nearest neighbours are exact; open it in a browser"
    )


def _together(texts: list[str]) -> str:
    """What is said of one model or two, once where it is the same."""
    return " and ".join(dict.fromkeys(texts))


def _open(paths: list[Path], limit: int | None) -> dict[str, KeyedVectors]:
    """The vectors in ``paths`` by the names that tell them apart."""
    from w2v.cli.queries import open_vectors

    return dict(zip(model_names(paths), [open_vectors(path, limit) for path in paths], strict=True))


def model_names(paths: list[Path]) -> list[str]:
    """The last parts of ``paths``, as few as tell them apart; numbered where they are the same."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{path.name} ({number})" for number, path in enumerate(paths, 1)]
