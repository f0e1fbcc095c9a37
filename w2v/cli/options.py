"""Options and helpers that several commands share."""

import json
import math
import os.path
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from w2v.cli.terminal_text import printable
from w2v.errors import CorpusError

Decorator = Callable[[Callable], Callable]


def combine(*decorators: Decorator) -> Decorator:
    """One decorator out of several, applied in the order written."""

    def apply(function: Callable) -> Callable:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


corpus_argument = click.argument("corpus", nargs=-1, required=True, metavar="CORPUS...")
model_argument = click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
limit_option = click.option("--limit", type=click.IntRange(min=1), help="Load only the first LIMIT vectors.")
search_device_option = click.option(
    "--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True,
    help="Where to search; auto takes a GPU where one works.",
)  # fmt: skip
threads_option = click.option("--threads", "-threads", type=int, help="CPU threads.  [default: all cores]")

# Ranges are checked by TrainConfig and CorpusOptions, where Python callers meet the same rules.
# What decides which tokens become which ids: shared by `train` and `vocab`.
vocabulary_options = combine(
    click.option(
        "--min-count", "-min-count", type=int, default=5, show_default=True,
        help="Ignore words that occur less often. Not applied with `train --vocab`.",
    ),
    click.option(
        "--max-vocab-size", type=int,
        help="Bound the distinct words held while counting: rare ones are pruned, and the text is read twice. "
        "Not applied with `train --vocab`.",
    ),
    click.option(
        "--max-final-vocab", type=int,
        help="Keep only this many words, the most frequent ones. Not applied with `train --vocab`.",
    ),
    click.option("--lowercase", is_flag=True, help="Lower-case every word (Unicode)."),
)  # fmt: skip

cache_options = combine(
    click.option(
        "--cache", "cache_dir", type=click.Path(path_type=Path), metavar="DIR",
        help="Where encoded corpora are kept.  [default: $W2V_CACHE or the user's cache folder]",
    ),
    click.option("--no-cache", is_flag=True, help="Keep no encoded corpus after the run."),
)  # fmt: skip


def refuse_same_file(out: Path, inputs: Iterable[str | Path]) -> None:
    """Raise click.UsageError where writing ``out`` would destroy one of ``inputs``.

    That is where ``out`` exists and is an input, a file that would be read from an input folder, or a folder with
    an input in it. ``-`` and inputs that do not exist are left to whoever reads them.
    """
    if not (os.path.isfile(out) or os.path.isdir(out)):
        return
    target = os.path.realpath(out)
    for path in _read_paths(inputs):
        inside = os.path.realpath(path).startswith(os.path.join(target, ""))
        if inside or os.path.samefile(out, path):
            raise click.UsageError(f"{out} would replace the input {path}: choose another output")


def refuse_inside(path: Path, taken: Iterable[str | Path]) -> None:
    """Raise click.UsageError where ``path`` is one of ``taken``, or would lie in one that is or will be a folder.

    A log in the folder of a model would keep the model from being written, and one among the texts would be read.
    """
    target = os.path.realpath(path)
    for other in taken:
        local = _local_path(other)
        if local is None:
            continue
        place = os.path.realpath(local)
        if target == place or target.startswith(os.path.join(place, "")):
            raise click.UsageError(f"{path} is {other} or inside it: choose another place")


def _local_path(item: str | Path) -> str | Path | None:
    """Where an input lies on this computer; None for standard input, and for addresses of other places."""
    from w2v.corpus.sources import is_address

    if str(item) == "-":
        return None
    if not is_address(item):
        return item
    protocol, _, path = item.partition("://")
    return path if protocol in ("file", "local") else None


def _read_paths(inputs: Iterable[str | Path]) -> Iterator[Path]:
    """The inputs that exist, and the files that reading the folders among them would read."""
    from w2v.corpus.sources import find_sources

    for item in inputs:
        item = _local_path(item)
        if item is None or not os.path.exists(item):
            continue
        yield Path(item)
        if os.path.isdir(item):
            with suppress(CorpusError):
                yield from (source.path for source in find_sources([item]))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], as_json: bool) -> None:
    """Print rows on stdout as they come: tab-separated under a header line, or a JSON list of objects.

    Floats are printed with six significant digits in the table and in full in JSON; a missing value is an
    empty cell or null, and so is a number that is not finite (JSON has none).
    """
    if as_json:
        _print_json(header, rows)
        return
    # On a terminal a word must command nothing; a program gets the words as they are.
    shown = printable if sys.stdout.isatty() else str
    click.echo("\t".join(header))
    for row in rows:
        click.echo("\t".join(shown(_cell(value)) for value in row))


def _print_json(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """The rows as one JSON list, each printed when it comes: there may be more of them than fit in memory."""
    start = "["
    for row in rows:
        record = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in zip(header, row, strict=True)
        }
        text = json.dumps(record, ensure_ascii=False, indent=1).replace("\n", "\n ")
        click.echo(f"{start}\n {text}", nl=False)
        start = ","
    click.echo("[]" if start == "[" else "\n]")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
