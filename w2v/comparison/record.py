"""compare.json: everything that a comparison found, whole on the disk after every run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from w2v.atomic import atomic_file, check_parent
from w2v.comparison.shape import fault_of
from w2v.errors import FormatError, OutputError
from w2v.untrusted import read_json

FORMAT, VERSION = "w2v-comparison", 1
NAME = "compare.json"

# What has to be the same for runs to stand side by side, and what it is called in a message.
_SAME = {
    "settings": "",
    "models": "--models",
    "objectives": "--objectives",
    "seeds": "--seeds",
    "points": "--points",
    "against": "--against",
}
# A kernel of another version may keep a little more of the same memory for itself.
_SAME_MEMORY = 0.02
_SURROGATE = re.compile("[\ud800-\udfff]")
_CORPUS = ("fingerprint", "vocabulary_sha256", "heldout_sha256")


def dump(value: object) -> str:
    """JSON for people and programs; a number that is not finite is null, since JSON has none."""
    return json.dumps(finite(value), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def valid_text(text: str) -> str:
    """The same with U+FFFD for what no file of UTF-8 can hold: bytes of a file's name that are no text."""
    return _SURROGATE.sub("\ufffd", text)


def finite(value: object) -> object:
    """The same with None in the place of numbers that are not finite, lists for tuples, and names for paths.

    Strings are such that UTF-8 has them (``valid_text``).
    """
    if isinstance(value, Mapping):
        return {valid_text(str(name)): finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return finite(value.item()) if hasattr(value, "item") else valid_text(str(value))


def prepare_folder(folder: Path, resume: bool) -> dict[str, Any] | None:
    """Make sure that ``folder`` can take a comparison, before any work; gives the record of the one that goes on.

    None where nothing is there to go on from. Raises OutputError where the folder holds something else, or cannot be
    written, and FormatError where its compare.json is none.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: give a folder for the comparison")
    check_parent(folder / NAME)
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    if not (folder / NAME).is_file():
        raise OutputError(f"{folder} holds other files: choose a new or an empty folder for the comparison")
    if not resume:
        raise OutputError(f"{folder} holds a comparison already: continue it with --resume, or choose another folder")
    return load_record(folder)


def load_record(folder: Path) -> dict[str, Any]:
    """Read compare.json; raises FormatError where it is none, is another version's, or is not whole."""
    path = folder / NAME
    try:
        record = finite(read_json(path))
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot read {path} ({error}): choose another folder") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise FormatError(f"{path} is no record of a comparison: choose another folder")
    if record.get("version") != VERSION:
        raise FormatError(f"{path} was written by another version of w2v: choose another folder")
    if fault := fault_of(record):
        raise FormatError(f"{path} is incomplete or was edited ({fault}): choose another folder")
    return record


def save_record(record: Mapping[str, Any], folder: Path) -> None:
    """Write compare.json, whole or not at all; the folder is made where it is missing."""
    with atomic_file(folder / NAME) as temporary:
        temporary.write_text(dump(record), "utf-8")


def check_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise OutputError that names what differs, where the runs of ``old`` cannot stand beside those of ``new``."""
    differences = list(_differences(finite(old), finite(new)))
    if differences:
        raise OutputError(
            f"the comparison was begun with other settings ({'; '.join(differences)}): give the same ones with "
            "--resume, or choose another folder"
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    for name, option in _SAME.items():
        if name == "settings":
            for key in sorted({*old[name], *new[name]}):
                before, after = old[name].get(key), new[name].get(key)
                if before != after:
                    yield f"--{key.replace('_', '-')} was {_shown(before)} and is {_shown(after)}"
        elif old[name] != new[name]:
            yield f"{option} was {_shown(old[name])} and is {_shown(new[name])}"
    yield from _other_machine(old["machine"], new["machine"])
    if any(old["corpus"][name] != new["corpus"][name] for name in _CORPUS):
        yield f"the corpus was another one, of {old['corpus']['tokens']:,} tokens"
    before, after = (
        {item["name"]: (item["kind"], item["sha256"]) for item in record["evaluation"]} for record in (old, new)
    )
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        yield f"other evaluation files: {', '.join(changed)}"


def _other_machine(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    """What makes times of the two no times to set side by side."""
    for name in ("processor", "device"):
        if old[name] != new[name]:
            yield f"the {name} was {old[name]} and is {new[name]}"
    before, now = old["memory_bytes"], new["memory_bytes"]
    if before and now and abs(now / before - 1) > _SAME_MEMORY:
        yield f"the memory was {before / 1e9:.1f} GB and is {now / 1e9:.1f} GB"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_shown(item) for item in value) or "nothing"
    return "the default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
