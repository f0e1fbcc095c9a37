"""Records of comparisons, as compare.json holds them, with numbers that could have been measured."""

import math
import statistics
from typing import Any

import numpy as np

OBJECTIVES = ("ns", "hs", "class", "adaptive", "full")
EVALUATION = [
    {"name": name, "kind": kind, "file": file, "sha256": digit * 64, "covered": covered, "total": total}
    for name, kind, file, digit, covered, total in (
        ("wordsim353", "pairs", "wordsim353.tsv", "a", 350, 353),
        ("simlex999", "pairs", "simlex999.tsv", "b", 993, 999),
        ("questions-words", "analogies", "questions-words.txt", "c", 12518, 19544),
    )
]
PHASES = ("read", "encode", "upload", "compile", "train", "evaluate")
# Of each objective: seconds of an epoch, pairs of a word, final scores, final nats per pair.
_NATURE: dict[str, tuple[float, tuple[float, float, float], float | None]] = {
    "ns": (4.2, (62.2, 31.5, 39.6), None),
    "hs": (12.6, (59.2, 26.4, 38.5), 7.402),
    "class": (17.0, (60.5, 29.6, 40.8), 7.254),
    "adaptive": (113.0, (57.5, 29.3, 35.1), 7.261),
    "full": (450.0, (61.0, 30.1, 41.2), 7.243),
}


def make_record(
    models: tuple[str, ...] = ("skipgram", "cbow"),
    objectives: tuple[str, ...] = OBJECTIVES,
    seeds: tuple[int, ...] = (1, 2, 3),
    evaluation: list[dict[str, Any]] = EVALUATION,
    points: tuple[float, ...] = (0.25, 0.5, 1, 2, 3, 4, 5),
    others: tuple[tuple[str, str, str], ...] = (),
    heldout: bool = True,
) -> dict[str, Any]:
    """A finished comparison. ``others``: (system, model, objective) of other systems beside w2v."""
    rng = np.random.default_rng(7)
    kinds = [("w2v", model, objective) for model in models for objective in objectives] + list(others)
    runs = [_run(rng, *kind, seed, evaluation, points, heldout) for kind in kinds for seed in seeds]
    fastest = {model: _fastest([run for run in runs if run["model"] == model]) for model in models}
    targets = {"wordsim353": 55.0, "simlex999": 25.0, "questions-words": 30.0}
    record = {
        "format": "w2v-comparison", "version": 1, "created": "2026-11-21T14:02:11+00:00",
        "finished": "2026-11-21T17:40:45+00:00",
        "command": "w2v compare en17m.txt -o DIR --models skipgram,cbow --seeds 3 --heldout 0.005",
        "machine": {
            "processor": "AMD EPYC, 2 cores, 512-bit vectors", "cores": 2, "memory_bytes": 8_200_000_000,
            "system": "Linux-6.18.44-x86_64-with-glibc2.36", "device": "cpu", "driver": None,
            "versions": {"w2v": "0.1.0", "python": "3.11.7", "numpy": "2.4.6", "numba": "0.68.1"},
        },
        "corpus": {
            "inputs": ["en17m.txt"], "fingerprint": "9f" * 16, "vocabulary_sha256": "1c" * 32,
            "heldout_sha256": "2d" * 32, "tokens": 16_718_845, "raw_tokens": 17_005_207, "sentences": 812_345,
            "words": 79_666, "heldout_tokens": 83_512, "heldout_sentences": 4_061,
            "seconds": {"read": 0.41, "encode": 1.93, "compile": 6.2}, "cached": False,
        },
        "settings": {"vector_size": 128, "window": 5, "min_count": 5, "sample": 0.001, "epochs": 5, "negative": 5,
                     "heldout": 0.005, "threads": 2, "device": "cpu"},
        "models": list(models), "objectives": list(objectives), "seeds": list(seeds), "points": list(points),
        "targets": {row["name"]: targets[row["name"]] for row in evaluation}, "evaluation": evaluation,
        "targets_given": {}, "against": sorted({system for system, _, _ in others}),
        "notes": [] if evaluation else ["no evaluation files: speed and held-out nats only (scripts/fetch_data)"],
        "runs": runs,
    }  # fmt: skip
    record["summary"] = [_summed(kind, runs, record["targets"], fastest[kind[1]]) for kind in kinds]
    return record


def _run(
    rng: np.random.Generator, system: str, model: str, objective: str, seed: int, evaluation: list[dict[str, Any]],
    points: tuple[float, ...], heldout: bool,
) -> dict[str, Any]:  # fmt: skip
    epoch, finals, nats = _NATURE[objective]
    epoch *= {"w2v": 1.0, "gensim": 8.3, "torch": 26.0}[system] * (0.55 if model == "cbow" else 1.0)
    epoch *= 1 + 0.04 * rng.standard_normal()
    shift = (-6.0 if model == "cbow" else 0.0) + 0.7 * rng.standard_normal()
    tokens = 16_718_845
    scored = []
    for done in points:
        grown = 1 - 0.55 * math.exp(-1.1 * done)
        scores = {row["name"]: final * grown + shift for row, final in zip(evaluation, finals, strict=False)}
        likelihood = nats + 0.25 * math.exp(-done) + 0.002 * rng.standard_normal() if nats and heldout else None
        scored.append({"epochs": done, "words": int(done * tokens), "seconds": epoch * done, "scores": scores,
                       "heldout_nll": likelihood})  # fmt: skip
    train = epoch * points[-1]
    seconds = dict(zip(PHASES, (0.02, 0.11, 0.0, 3.1, train, 0.9 * len(points)), strict=True))
    name = f"{model}-{objective}-{seed}" if system == "w2v" else f"{system}-{model}-{objective}-{seed}"
    words = points[-1] * tokens
    return {
        "name": name, "system": system, "model": model, "objective": objective, "seed": seed, "status": "done",
        "error": None, "config": {"model": model, "objective": objective, "seed": seed, "window": 5,
                                  "alpha": 0.025 if objective in ("ns", "hs") else 0.2,
                                  "cutoffs": [8000, 30000] if objective == "adaptive" else None},
        "initial_sha256": "4e" * 32, "vectors_sha256": f"{seed:02d}" * 32, "device": "cpu", "threads": 2,
        "seconds": {**seconds, "total": sum(seconds.values()) + 0.4},
        "words_per_second": words / train, "kept_words_per_second": 0.71 * words / train,
        "pairs_per_second": 4.3 * words / train if system == "w2v" else None, "words": int(words),
        "kept_words": int(0.71 * words), "pairs": int(4.3 * words),
        "peak_host_bytes": 612_000_000 + 1_000_000 * seed, "peak_device_bytes": None,
        "loss": [2.31, 2.05, 1.98, 1.95, 1.93 + 0.01 * seed] if objective == "ns" else [7.6, 7.4, 7.3],
        "heldout_nll": scored[-1]["heldout_nll"], "heldout_unigram_nll": 7.395 if nats and heldout else None,
        "points": scored,
    }  # fmt: skip


def statistic(values: list[float | None]) -> dict[str, float | None] | None:
    """Mean and sample standard deviation, None where a value is missing."""
    if not values or None in values:
        return None
    return {"mean": statistics.fmean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}


def _summed(
    kind: tuple[str, str, str], runs: list[dict[str, Any]], targets: dict[str, float], fastest: float | None
) -> dict[str, Any]:
    system, model, objective = kind
    own = [run for run in runs if (run["system"], run["model"], run["objective"]) == kind]
    name = f"{model}-{objective}" if system == "w2v" else f"{system} {model}-{objective}"
    points = [
        {
            "epochs": at[0]["epochs"],
            "seconds": statistic([point["seconds"] for point in at]),
            "scores": {test: statistic([point["scores"][test] for point in at]) for test in at[0]["scores"]},
            "heldout_nll": statistic([point["heldout_nll"] for point in at]),
        }
        for at in zip(*(run["points"] for run in own), strict=True)
    ]
    nats = statistic([run["heldout_nll"] for run in own])
    return {
        "name": name, "system": system, "model": model, "objective": objective, "normalised": objective != "ns",
        "seeds": len(own), "train_seconds": statistic([run["seconds"]["train"] for run in own]),
        **{key: statistic([run[key] for run in own])
           for key in ("words_per_second", "kept_words_per_second", "pairs_per_second")},
        "peak_host_bytes": max(run["peak_host_bytes"] for run in own), "peak_device_bytes": None,
        "seconds": {phase: statistics.fmean(run["seconds"][phase] for run in own) for phase in (*PHASES, "total")},
        "ns_loss": statistic([run["loss"][-1] for run in own]) if objective == "ns" else None,
        "heldout_nll": nats, "perplexity": math.exp(nats["mean"]) if nats else None,
        "scores": points[-1]["scores"], "points": points,
        "seconds_to": {test: _seconds_to(own, test, target) for test, target in targets.items()},
        "score_at": {"seconds": fastest,
                     "scores": {test: _score_at(own, test, fastest) for test in points[-1]["scores"]}},
    }  # fmt: skip


def _seconds_to(runs: list[dict[str, Any]], test: str, target: float) -> dict[str, Any]:
    firsts = [next((p["seconds"] for p in run["points"] if p["scores"][test] >= target), None) for run in runs]
    reached = [seconds for seconds in firsts if seconds is not None]
    return {"target": target, "mean": statistics.fmean(reached) if reached else None, "reached": len(reached)}


def _fastest(runs: list[dict[str, Any]]) -> float | None:
    """Of the cases of w2v the shortest time of the slowest seed."""
    own = [run for run in runs if run["system"] == "w2v"]
    slowest = [max(run["seconds"]["train"] for run in own if run["objective"] == name)
               for name in {run["objective"] for run in own}]  # fmt: skip
    return min(slowest, default=None)


def _score_at(runs: list[dict[str, Any]], test: str, seconds: float) -> dict[str, Any] | None:
    lasts = [[p for p in run["points"] if p["seconds"] <= seconds][-1:] for run in runs]
    if not all(lasts):
        return None
    points = [last[0] for last in lasts]
    return {**statistic([p["scores"][test] for p in points]), "epochs": [p["epochs"] for p in points]}
