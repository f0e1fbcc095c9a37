"""Predictions against real runs with one and two replicas on this computer, for scripts/simulate_scaling."""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from benchmark import describe, print_record
from scaling_answers import job_of, print_table
from scaling_corpus import read_counts, staleness, stream
from scaling_links import FABRICS, Fabric, Link
from scaling_measure import Rounds, Run, Store, measure_rounds, measure_store, measured_runs, train
from scaling_model import Job, Worker, averaging_seconds, mean_of_rounds, slowest

SIZE, EPOCHS = 100, 2


def check(text: Path, sync_words: int | None, repeats: int) -> dict:
    """Measure, predict, print; the record. sync_words: None for the defaults of one and of two replicas.

    Raises RuntimeError or W2VError where a run fails.
    """
    from w2v.distributed.rounds import default_sync_words

    options = ["--vector-size", str(SIZE), "--epochs", str(EPOCHS)]
    options += ["--sync-words", str(sync_words)] if sync_words else []
    interval = sync_words or default_sync_words(2, "cpu")
    loads = [os.getloadavg()[0]]
    slowdown = _slowdown(text, options)
    runs = measured_runs(text, options, repeats, (1, 2))
    rounds, alone, pair = measure_rounds(text, interval, SIZE), measure_store(1), measure_store(2)
    loads.append(os.getloadavg()[0])
    counts = read_counts(text)
    job = _job(counts, runs[0].words / EPOCHS, sync_words)
    found = [_compared(job, runs, rounds, (alone, pair), slowdown)]
    about = f"ns, V = {job.rows}, D = {SIZE}, --sync-words {interval} (of two), one thread a replica"
    machine = describe(about, ("numpy", "numba", "ray"))
    busy = f"other work shared the cores: load {loads[0]:.1f} before and {loads[1]:.1f} after, this included"
    print_record({**machine, "figures": "measured, but for predicted ones", "load": busy})
    told = [asdict(run) for run in runs]
    print_table(told)
    print()
    print_table(found)
    measured = {"rounds": asdict(rounds), "store_of_one": asdict(alone), "store_of_two": asdict(pair)}
    stale = _staleness(job, counts)
    print()
    print_table(stale)
    return {
        "machine": machine, "figures": "measured; predicted where it says so", "load": busy, "runs": told, **measured,
        "check": found, "staleness": stale,
    }  # fmt: skip


def _job(counts: np.ndarray, words: float, sync_words: int | None) -> Job:
    """What ``w2v train`` does with the text, on the CPU: rows are not padded."""
    job = job_of("ns", counts, SIZE, words, sync_words)
    return replace(job, matrices=((counts.size, SIZE), (counts.size, SIZE)))


def _fabric(store: Store) -> Fabric:
    link = Link("object-store", store.bandwidth, store.latency)
    return Fabric("object-store", link, link, 4096, adders=True)


def _slowdown(text: Path, options: list[str]) -> float:
    """How many times longer a run takes beside another one: two cores share caches, and are shared."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
        folders = [Path(name) / str(number) for number in range(2)]
        for folder in folders:
            folder.mkdir()
        train(text, folders[0], None, *options)  # encodes and compiles
        alone = train(text, folders[0], None, *options)
        both = list(pool.map(lambda folder: train(text, folder, None, *options), folders))
    return max(1.0, alone.rate / statistics.mean(run.rate for run in both))


def _compared(job: Job, runs: list[Run], rounds: Rounds, stores: tuple[Store, Store], slowdown: float) -> dict:
    """Two replicas as the runs of one replica and what was measured of the store have it, and as they were."""
    one, two = (statistics.median(run.rate for run in runs if run.replicas == count) for count in (1, 2))
    paired = [b.rate / a.rate for a, b in zip(runs[::2], runs[1::2], strict=True)]
    # One replica adds up and averages, too.
    training = job.words / one - sum(_rounds_seconds(job, 1, stores[0], rounds, job.words / one).values())
    half = slowdown * training / 2
    pair = _rounds_seconds(job, 2, stores[1], rounds, half)
    # Rounds but the last end while members train, who may differ by more than they do.
    parts = {
        "training": half,
        **pair,
        "waiting": half / job.rounds(2, _fabric(stores[1])) * rounds.jitter * slowest(2),
    }
    seconds = sum(parts.values())
    losses = {count: statistics.median(run.loss for run in runs if run.replicas == count) for count in (1, 2)}
    return {
        "one_measured": one, "two_predicted": job.words / seconds, "two_measured": two,
        "predicted_to_measured": job.words / seconds / two, "speedup_predicted": job.words / seconds / one,
        "speedup_measured": two / one, "speedup_least": min(paired), "speedup_most": max(paired),
        "slowdown_beside_another_run": slowdown, "rounds_of_one": job.rounds(1, _fabric(stores[0])),
        "rounds_of_two": job.rounds(2, _fabric(stores[1])), "seconds_predicted": seconds,
        "seconds_measured": job.words / two, **{f"seconds_of_{name}": part for name, part in parts.items()},
        "loss_one": losses[1], "loss_two": losses[2],
    }  # fmt: skip


def _rounds_seconds(job: Job, replicas: int, store: Store, rounds: Rounds, training: float) -> dict[str, float]:
    """Of an epoch's rounds: the store's sums, packing and unpacking, and notes. training: seconds of the epoch.

    A sum but that of the last round is waited for only where it takes longer than a member trains meanwhile.
    """
    from w2v.distributed.rounds import LATE

    count = job.rounds(replicas, _fabric(store))
    packing, sums = Worker(1.0, packing=rounds.packing, launch=0.0), Worker(1.0, packing=math.inf, launch=0.0)

    def waited(number: int) -> float:
        def reduce(size: float) -> float:
            return store.latency + size / store.bandwidth

        taken = averaging_seconds(job, number, count, replicas, sums, reduce)
        return taken if number == count else max(0.0, taken - LATE * training / count)

    def packed(number: int) -> float:
        return averaging_seconds(job, number, count, replicas, packing, lambda size: 0.0)

    # Of one member, too: what it sends goes through an actor and comes back.
    return {
        "sums": count * mean_of_rounds(count, waited),
        "packing": count * mean_of_rounds(count, packed),
        "notes": count * rounds.round_seconds,
    }


def _staleness(job: Job, counts: np.ndarray) -> list[dict]:
    """Of the two replicas: what was in fact unseen while they reached the losses above."""
    from w2v.config import DEFAULT_ALPHA

    use, rounds = stream("ns", counts, SIZE, 1.0), job.rounds(2, FABRICS["object-store"])
    rows = []
    for name, matrix in (("inputs", use.inputs), ("outputs", use.outputs)):
        found = staleness(matrix, 2, job.words / 2 / rounds, rounds, DEFAULT_ALPHA["ns", "skipgram"])
        rows += [{"matrix": name, **row} for row in found]
    return rows


def measured_worker(text: Path, objective: str, size: int, given: dict[str, float]) -> tuple[Worker, Fabric, dict]:
    """A thread of this computer: its words/s by a run of ``w2v train``, and its object store.

    given: figures of a ``Worker`` that are not to be measured. Raises as ``check`` does.
    """
    options = ("--objective", objective, "--vector-size", str(size), "--epochs", "1")
    with tempfile.TemporaryDirectory() as name:
        train(text, Path(name), None, *options)  # encodes and compiles
        run = train(text, Path(name), None, *options)
    rounds, store = measure_rounds(text, 100_000, size), measure_store(2)
    figures = {
        "packing": rounds.packing, "jitter": rounds.jitter, "round_seconds": rounds.round_seconds, "launch": 0.0,
        **given,
    }  # fmt: skip
    measured = {"run": asdict(run), "rounds": asdict(rounds), "store": asdict(store)}
    return Worker(run.rate, **figures), _fabric(store), {"measured": measured}
