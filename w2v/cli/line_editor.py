"""Reading lines on a terminal: editing and history by readline where there is one, completion of words."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import click

from w2v.cli.completion import PrefixIndex
from w2v.cli.terminal_text import columns, printable

try:
    import readline
except ImportError:  # Windows has none: lines are read without history and completion
    readline: ModuleType | None = None

# Lines of history that are kept, and words that are shown for one beginning.
_KEPT, _SHOWN = 1000, 30


def state_folder() -> Path:
    """Where history is kept: ``w2v`` in ``$XDG_STATE_HOME``, or in ``~/.local/state``."""
    chosen = os.environ.get("XDG_STATE_HOME", "")
    return Path(chosen if os.path.isabs(chosen) else os.path.expanduser("~/.local/state")) / "w2v"


@contextmanager
def editing(name: str, words: Sequence[str], prompt: str, signs: bool = False) -> Iterator[None]:
    """Lines that ``input(prompt)`` reads are edited meanwhile, and are kept in a file of history for ``name``.

    Tab completes ``words`` (most frequent first), and with ``signs`` those behind a ``+`` or ``-`` too.
    """
    if readline is None:
        yield
        return
    _complete_words(readline, PrefixIndex(words), prompt, "+-\u2212" if signs else "")
    with _history(readline, state_folder() / f"history-{name}"):
        yield


@contextmanager
def _history(readline: ModuleType, path: Path) -> Iterator[None]:
    """Read the history file, which only its owner may read, and append the new lines at the end."""
    readline.clear_history()
    readline.set_history_length(_KEPT)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        readline.read_history_file(path)
    except OSError as error:
        click.echo(f"w2v: warning: no history is kept: {path}: {error.strerror or error}", err=True)
        yield
        return
    before = readline.get_current_history_length()
    try:
        yield
    finally:
        _keep_history(readline, path, readline.get_current_history_length() - before)


def _keep_history(readline: ModuleType, path: Path, new: int) -> None:
    try:
        if hasattr(readline, "append_history_file"):
            readline.append_history_file(new, path)  # lines of another prompt stay
        else:
            readline.write_history_file(path)
        path.chmod(0o600)
    except OSError as error:
        click.echo(f"w2v: warning: the history was not kept: {path}: {error.strerror or error}", err=True)


def _complete_words(readline: ModuleType, index: PrefixIndex, prompt: str, signs: str) -> None:
    """Let Tab complete the word before the cursor, and show the most frequent candidates."""
    matches: list[str] = []

    def complete(text: str, state: int) -> str | None:
        if state == 0:
            sign, prefix = _unsigned(index, text, signs)
            words = index.candidates(prefix, _SHOWN)
            # The one word that it can be is finished by a space; Python turns readline's own off.
            matches[:] = [f"{sign}{word} " for word in words] if len(words) == 1 else [sign + word for word in words]
        return matches[state] if state < len(matches) else None

    def show(text: str, _: list[str], __: int) -> None:
        _, prefix = _unsigned(index, text, signs)
        words, total = index.frequent(prefix, _SHOWN), index.count(prefix)
        rest = f"\n… and {total - len(words):,} rarer ones" if total > len(words) else ""
        line, behind = readline.get_line_buffer(), len(readline.get_line_buffer()) - readline.get_endidx()
        table = columns([printable(word) for word in words], shutil.get_terminal_size().columns)
        # readline takes the line to be where it was, and goes on from its cursor.
        click.echo(f"\n{table}{rest}\n{prompt}{line}" + "\b" * max(0, behind), nl=False)

    readline.set_completer_delims(" \t\n")
    readline.set_completer(complete)
    if hasattr(readline, "set_completion_display_matches_hook"):
        readline.set_completion_display_matches_hook(show)
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")


def _unsigned(index: PrefixIndex, text: str, signs: str) -> tuple[str, str]:
    """The sign before a word, if it is one, and the word."""
    signed = len(text) > 1 and text[0] in signs and index.count(text[1:]) > 0
    return (text[0], text[1:]) if signed else ("", text)
