"""What scripts/simulate_scaling says: assumptions, tables, and where efficiency falls."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from scaling_corpus import HARMLESS, stream
from scaling_links import FABRICS, REACHED
from scaling_model import (
    H200,
    MEASURED_ROWS,
    PASSES,
    SAME_BATCH,
    UNDIVIDED,
    Job,
    Worker,
    first_below,
    least_sync_words,
    matrices,
    predict,
    speed,
)

#: Pairs of a batch of block softmax, and words of one whose dot products are summed.
BATCH_PAIRS, COLUMN_BATCH = 131_072, 1e6
SIZES = ((79_666, 128), (1_000_000, 300), (10_000_000, 300))
SYNC_WORDS = (1e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8)
COUNTS = tuple(1 << power for power in range(10))
TOKENS_PER_SENTENCE = 18.4  # of the text that FITTED is of


def job_of(objective: str, counts: np.ndarray, size: int, words: float | None, sync_words: float | None) -> Job:
    """What is trained; counts: (V,) falling; words, sync_words: None for the defaults."""
    words = words or 1000.0 * counts.size
    job = Job(objective, counts.size, size, words, sync_words, matrices(objective, counts, size))
    if objective in ("ns", "hs"):
        return replace(job, dots=stream(objective, counts, size, COLUMN_BATCH).dots, batch_words=COLUMN_BATCH)
    batch, inputs = batch_of(objective, counts, size)
    return replace(job, batch_words=batch, batch_inputs=inputs)


def batch_of(objective: str, counts: np.ndarray, size: int) -> tuple[float, float]:
    """Words of the text and expected distinct inputs of a batch of block softmax (w2v.cost.inputs)."""
    from w2v.backends.in_flight import kept_share
    from w2v.config import TrainConfig
    from w2v.cost.inputs import ReachedInputs
    from w2v.objectives.batching import CorpusShape, pairs_per_token

    config = TrainConfig(objective=objective, vector_size=size)
    tokens = int(counts.sum())
    kept, each = pairs_per_token(config, CorpusShape(counts, tokens, round(tokens / TOKENS_PER_SENTENCE)))
    return BATCH_PAIRS / kept / each, ReachedInputs(kept_share(config, counts), BATCH_PAIRS, each).all


def assumptions(job: Job, worker: Worker, of_gpu: bool) -> list[str]:
    """A line each."""
    rate = worker.words_per_second
    one = f"one worker trains {rate / 1e6:.4g} million words/s"
    if of_gpu:
        base = H200[job.objective] / 1e6
        one += f": {base:.4g} on an H200 at D = 128 and V = {MEASURED_ROWS:,}, scaled (scaling_model.speed)"
        one += ", a figure of adaptive softmax" if job.objective == "class" else ""
    packing = f"rows are packed and unpacked at {worker.packing / 1e9:,.4g} GB/s"
    packing += f": they move {PASSES} times through its memory" if of_gpu else ""
    return [
        one,
        "nothing is exchanged while workers train; a round waits for the slowest of n normal numbers",
        f"a round's time varies by {worker.jitter:.3g} at 100,000 words, by its square root less in longer ones, by "
        f"{worker.jitter_floor:.3g} at least; lags of different rounds are independent",
        "members meet in the sums of a round alone; the end of a segment, the beginning of another and Python take "
        f"{worker.round_seconds * 1e6:.3g} µs a round (--round-us); a kernel takes {worker.launch * 1e6:.3g} µs to "
        "launch",
        packing,
        f"all-reduce: ring or tree, whichever is faster, at {REACHED} of a link's rate; eight GPUs a computer for "
        "nvlink4 (between computers ndr, 8 ports) and pcie (between them 100gbe, 1 port), one for the others",
        f"all output rows of block softmaxes are touched by every batch of {BATCH_PAIRS:,} pairs",
        f"columns: batches of {COLUMN_BATCH:.0e} words, {UNDIVIDED} of a step is not divided; softmax-rows: "
        f"{SAME_BATCH * 1e3:g} ms of a batch are not",
        f"staleness × alpha beyond {HARMLESS:g} was not shown to be harmless where steps are added up on one GPU (64 "
        "contributions at 0.025 were); averages are another rule: two replicas with 45 on the top "
        "rows ended with the training loss of one (--check, 200,000 words between rounds)",
    ]  # fmt: skip


def answers(job: Job, worker: Worker, counts: np.ndarray) -> dict[str, list[dict]]:
    """Print and return: efficiency by --sync-words, where it falls below a half, and what would help."""
    found = {
        "eight_over_nvlink": _eight(job, worker),
        "least_sync_words_for_0.9": _least(job, worker),
        "fewest_workers_below_0.5": _below(worker, counts),
        "what_would_help": _help(job, worker, counts),
    }
    for name, rows in found.items():
        print(f"\n{name.replace('_', ' ')} (simulated)")
        print_table(rows)
    return found


def _eight(job: Job, worker: Worker) -> list[dict]:
    variants = {
        "as assumed": worker,
        "a round costs its sums alone": replace(worker, round_seconds=0.0, launch=0.0, packing=math.inf),
        "nobody lags": replace(worker, jitter=0.0, jitter_floor=0.0),
        "twice the words/s": replace(worker, words_per_second=2 * worker.words_per_second),
    }
    rows = []
    for name, variant in variants.items():
        row: dict[str, object] = {"variant": name}
        for words in SYNC_WORDS:
            found = predict(replace(job, sync_words=words), variant, 8, FABRICS["nvlink4"])
            row[f"{words:.0e}"] = found.efficiency
        rows.append(row | {"least_for_0.9": least_sync_words(job, variant, 8, FABRICS["nvlink4"])})
    return rows


def _least(job: Job, worker: Worker) -> list[dict]:
    return [
        {"link": name, **{str(n): least_sync_words(job, worker, n, fabric) or "–" for n in (2, 8, 64, 512)}}
        for name, fabric in FABRICS.items()
        if not fabric.adders
    ]


def _below(worker: Worker, counts: np.ndarray) -> list[dict]:
    """For ns, whose words/s are measured; rows of the words' default."""
    rows = []
    for words, size in SIZES:
        blank = np.ones(words, np.int64)
        job = Job("ns", words, size, 1000.0 * words, None, matrices("ns", blank, size))
        own = replace(worker, words_per_second=speed("ns", words, size))
        for name, fabric in FABRICS.items():
            if fabric.adders:
                continue
            row = {"V": words, "D": size, "link": name}
            for sync in (None, 1e5, 1e6, 1e7, 1e8):
                found = (predict(replace(job, sync_words=sync), own, n, fabric) for n in COUNTS)
                row[f"{sync:.0e}" if sync else "default"] = first_below(found) or f"> {COUNTS[-1]}"
            rows.append(row)
    return rows


def _help(job: Job, worker: Worker, counts: np.ndarray) -> list[dict]:
    """Other ways to divide the work, over nvlink4, ndr and 10gbe."""
    ns = replace(job, objective="ns", matrices=matrices("ns", counts, job.size))
    ns = replace(ns, dots=stream("ns", counts, job.size, COLUMN_BATCH).dots, batch_words=COLUMN_BATCH)
    own = replace(worker, words_per_second=speed("ns", job.rows, job.size))
    cases = [
        ("ns", "rows, default interval", replace(ns, sync_words=None), own, "rows"),
        ("ns", "rows, 100,000 words", replace(ns, sync_words=1e5), own, "rows"),
        ("ns", "rows, 20 million words", replace(ns, sync_words=2e7), own, "rows"),
        ("ns", "columns", ns, own, "columns"),
    ]
    for objective in ("full", "adaptive", "class"):
        softmax = job_of(objective, counts, job.size, job.words, None)
        one = replace(worker, words_per_second=speed(objective, job.rows, job.size))
        cases += [(objective, "rows, default interval", softmax, one, "rows")]
        cases += [(objective, "softmax-rows", softmax, one, "softmax-rows")]
        tuned = replace(one, words_per_second=10 * one.words_per_second)
        cases += [(objective, "rows, a step ten times faster", softmax, tuned, "rows")]
        cases += [(objective, "softmax-rows, a step ten times faster", softmax, tuned, "softmax-rows")]
    rows = []
    for objective, name, case, one, scheme in cases:
        for link in ("nvlink4", "ndr", "10gbe"):
            found = {n: predict(case, one, n, FABRICS[link], scheme).efficiency for n in (8, 64, 512)}
            rows.append({"objective": objective, "way": name, "link": link, **{str(n): e for n, e in found.items()}})
    return rows


def print_table(rows: list[dict]) -> None:
    """Tab-separated, under a header line."""
    print("\t".join(rows[0]))
    for row in rows:
        print("\t".join(_told(value) for value in row.values()))


def _told(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if 0.001 <= abs(value) < 100 else f"{value:.3g}"
    return str(value)


def rounded(value: object) -> object:
    """Floats to four digits, in lists and dictionaries too; infinite ones and NaN are refused."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(part) for part in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a figure is not finite: check the options")
        return float(f"{value:.4g}")
    return value


def plot(rows: list[dict], path: Path) -> None:
    """Efficiency by workers, a line per link; raises MissingExtraError without matplotlib."""
    from w2v.errors import require

    figures = require("matplotlib.figure", "plot", "--plot")
    figure = figures.Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row["fabric"] for row in rows):
        line = [(row["workers"], row["efficiency"]) for row in rows if row["fabric"] == name]
        axes.plot(*zip(*line, strict=True), marker=".", label=name)
    axes.set(xscale="log", xlabel="workers", ylabel="efficiency", ylim=(0, 1.02), title="simulated")
    axes.set_xticks([row["workers"] for row in rows if row["fabric"] == rows[0]["fabric"]])
    axes.set_xticklabels([str(row["workers"]) for row in rows if row["fabric"] == rows[0]["fabric"]])
    axes.minorticks_off()
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
