"""``w2v convert``: vectors from one format to another."""

from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, print_table, refuse_same_file

_Path = click.Path(path_type=Path)


@click.command()
@click.argument("source", metavar="IN", type=_Path)
@click.argument("target", metavar="OUT", type=_Path)
@limit_option
@click.option("--no-header", is_flag=True, help="Write text without its first line, as GloVe does.")
@json_option
def convert(source: Path, target: Path, limit: int | None, no_header: bool, as_json: bool) -> None:
    """Convert vectors to the format that OUT's suffix names.

    IN is a model folder or a vector file. OUT: .bin (word2vec binary), .txt or .vec (word2vec text), these
    also with .gz, .bz2, .xz or .zst behind; .safetensors; anything else becomes a model folder with the
    vectors only. Rows are sorted by falling count where counts are known. An existing OUT is replaced when
    the new one is complete.
    """
    from w2v.cli.queries import open_vectors, warnings_as_lines
    from w2v.vectors import save_vectors
    from w2v.vectors.files import check_output
    from w2v.vectors.streams import format_suffix

    if no_header and format_suffix(target) not in (".txt", ".vec"):
        raise click.UsageError("--no-header is for text: give OUT the suffix .txt or .vec")
    refuse_same_file(target, [source])
    check_output(target)
    vectors = open_vectors(source, limit)
    with warnings_as_lines():
        save_vectors(target, vectors, header=not no_header)
    print_table(("output", "words", "dimensions"), [(str(target), len(vectors), vectors.vector_size)], as_json)
