"""``w2v export``: vectors in the layouts that other libraries load."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import TYPE_CHECKING

import click

from w2v.cli.options import json_option, limit_option, model_argument, print_table, refuse_same_file
from w2v.export import LAYOUTS

if TYPE_CHECKING:
    from w2v.export.layout import Settings


@click.command()
@model_argument
@click.option("--to", "name", type=click.Choice(LAYOUTS), required=True, help="Which layout.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, metavar="OUT", help="Where to write.")
@click.option(
    "--sif",
    type=click.FloatRange(min=0, min_open=True),
    metavar="A",
    help="model2vec: multiply each vector by A / (A + frequency of the word), 0.001 say.  [default: no weights]",
)
@limit_option
@json_option
def export(model: Path, name: str, output: Path, sif: float | None, limit: int | None, as_json: bool) -> None:
    """Write vectors in the layout that another library loads.

    MODEL is a model folder or a vector file. OUT is a folder for projector (TensorBoard's Embedding Projector),
    model2vec (StaticModel) and numpy (arrays and a list of words); the two files OUT.bin and OUT.vocab for gensim
    (word2vec's binary format, and the counts); a file for safetensors. Rows are sorted by falling count where counts
    are known. An existing file is replaced when the new one is complete, a folder only where it is such an export.
    """
    from w2v.cli.queries import open_vectors, warnings_as_lines
    from w2v.export import export_vectors, find_layout

    if sif is not None and name != "model2vec":
        raise click.UsageError("--sif is for --to model2vec")
    layout = find_layout(name)
    _refuse_input(layout.outputs(output), model)
    layout.check(output)
    vectors = open_vectors(model, limit)
    with warnings_as_lines():
        written = export_vectors(vectors, output, name, _settings(model, sif))
    size = (len(vectors), vectors.vector_size)
    rows = [(str(path), name, *size) for path in written if path.exists()]
    print_table(("output", "layout", "words", "dimensions"), rows, as_json)
    click.echo(f"to load it: {layout.usage(output)}", err=True)


def _refuse_input(outputs: list[Path], model: Path) -> None:
    """Raise click.UsageError where writing ``outputs`` would destroy ``model`` or put strange files into it."""
    for path in outputs:
        refuse_same_file(path, [model])
        if model.is_dir() and os.path.realpath(path).startswith(os.path.join(os.path.realpath(model), "")):
            raise click.UsageError(f"{path} is inside the model {model}: choose another output")


def _settings(model: Path, sif: float | None) -> Settings:
    """What the layout should know besides the vectors: a model folder tells whether its text was in lower case."""
    from w2v.export.layout import Settings
    from w2v.vectors.folder import load_model_folder

    lowercase = model.is_dir() and load_model_folder(model).config.get("lowercase") is True
    return Settings(lowercase, sif)
