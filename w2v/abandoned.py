"""Work in progress on the disk, told from what a killed run left behind by a lock, which ends with its process."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: only age tells
    fcntl = None

# Where locks are not to be had, what has not changed for so long (seconds) is taken for abandoned.
_OLD = 86_400
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextmanager
def held(make: Callable[[], Path]) -> Iterator[Path]:
    """Make a file or a folder and hold it: until the end, ``remove_abandoned`` leaves it alone.

    ``make`` is called again where another process took what had just been made for abandoned. Raises its OSError.
    """
    with ExitStack() as stack:
        while True:
            path = make()
            release = hold(path)
            if release is not None:
                stack.callback(release)
                break
        yield path


def hold(path: Path) -> Callable[[], None] | None:
    """Hold ``path`` until the result is called, or until this process ends; None where ``path`` is gone.

    Where locks are not to be had, the result does nothing.
    """
    descriptor = None
    try:
        if fcntl is not None:
            descriptor = os.open(path, _FLAGS)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                raise FileNotFoundError(path)
    except OSError as error:
        if descriptor is not None:
            os.close(descriptor)
        return None if isinstance(error, FileNotFoundError) else lambda: None
    return lambda: descriptor is not None and os.close(descriptor)


def remove_abandoned(path: Path, remove: Callable[[Path], object]) -> bool:
    """Call ``remove(path)`` where nobody holds ``path``; returns whether it was called.

    Only plain files and folders are looked at, never a link. Raises the OSError of ``remove``.
    """
    with ExitStack() as stack:
        try:
            free = _is_free(path, stack)
        except OSError:  # it is gone by now, or nothing of ours
            return False
        if free:
            remove(path)
        return free


def _is_free(path: Path, stack: ExitStack) -> bool:
    """Whether nobody holds ``path``, which from here on is held until ``stack`` ends."""
    status = path.lstat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False
    if fcntl is not None:
        descriptor = os.open(path, _FLAGS)
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: age tells
            return _age(path) > _OLD
    return _age(path) > _OLD


def _age(path: Path) -> float:
    """Seconds since ``path``, or something in the folder ``path``, changed."""
    newest = path.stat().st_mtime
    with suppress(NotADirectoryError):
        for item in path.iterdir():
            with suppress(FileNotFoundError):
                newest = max(newest, item.stat().st_mtime)
    return time.time() - newest
