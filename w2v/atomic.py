"""Writing so that a reader sees the old result or the finished new one, never half of it."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from w2v.abandoned import held, hold, remove_abandoned
from w2v.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "make room, or write somewhere else",
    errno.EDQUOT: "make room, or write somewhere else",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or write somewhere else",
    errno.EROFS: "write somewhere else",
    errno.EACCES: "get the right to write there (chmod), or write somewhere else",
    errno.EPERM: "get the right to write there (chmod), or write somewhere else",
    errno.EIO: "look after the disk, or write somewhere else",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "remove the link, or choose another name",
}
# What a temporary name is longer than the one that it stands for: see ``_sibling``.
_LONGER = len("..tmp-00000000")
_LEFT = re.compile(r"\.(tmp|old)-[0-9a-f]{8}")
# Linux: renameat2's flag, and "relative to the working folder".
_EXCHANGE, _HERE = 2, -100


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
    target = _target(path)
    parent = target.parent
    if not make_parents and not parent.exists():
        raise OutputError(f"cannot write {path}: the folder {parent} does not exist: make it first")
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"cannot write {path}: {parent} is no folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to write in {parent}")
    longest = _longest_name(parent) - _LONGER
    if len(os.fsencode(target.name)) > longest:
        raise OutputError(f"cannot write {path}: the name is too long: choose one of {longest} bytes or fewer")


def write_failure(path: str | os.PathLike, error: OSError) -> OutputError:
    """The error to raise where writing ``path`` failed: what happened, and what to do."""
    reason = error.strerror or str(error)
    if error.errno is None and "requested and" in reason:  # NumPy's, which does not look why
        error, reason = OSError(errno.ENOSPC, reason), "the disk is full or fails"
    advice = _ADVICE.get(error.errno)
    return OutputError(f"cannot write {path}: {reason}" + (f": {advice}" if advice else ""))


@contextmanager
def atomic_file(path: str | os.PathLike, make_parents: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what was written there replaces ``path`` at the end.

    A link stays, and the file that it leads to is replaced. Synced to the disk before the rename. After an
    exception ``path`` is untouched and the temporary file gone; what a killed run left is removed by the next one.
    Folders missing above it are made where ``make_parents``. Raises OutputError where that cannot be (see
    ``check_file``), and for every OSError meanwhile.
    """
    check_file(path, make_parents)
    target = _target(path)
    with _reported(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(target)
        with held(lambda: _new_file(target)) as temporary:
            try:
                yield temporary
                sync(temporary)
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        sync(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike, check: Callable[[Path], None]) -> Iterator[Path]:
    """Give an empty temporary folder beside ``path``, which takes the place of ``path`` at the end.

    The two change places in one step where the system can do that (Linux); else an old ``path`` is renamed aside, the
    new folder renamed in, and should that be cut short, the next run puts the old one back. ``check`` is called with
    the old path and raises where it must not be replaced. After an exception the old folder is in its place. Raises
    OutputError for every OSError meanwhile.
    """
    target = _target(path)
    check(target)
    with _reported(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(target)
        with held(lambda: _new_folder(target)) as temporary:
            try:
                yield temporary
                sync_folder(temporary)
                _swap(temporary, target)
                sync(target.parent)  # before the old one goes
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        sync(target.parent)


def sync_folder(path: Path) -> None:
    """Flush a folder and the files in it to the disk; raises OutputError where the disk is full or fails."""
    with _reported(path):
        for entry in path.iterdir():
            sync(entry)
        sync(path)


def clear_leftovers(path: str | os.PathLike) -> None:
    """Put right what a run that was killed while it wrote ``path`` left beside it; what is being written stays.

    An old folder that was renamed aside goes back to its name where nothing took that, and the rest is removed.
    """
    target = _target(path)
    # What cannot be removed now is in nobody's way, and is met again by the next run.
    with suppress(OSError):
        for left in sorted(target.parent.glob(f".{_escaped(target.name)}.*-*")):
            kind = _LEFT.fullmatch(left.name[len(target.name) + 1 :])
            if kind is not None:
                remove_abandoned(left, partial(_put_right, target, kind[1]))


def _put_right(target: Path, kind: str, left: Path) -> None:
    if kind == "old" and not os.path.lexists(target):
        os.rename(left, target)
    elif left.is_dir():
        shutil.rmtree(left)
    else:
        left.unlink()


def _escaped(name: str) -> str:
    """``name`` as a pattern of ``glob``."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _swap(new: Path, target: Path) -> None:
    """Give ``new`` the name of ``target``, and an old ``target`` the name of ``new``, or remove it."""
    if not target.exists():
        os.rename(new, target)
    elif not _exchange(new, target):
        aside = _sibling(target, "old")
        release = hold(target)
        try:
            os.rename(target, aside)
            try:
                os.rename(new, target)
            except BaseException:
                os.rename(aside, target)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            if release is not None:
                release()


def _exchange(first: Path, second: Path) -> bool:
    """Let two names change places in one step; False where the system or the file system cannot."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done = rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), ctypes.c_uint(_EXCHANGE))
    # Whatever it is that failed: the plain renames that follow say so, or do without.
    return done == 0


def _new_file(target: Path) -> Path:
    path = _sibling(target, "tmp")
    path.touch()
    return path


def _new_folder(target: Path) -> Path:
    path = _sibling(target, "tmp")
    path.mkdir()
    return path


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{secrets.token_hex(4)}")


def _target(path: str | os.PathLike) -> Path:
    """Where ``path`` leads; raises OutputError where that is nowhere."""
    try:
        target = Path(os.path.realpath(path))
    except ValueError:
        raise OutputError(f"cannot write {str(path)!r}: a file name cannot hold a zero byte") from None
    if target.is_symlink():
        raise OutputError(f"cannot write {path}: it is a link that leads back to itself: remove it")
    return target


def _longest_name(folder: Path) -> int:
    """How many bytes the name of a file in ``folder`` may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows, and file systems that do not tell
        return 255


def sync(path: Path) -> None:
    """Flush a file, or where the system allows it a folder, to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except PermissionError:
        if path.is_dir():  # Windows opens no folders
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reported(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader of standard output went away, which is no matter of this file
        raise
    except OSError as error:
        raise write_failure(path, error) from error
