"""What the commands that read vectors share: loading with warnings on stderr, and help with unknown words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from w2v.errors import VocabularyError

if TYPE_CHECKING:
    from w2v.vectors import KeyedVectors

# Spellings are compared with this many of the most frequent words: enough to find typing errors at once.
_COMPARED = 20_000


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Print warnings of this project as one line each on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: click.echo(f"w2v: warning: {message}", err=True)
        yield


def open_vectors(path: Path, limit: int | None = None, device: str = "cpu") -> KeyedVectors:
    """The vectors of a model folder or a vector file, searched on ``device``; repairs are reported on stderr."""
    from w2v.vectors import load_vectors

    if device != "cpu":
        from w2v.backends import choose_device

        device = choose_device(device)  # said before a long file is read
    with warnings_as_lines():
        return load_vectors(path, limit).search_on(device)


def unknown_words(vectors: KeyedVectors, words: Sequence[str]) -> VocabularyError | None:
    """The error that names those of ``words`` that have no vector, with close spellings; None if all have."""
    unknown = [word for word in dict.fromkeys(words) if word not in vectors]
    if not unknown:
        return None
    return VocabularyError("; ".join(f"{word!r} is not in the vocabulary{_hint(vectors, word)}" for word in unknown))


def _hint(vectors: KeyedVectors, word: str) -> str:
    from difflib import get_close_matches

    same = [other for other in (word.lower(), word.upper(), word.capitalize()) if other in vectors]
    close = same or get_close_matches(word, vectors.index_to_key[:_COMPARED], n=3)
    return f": did you mean {', '.join(dict.fromkeys(close))}?" if close else ""
