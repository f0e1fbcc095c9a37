"""Writing so that a reader sees the old result or the finished new one, never half of it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from w2v.errors import OutputError


def check_file(path: str | os.PathLike, make_parents: bool = True) -> None:
    """Raise OutputError where ``atomic_file`` cannot write ``path``; call it before long work."""
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: give a file name to write to")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is a device or a pipe, which a finished file cannot replace: write to a file")
    check_parent(path, make_parents)


def check_parent(path: str | os.PathLike, make_parents: bool = True) -> None:
    """Raise OutputError where nothing can be made beside ``path``.

    With ``make_parents`` folders that are missing above it are no obstacle, where they can be made.
    """
    parent = Path(os.path.realpath(path)).parent
    if not make_parents and not parent.exists():
        raise OutputError(f"cannot write {path}: the folder {parent} does not exist: make it first")
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"cannot write {path}: {parent} is no folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to write in {parent}")


@contextmanager
def atomic_file(path: str | os.PathLike, make_parents: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what was written there replaces ``path`` at the end.

    A link stays, and the file that it leads to is replaced. Synced to the disk before the rename. After an
    exception ``path`` is untouched and the temporary file gone. Folders missing above it are made where
    ``make_parents``. Raises OutputError where that cannot be (see ``check_file``), and for every OSError meanwhile.
    """
    check_file(path, make_parents)
    target = Path(os.path.realpath(path))
    temporary = _sibling(target, "tmp")
    with _reported(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    try:
        with _reported(path):
            yield temporary
            _sync(temporary)
            os.replace(temporary, target)
            _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike, check: Callable[[Path], None]) -> Iterator[Path]:
    """Give an empty temporary folder beside ``path``, which takes the place of ``path`` at the end.

    An old ``path`` is renamed aside, the new folder renamed in, and the old one removed. ``check`` is called
    with the old path and raises where it must not be replaced. After an exception the old folder is in its
    place.
    """
    target = Path(os.path.realpath(path))
    check(target)
    temporary, aside = _sibling(target, "tmp"), _sibling(target, "old")
    with _reported(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    try:
        yield temporary
        with _reported(path):
            sync_folder(temporary)
            _swap(temporary, target, aside)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    with _reported(path):
        _sync(target.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder and the files in it to the disk; raises OutputError where the disk is full or fails."""
    with _reported(path):
        for entry in path.iterdir():
            _sync(entry)
        _sync(path)


def _swap(new: Path, target: Path, aside: Path) -> None:
    """Rename ``target`` (if any) to ``aside`` and ``new`` to ``target``; put the old one back on failure."""
    existed = target.exists()
    if existed:
        os.rename(target, aside)
    try:
        os.rename(new, target)
    except BaseException:
        if existed:
            os.rename(aside, target)
        raise


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def _sync(path: Path) -> None:
    """Flush a file, or where the system allows it a folder, to the disk."""
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR
    with suppress(PermissionError):  # Windows opens no folders
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _reported(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
