"""Damaging files as disks and people do: bits, blocks of zeros, ends that are missing, bytes too many."""

import random
from collections.abc import Callable
from pathlib import Path


def damage(path: Path, source: random.Random) -> str:
    """Damage a file in one way; returns what was done. The file differs afterwards, or is gone."""
    data = path.read_bytes()
    kind = source.choice(list(KINDS))
    changed = KINDS[kind](data, source)
    if changed == data:  # zeros over zeros, or nothing to cut: a byte is always something
        kind, changed = "add to", data + bytes([source.randrange(256)])
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    return f"{kind} {path.name} ({len(data)} bytes)"


def files_of(folder: Path) -> list[Path]:
    """The plain files below a folder, or the file itself."""
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flip(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 3, 50))):
        if changed:
            changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def _flip_near_start(data: bytes, source: random.Random) -> bytes:
    """Headers are where readers can go wrong."""
    changed = bytearray(data)
    if changed:
        changed[source.randrange(min(len(changed), 160))] ^= 1 << source.randrange(8)
    return bytes(changed)


def _span(data: bytes, source: random.Random) -> tuple[int, int]:
    start = source.randrange(len(data) + 1)
    return start, min(len(data), start + source.choice((1, 16, 512, 4096)))


def _zero(data: bytes, source: random.Random) -> bytes:
    start, end = _span(data, source)
    return data[:start] + bytes(end - start) + data[end:]


def _noise(data: bytes, source: random.Random) -> bytes:
    start, end = _span(data, source)
    return data[:start] + source.randbytes(end - start) + data[end:]


def _remove(data: bytes, source: random.Random) -> bytes:
    start, end = _span(data, source)
    return data[:start] + data[end:]


def _cut(data: bytes, source: random.Random) -> bytes:
    return data[: source.randrange(len(data) + 1)]


def _add(data: bytes, source: random.Random) -> bytes:
    return data + source.randbytes(source.choice((1, 4, 4096)))


KINDS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "flip": _flip,
    "flip near the start of": _flip_near_start,
    "zero a part of": _zero,
    "noise in": _noise,
    "remove a part of": _remove,
    "cut": _cut,
    "add to": _add,
    "empty": lambda data, source: b"",
    "delete": lambda data, source: None,
}
