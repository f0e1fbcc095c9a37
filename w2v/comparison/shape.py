"""What compare.json must hold for a comparison to go on from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from w2v.comparison.plan import OTHER_SYSTEMS, planned_cases, run_name
from w2v.config import MODELS, OBJECTIVES


@dataclass(frozen=True)
class _Maybe:
    """Of this shape, or null."""

    shape: object


@dataclass(frozen=True)
class _Each:
    """A mapping by whatever names, with values of this shape."""

    shape: object


# Above any number of words or seconds.
_MOST = 1e15
# As many as `w2v compare --seeds` takes.
_MOST_SEEDS = 1000
_NUMBER = (int, float)
_SCORE = _Maybe(_NUMBER)
_TEXT = _Maybe(str)

# A mapping lists the keys that are used, a list the shape of its items.
_RECORD = {
    "created": str,
    "finished": _TEXT,
    "command": str,
    "machine": {
        "processor": _TEXT, "memory_bytes": _SCORE, "system": str, "device": str, "driver": _TEXT,
        "versions": _Each(str),
    },
    "corpus": {
        "fingerprint": str, "vocabulary_sha256": str, "heldout_sha256": _TEXT, "heldout_sha256s": _Each(_TEXT),
        "tokens": int, "seconds": {"read": _NUMBER, "encode": _NUMBER}, "cached": bool,
    },
    "settings": dict,
    "models": [str],
    "objectives": [str],
    "seeds": [int],
    "points": [_NUMBER],
    "against": [str],
    "targets_given": _Each(_NUMBER),
    "evaluation": [{"name": str, "kind": str, "file": str, "sha256": str, "covered": int, "total": int}],
    "notes": [str],
    "runs": [{"name": str, "system": str, "model": str, "objective": str, "seed": int, "status": str}],
}  # fmt: skip
_PHASES = ("read", "encode", "upload", "compile", "train", "evaluate", "total")
_DONE = {
    "error": _TEXT, "config": dict, "device": _TEXT, "threads": _SCORE, "initial_sha256": _TEXT,
    "seconds": dict.fromkeys(_PHASES, _NUMBER),
    **dict.fromkeys(
        ("words_per_second", "kept_words_per_second", "pairs_per_second", "words", "kept_words", "pairs",
         "peak_host_bytes", "peak_device_bytes", "heldout_nll", "heldout_unigram_nll"), _SCORE),
    "loss": _Maybe([_SCORE]),
    "points": [{"epochs": _NUMBER, "words": _NUMBER, "seconds": _NUMBER, "scores": _Each(_SCORE),
                "heldout_nll": _SCORE}],
}  # fmt: skip


def fault_of(record: Mapping[str, Any]) -> str | None:
    """What is missing, is not understood or belongs to no run of the plan, in a few words; None where all is well."""
    return _fault(record, _RECORD, "") or _fault_of_plan(record) or _fault_of_runs(record)


def _fault_of_plan(record: Mapping[str, Any]) -> str | None:
    # Each once and known: all of them are combined below, and lists of thousands would give a trillion runs.
    for name, known in (("models", MODELS), ("objectives", OBJECTIVES), ("against", tuple(OTHER_SYSTEMS))):
        if len(set(record[name])) < len(record[name]) or not set(record[name]) <= set(known):
            return f"{name} is not understood"
    if len(set(record["seeds"])) < len(record["seeds"]) or len(record["seeds"]) > _MOST_SEEDS:
        return "seeds is not understood"
    hashes = record["corpus"]["heldout_sha256s"]
    absent = [seed for seed in record["seeds"] if str(seed) not in hashes]
    return f"corpus.heldout_sha256s has no seed {absent[0]}" if absent else None


def _fault_of_runs(record: Mapping[str, Any]) -> str | None:
    cases = planned_cases(*(record[name] for name in ("objectives", "models", "seeds", "against")))
    planned = {run_name(*case): case for case in cases}
    scores = {item["name"] for item in record["evaluation"]}
    for number, run in enumerate(record["runs"]):
        case = tuple(run[key] for key in ("system", "model", "objective", "seed"))
        # Taken out: a run is there once.
        if planned.pop(run["name"], None) != case:
            return f"the run {run['name']!r} is not planned"
        if run["status"] == "done" and (found := _fault_of_done(run, f"runs[{number}]", scores)):
            return found
    return None


def _fault_of_done(run: Mapping[str, Any], place: str, scores: set[str]) -> str | None:
    if found := _fault(run, _DONE, place):
        return found
    if not run["points"]:
        return f"{place}.points is empty"
    if found := _first(map(_fault_of_point, run["points"], repeat(place))):
        return found
    other = any(set(point["scores"]) != scores for point in run["points"])
    return f"{place} has other scores than the evaluation files" if other else None


def _fault_of_point(point: Mapping[str, Any], place: str) -> str | None:
    """Charts are drawn over epochs and seconds: what was never measured would take them far off the paper."""
    for name in ("epochs", "words", "seconds"):
        if not 0 <= point[name] <= _MOST:
            return f"{place}.points has {name} of {point[name]:g}"
    scores = [score for score in point["scores"].values() if score is not None]
    if not all(-100 <= score <= 100 for score in scores):
        return f"{place}.points has a score beyond 100"
    return None if 0 <= (point["heldout_nll"] or 0) <= _MOST else f"{place}.points has a likelihood that is none"


def _fault(value: object, shape: object, place: str) -> str | None:
    """The first place where ``value`` is not of the shape."""
    if isinstance(shape, _Maybe):
        return None if value is None else _fault(value, shape.shape, place)
    kind = list if isinstance(shape, list) else dict if isinstance(shape, dict | _Each) else shape
    if not isinstance(value, kind):
        return f"{place} is not understood"
    if isinstance(shape, list):
        return _first(_fault(item, shape[0], f"{place}[{at}]") for at, item in enumerate(value))
    if isinstance(shape, _Each):
        return _first(_fault(item, shape.shape, f"{place}.{name}") for name, item in value.items())
    if isinstance(shape, dict):
        return _first(_fault_of_part(value, name, part, f"{place}.{name}".strip(".")) for name, part in shape.items())
    return None


def _fault_of_part(value: Mapping[str, Any], name: str, shape: object, place: str) -> str | None:
    return _fault(value[name], shape, place) if name in value else f"{place} is missing"


def _first(faults: Iterable[str | None]) -> str | None:
    return next((fault for fault in faults if fault), None)
