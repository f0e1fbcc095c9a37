"""Reading what may come from strangers: plain files only, of a bounded size, and JSON that later code can rely on."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

# Far above any record of ours; what is larger is none, and would take many times as much memory as an object.
LARGEST_RECORD = 1 << 28
_DEEPEST = 64
_LARGEST_NUMBER = 1 << 64


def check_plain(path: str | os.PathLike) -> os.stat_result:
    """The status of ``path``, a plain file or a link to one; raises OSError where it is anything else.

    A pipe in a folder would wait for ever, and a device such as /dev/zero has no end.
    """
    try:
        status = os.stat(path)
    except ValueError as error:  # a NUL in the name
        raise OSError(f"no name of a file ({error})") from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(None, "Is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is a pipe or a device: save it to a plain file first")
    return status


def read_plain(path: str | os.PathLike, largest: int | None = None) -> bytes:
    """The bytes of a plain file; raises OSError also where there are more than ``largest``."""
    size = check_plain(path).st_size
    if largest is not None and size > largest:
        raise OSError(f"{size} bytes are too many for such a file, of which {largest} are the most")
    return Path(path).read_bytes()


def read_json(path: str | os.PathLike) -> object:
    """The JSON in the plain file ``path``; raises OSError, and ValueError with a line where it is not valid.

    Refused too are values nested more than 64 deep and whole numbers beyond 64 bits, which nothing of ours writes:
    printing the former, or computing with the latter, would fail much later.
    """
    text = read_plain(path, LARGEST_RECORD).decode("utf-8")
    try:
        value = json.loads(text, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"nested more than {_DEEPEST} deep") from None
    _check_depth(value)
    return value


def shortened(value: object, most: int = 60) -> str:
    """``repr(value)`` for a message, cut where it is longer than ``most`` characters."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _whole(digits: str) -> int:
    # Python itself raises ValueError for a number of thousands of digits.
    value = int(digits)
    if abs(value) > _LARGEST_NUMBER:
        raise ValueError(f"the number {digits[:20]}… is beyond 64 bits")
    return value


def _check_depth(value: object) -> None:
    """Raise ValueError where lists and objects are nested too deep."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            item
            for each in level
            if isinstance(each, (list, dict))
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, (list, dict))
        ]
        if not level:
            return
    raise ValueError(f"nested more than {_DEEPEST} deep")
