"""``w2v cache``: what is kept for the next run, encoded corpora and indexes of approximate searches."""

from __future__ import annotations

import os
from pathlib import Path

import click

from w2v.cli.options import json_option, print_table
from w2v.errors import OutputError


@click.command()
@click.option("--clear", is_flag=True, help="Remove every entry.")
@click.option(
    "--cache",
    "cache_dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The cache folder.  [default: $W2V_CACHE or the user's cache folder]",
)
@json_option
def cache(clear: bool, cache_dir: Path | None, as_json: bool) -> None:
    """List the encoded corpora and the indexes of approximate searches in the cache folder, or remove them.

    Only what w2v made is listed and removed; anything else in there stays.
    """
    from w2v.corpus.cache import CorpusCache, describe_size
    from w2v.vectors.index_cache import IndexCache

    store, indexes = CorpusCache(cache_dir), IndexCache(cache_dir)
    if clear:
        removed, freed, kept = store.clear()
        removed, freed = (a + b for a, b in zip((removed, freed), indexes.clear(), strict=True))
        click.echo(f"{_entries(removed)} removed from {store.root}, {describe_size(freed)} freed", err=True)
        if kept and not os.access(store.root, os.W_OK | os.X_OK):
            raise OutputError(f"no permission to remove anything from {store.root}: ask its owner, or choose another")
        for path in kept:
            click.echo(f"{path} is in use and stays", err=True)
        return
    entries, found = store.entries(), indexes.entries()
    print_table(
        ("path", "bytes", "tokens", "words", "created", "inputs"),
        [
            (
                str(entry.path),
                entry.size,
                entry.tokens,
                entry.words,
                entry.created,
                entry.inputs if as_json else ", ".join(entry.inputs) or "unfinished",
            )
            for entry in entries
        ]
        + [
            (str(entry.path), entry.size, None, entry.rows, None, [] if as_json else "vectors (--ann)")
            for entry in found
        ],
        as_json,
    )
    total = describe_size(sum(entry.size for entry in (*entries, *found)))
    click.echo(f"{_entries(len(entries) + len(found))} in {store.root}, {total}", err=True)


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"
