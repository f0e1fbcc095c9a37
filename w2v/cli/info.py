"""``w2v info``: what a model or vector file holds, and which devices there are."""

import json
from pathlib import Path

import click

from w2v.cli.options import json_option, limit_option, print_table

_SHOWN = 10


@click.command()
@click.argument("model", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@click.option("--device", is_flag=True, help="List the devices that training can use.")
@limit_option
@json_option
def info(model: Path | None, device: bool, limit: int | None, as_json: bool) -> None:
    """Describe a model folder or a vector file.

    Prints its format, size, settings and most frequent words. With --device and no MODEL: the devices of this
    machine.
    """
    if (model is None) != device:
        raise click.UsageError("give a MODEL or --device, one of them")
    if device:
        from w2v.backends import describe_devices

        rows = [(found["name"], found["usable"], found["note"]) for found in describe_devices()]
        print_table(("device", "usable", "note"), rows, as_json)
    else:
        description = _describe(model, limit)
        if as_json:
            click.echo(json.dumps(description, ensure_ascii=False, indent=1))
        else:
            print_table(("name", "value"), _flat(description), False)


def _describe(path: Path, limit: int | None) -> dict[str, object]:
    from w2v.cli.queries import open_vectors
    from w2v.vectors.files import detect_format

    found = detect_format(path)
    vectors = open_vectors(path, limit)
    known = vectors.counts is not None
    description: dict[str, object] = {
        "path": str(path),
        "format": {"folder": "model folder", "text": "word2vec text", "binary": "word2vec binary"}.get(found, found),
        "bytes": _size(path),
        "words": len(vectors),
        "dimensions": vectors.vector_size,
        "counted_words": int(vectors.counts.sum()) if known else None,
        "most_frequent" if known else "first_words": vectors.index_to_key[:_SHOWN],
    }
    if found == "folder":
        from w2v.vectors.folder import load_model_folder

        folder = load_model_folder(path)
        parameters = {name: list(array.shape) for name, array in folder.output_parameters.items()}
        description |= {"config": folder.config, "output_parameters": parameters, "training": folder.training}
    return description


def _size(path: Path) -> int:
    """Bytes on the disk of a file, or of the files in a model folder."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _flat(values: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """(name, value) rows, nested dictionaries with dotted names, lists in one cell; what is None is left out."""
    rows: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            rows.append(
                (prefix + name, " ".join(f"{item:.6g}" if isinstance(item, float) else str(item) for item in value))
            )
        elif value is not None:
            rows.append((prefix + name, value))
    return rows
