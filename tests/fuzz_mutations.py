"""Damaging files in ways that know what they are made of: numbers of headers, JSON, compressed data, archives."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

# Numbers that headers and counts should never have.
NUMBERS = (
    b"0", b"-1", b"1", b"3", b"255", b"65536", b"2147483647", b"2147483648", b"4294967296", b"1000000000000",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"18446744073709551616",
    b"-9223372036854775808", b"999999999999999999999999", b"1e999", b"-1e-999", b"nan", b"inf", b"1_0", b"0x10", b"",
    b"1.5", b"9" * 400, b"9" * 5000, b"0" * 300,
)  # fmt: skip
PIECES = (
    *NUMBERS, b"\n", b"\r\n", b"\r", b"\t", b" ", b"  ", b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf",
    b"\xed\xa0\x80", b"\xc3", b"\xe2\x96\x81", b"\x1b[2J", b":", b": x\n", b"#", b",", b'"', b"\\", b"{", b"}", b"[",
    b"]", b"[" * 300, b"../../x", b"/etc/passwd", b"<script>", b"__import__('os').system('true')", b"\x80\x04.",
    b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\x93NUMPY", b"\x00" * 64,
    b"a" * 300, b"a " * 40,
    b"\x00\x00\x80\x7f", b"\x00\x00\xc0\xff", b"\xff\xff\xff\xff", b"\xff" * 8, b"\x00" * 7 + b"\x80",
)  # fmt: skip
_DEEP: object = 1
for _ in range(200):
    _DEEP = [_DEEP]
# Values of JSON that should not be where they are put.
VALUES = (
    None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, 2**64, 10**25, 10**400, 1e308, -1e308, 5e-324, float("nan"),
    float("inf"), "", "x", "../../x", "/etc/passwd", "\ud800", "\0", "a" * 3000, [], {}, [[]], [None], ["x"] * 50,
    {"": {}}, {"a": [1, "b", None]}, _DEEP, {"rows": "x"}, "1", "\x1b[2J", [1, 2, 3, 4], 1e16,
)  # fmt: skip


class Step(NamedTuple):
    """One change: what kind, where (any number; it wraps), how many bytes, and a choice of what is put there."""

    kind: int
    at: int
    length: int
    choice: int


def random_steps(source: random.Random) -> list[Step]:
    """One to five changes."""
    return [
        Step(source.randrange(len(KINDS)), source.getrandbits(20), source.getrandbits(5), source.getrandbits(16))
        for _ in range(min(source.randint(1, 5), source.randint(1, 5)))
    ]


def mutated(data: bytes, steps: Sequence[Step], others: Sequence[bytes] = ()) -> bytes:
    """``data`` after ``steps``; ``others`` are files of the same kind to splice from."""
    for step in steps:
        data = KINDS[step.kind % len(KINDS)](data, step, others)[: 1 << 16]
    return data


def _cut(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    return data[: step.at % (len(data) + 1)]


def _delete(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    at = step.at % (len(data) + 1)
    return data[:at] + data[at + step.length + 1 :]


def _flip(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = step.at % len(data)
    return data[:at] + bytes([data[at] ^ (1 << step.choice % 8)]) + data[at + 1 :]


def _overwrite(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    at, piece = step.at % (len(data) + 1), PIECES[step.choice % len(PIECES)]
    return data[:at] + piece + data[at + len(piece) :]


def _insert(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    at = step.at % (len(data) + 1)
    return data[:at] + PIECES[step.choice % len(PIECES)] + data[at:]


def _repeat(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    at = step.at % (len(data) + 1)
    return data[:at] + data[at : at + 8 * step.length + 1] * (step.choice % 7 + 2) + data[at:]


def _repeat_line(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = step.at % len(lines)
    return b"\n".join(lines[: at + 1] + lines[at : at + step.length % 3 + 1] + lines[at + 1 :])


def _swap(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    at = step.at % (len(data) + 1)
    middle = at + step.length
    end = middle + step.choice % 32
    return data[:at] + data[middle:end] + data[at:middle] + data[end:]


def _number(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    """Another number in the place of one that is written in digits."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", data[:20_000]))
    if not found:
        return data
    place = found[step.at % len(found)]
    return data[: place.start()] + NUMBERS[step.choice % len(NUMBERS)] + data[place.end() :]


def _binary_number(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    at = step.at % (len(data) + 1)
    value = (0, -1, 1, 1 << 31, (1 << 63) - 1, -(1 << 63), 10**12, len(data))[step.choice % 8]
    piece = struct.pack("<q", value)[: 8 if step.length % 2 else 4]
    return data[:at] + piece + data[at + len(piece) :]


def _splice(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    if not others:
        return data
    other = others[step.choice % len(others)]
    return data[: step.at % (len(data) + 1)] + other[step.at // 3 % (len(other) + 1) :]


def _json(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    """Another value in the place of one in a JSON document; or a name that is twice there, or gone."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places = list(_places(document))
    if not places:
        return json.dumps(VALUES[step.choice % len(VALUES)]).encode()
    holder, key = places[step.at % len(places)]
    if step.length % 8 == 0:
        del holder[key]
    elif step.length % 8 == 1 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = VALUES[step.choice % len(VALUES)]
    text = json.dumps(document)
    if step.length % 8 == 2 and text[-1:] == "}" and isinstance(document, dict) and document:
        name = sorted(document)[step.choice % len(document)]
        text = f"{text[:-1]}, {json.dumps(name)}: {json.dumps(VALUES[step.at % len(VALUES)])}}}"
    return text.encode()


def _places(document: object, depth: int = 0) -> list[tuple[object, object]]:
    if depth > 8 or not isinstance(document, (dict, list)):
        return []
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    found = [(document, key) for key in keys]
    for key in keys:
        found += _places(document[key], depth + 1)
    return found


def _inside(data: bytes, step: Step, others: Sequence[bytes]) -> bytes:
    """A change within what a container holds, which is then closed again so that its lengths and sums are right."""
    opened = _opened(data, step.choice)
    if opened is None:
        return data
    payload, close = opened
    inner = Step(step.length % _INNER, step.at, step.length, step.choice // 7)
    return close(KINDS[inner.kind](payload, inner, ()))


def _opened(data: bytes, choice: int) -> tuple[bytes, Callable[[bytes], bytes]] | None:
    """What a file holds, and how it is put back: headers of .npy and safetensors, gz, bz2, xz, members of a zip."""
    try:
        if data[:6] == b"\x93NUMPY":
            length = struct.unpack("<H", data[8:10])[0]
            body = data[10 + length :]
            return data[10 : 10 + length], lambda text: data[:8] + struct.pack("<H", len(text) & 0xFFFF) + text + body
        if data[8:9] == b"{":
            length = struct.unpack("<Q", data[:8])[0]
            body = data[8 + length :]
            return data[8 : 8 + length], lambda text: struct.pack("<Q", len(text)) + text + body
        if data[:2] == b"PK":
            return _opened_zip(data, choice)
        for magic, decompress, compress in (
            (b"\x1f\x8b", gzip.decompress, lambda text: gzip.compress(text, 1, mtime=0)),
            (b"BZh", bz2.decompress, bz2.compress),
            (b"\xfd7z", lzma.decompress, lzma.compress),
        ):
            if data.startswith(magic):
                return decompress(data)[: 1 << 16], compress
    except (struct.error, OSError, EOFError, ValueError, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError):
        return None
    except Exception as error:  # zlib.error and what zipfile makes of broken archives
        return None if error.__class__.__module__ in ("zlib", "zipfile", "builtins") else _raise(error)
    return None


def _raise(error: Exception) -> None:
    raise error


def _opened_zip(data: bytes, choice: int) -> tuple[bytes, Callable[[bytes], bytes]] | None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if not members:
        return None
    chosen = sorted(members)[choice % len(members)]

    def close(content: bytes) -> bytes:
        stream = io.BytesIO()
        compression = zipfile.ZIP_DEFLATED if choice % 11 == 0 else zipfile.ZIP_STORED
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, old in members.items():
                member = zipfile.ZipInfo(name)  # of no time: the same case is the same again
                member.compress_type = compression
                archive.writestr(member, content if name == chosen else old)
        return stream.getvalue()

    nested = _opened(members[chosen], choice) if choice % 3 else None
    if nested is None:
        return members[chosen], close
    return nested[0], lambda text: close(nested[1](text))


KINDS = (
    _flip, _overwrite, _insert, _delete, _cut, _repeat, _repeat_line, _swap, _number, _number, _binary_number, _json,
    _json, _splice, _inside, _inside, _inside,
)  # fmt: skip
# Kinds of change within a container: not another container.
_INNER = 14
