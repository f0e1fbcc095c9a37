"""The standard streams of the command: where one is missing, where one fails, and messages of one line."""

from __future__ import annotations

import io
import os
import sys

import click


class _Messages(io.FileIO):
    """Standard error: what cannot be written (a full disk, a pipe without reader) is lost, and ends no run."""

    def write(self, data: bytes) -> int:
        """How many bytes were taken, which is all of them."""
        try:
            return super().write(data)
        except OSError:
            return len(data)


class _Output(io.FileIO):
    """Standard output, whose errors say that they are its."""

    def write(self, data: bytes) -> int | None:
        """How many bytes were taken."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "standard output"
            raise


def prepare_streams() -> None:
    """Open the standard streams that are closed, and let errors of those for writing be told from others.

    Else a file of ours would get their numbers, and a library's message would go into it. As with other programs,
    reading such an input and writing to such an output fails. Messages that cannot be written are lost, and end no
    run. Streams that a caller has put there are left as they are.
    """
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_WRONLY), closefd=False)  # noqa: SIM115 (open to the end)
    if sys.stdout is None:
        output = _Output(os.open(os.devnull, os.O_RDONLY), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(output))
    elif sys.stdout is sys.__stdout__:
        old = sys.stdout
        output = io.BufferedWriter(_Output(old.fileno(), "w", closefd=False))
        options = {"line_buffering": old.line_buffering, "write_through": old.write_through}
        sys.stdout = io.TextIOWrapper(output, old.encoding, old.errors, **options)
    if sys.stderr is None:
        messages = _Messages(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(messages, write_through=True)
    elif sys.stderr is sys.__stderr__:
        messages = _Messages(sys.stderr.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(messages, sys.stderr.encoding, "backslashreplace", write_through=True)


def complain(message: object) -> None:
    """Print ``message`` on standard error: one line, whatever the names in it are."""
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(message))
    click.echo(f"w2v: {shown}", err=True)


def failure(error: OSError) -> str:
    """What to say of an OSError that nobody turned into an error of ours."""
    where = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{where}"


def give_up_output() -> None:
    """Let what is still to be printed go nowhere, so that the end of the process does not fail a second time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
