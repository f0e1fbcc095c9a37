"""What runs come to: mean and standard deviation over seeds, time to reach a score, score at equal time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from w2v.comparison.plan import case_name
from w2v.likelihood import perplexity

#: A target that was not given is this share of the lowest final mean of the objectives.
DEFAULT_TARGET = 0.95
# Points so near to one another are one, in epochs: pauses come where they suit the backend.
_SAME_POINT = 0.05
_SPEEDS = ("words_per_second", "kept_words_per_second", "pairs_per_second")

Run = Mapping[str, Any]
Mean = dict[str, float | None]


def summarise(runs: Sequence[Run], targets: Mapping[str, float]) -> list[dict[str, Any]]:
    """The part "summary" of compare.json: an entry for each system, model and objective with a finished run.

    targets: by the name of a score.
    """
    done = finished(runs)
    cases = list(dict.fromkeys(map(_case, done)))
    seconds = equal_seconds(done)
    parts = [(case, [run for run in done if _case(run) == case]) for case in cases]
    return [_entry(case, own, targets, seconds.get(case[1])) for case, own in parts]


def finished(runs: Iterable[Run]) -> list[Run]:
    """Those that did not fail."""
    return [run for run in runs if run["status"] == "done"]


def mean_sd(values: Iterable[float | None]) -> Mean | None:
    """Mean and standard deviation (n − 1; null of one) of what is known; None where nothing is."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    return {"mean": statistics.fmean(known), "sd": statistics.stdev(known) if len(known) > 1 else None}


def equal_seconds(runs: Iterable[Run]) -> dict[str, float]:
    """By model the training seconds in which its fastest case of w2v was through with all of its seeds."""
    slowest: dict[tuple[str, ...], float] = {}
    for run in finished(runs):
        if run["system"] == "w2v":
            slowest[_case(run)] = max(slowest.get(_case(run), 0.0), run["seconds"]["train"])
    found: dict[str, float] = {}
    for (_, model, _), seconds in slowest.items():
        found[model] = min(found.get(model, seconds), seconds)
    return found


def default_targets(runs: Sequence[Run], names: Iterable[str]) -> dict[str, float]:
    """For each score 95 % of the lowest final mean, other systems' included; left out where that is not above 0."""
    cases = summarise(runs, {})
    found = {}
    for name in names:
        means = [case["scores"][name]["mean"] for case in cases if case["scores"].get(name)]
        if means and min(means) > 0:
            found[name] = DEFAULT_TARGET * min(means)
    return found


def seconds_to(runs: Sequence[Run], name: str, target: float) -> dict[str, float | int | None]:
    """Training seconds of the first scored point at or above the target: mean of the runs that reached it, how many.

    Nothing between two points is made up.
    """
    reached = [seconds for run in runs if (seconds := _first_at(run, name, target)) is not None]
    return {"target": target, "mean": statistics.fmean(reached) if reached else None, "reached": len(reached)}


def score_at(runs: Sequence[Run], name: str, seconds: float) -> dict[str, Any] | None:
    """The last score of each run at or before so many seconds of training; None where one has none yet.

    Mean and deviation, and "epochs": after how many each run had it.
    """
    points = [_last_until(run, seconds) for run in runs]
    scores = [None if point is None else point["scores"].get(name) for point in points]
    if None in scores:
        return None
    return {**mean_sd(scores), "epochs": [point["epochs"] for point in points]}


def _case(run: Run) -> tuple[str, str, str]:
    return run["system"], run["model"], run["objective"]


def _entry(
    case: tuple[str, str, str], runs: Sequence[Run], targets: Mapping[str, float], seconds: float | None
) -> dict[str, Any]:
    system, model, objective = case
    names = list(runs[0]["points"][-1]["scores"]) if runs[0]["points"] else []
    nll = mean_sd(run["heldout_nll"] for run in runs)
    return {
        "name": case_name(*case),
        "system": system,
        "model": model,
        "objective": objective,
        "normalised": objective != "ns",
        "seeds": len(runs),
        "train_seconds": mean_sd(run["seconds"]["train"] for run in runs),
        **{speed: mean_sd(run[speed] for run in runs) for speed in _SPEEDS},
        **{peak: _largest(run[peak] for run in runs) for peak in ("peak_host_bytes", "peak_device_bytes")},
        "seconds": {phase: statistics.fmean(run["seconds"][phase] for run in runs) for phase in runs[0]["seconds"]},
        # The loss of ns is no −log p: it stands under a name of its own.
        "ns_loss": mean_sd(run["loss"][-1] if run["loss"] else None for run in runs) if objective == "ns" else None,
        "heldout_nll": nll,
        "heldout_unigram_nll": mean_sd(run["heldout_unigram_nll"] for run in runs),
        "perplexity": None if nll is None else perplexity(nll["mean"]),
        "scores": {name: mean_sd(run["points"][-1]["scores"][name] for run in runs) for name in names},
        "points": [_point(points, names) for points in _same_points(runs)],
        "seconds_to": {name: seconds_to(runs, name, targets[name]) for name in names if name in targets},
        "score_at": None
        if seconds is None
        else {"seconds": seconds, "scores": {name: score_at(runs, name, seconds) for name in names}},
    }


def _same_points(runs: Sequence[Run]) -> list[list[Mapping[str, Any]]]:
    """The points that all the runs have: a short text may be through with one before the next pause."""
    found = []
    for first in runs[0]["points"]:
        points = [min(run["points"], key=lambda point: abs(point["epochs"] - first["epochs"])) for run in runs]
        if all(abs(point["epochs"] - first["epochs"]) <= _SAME_POINT for point in points):
            found.append(points)
    return found


def _point(points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The same point of all seeds."""
    return {
        "epochs": statistics.fmean(point["epochs"] for point in points),
        "seconds": mean_sd(point["seconds"] for point in points),
        "scores": {name: mean_sd(point["scores"][name] for point in points) for name in names},
        "heldout_nll": mean_sd(point["heldout_nll"] for point in points),
    }


def _first_at(run: Run, name: str, target: float) -> float | None:
    for point in run["points"]:
        score = point["scores"].get(name)
        if score is not None and score >= target:
            return point["seconds"]
    return None


def _last_until(run: Run, seconds: float) -> Mapping[str, Any] | None:
    return next((point for point in reversed(run["points"]) if point["seconds"] <= seconds), None)


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
