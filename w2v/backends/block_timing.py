"""How long blocks of softmax take on a device: for the cost model (``w2v/cost``), by the code that trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from w2v.backends.block import BlockBackend, make_block_backend
from w2v.backends.devices import choose_device, processor_name
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.errors import TrainingError
from w2v.objectives import AdaptiveSoftmax
from w2v.objectives.block_batch import Batch, Targets

if TYPE_CHECKING:
    from w2v.corpus import EncodedCorpus

# A block is timed until it ran this often or, at least twice, for this many seconds; once before that does not count.
REPEATS, SECONDS = 5, 0.3
# Batches of a corpus that --explain times, after one that does not count.
BATCHES = 5
RATE = 0.1


class DeviceBlockTimer:
    """Times blocks of any shape. device: "cpu (name, threads)" or "cuda (name)"."""

    def __init__(self, device: str, threads: int | None) -> None:
        """device: "auto", "cpu" or "cuda"; raises DeviceError where that is not usable."""
        device = choose_device(device)
        config = TrainConfig(
            objective="full", vector_size=8, threads=threads or available_cores(), device=device, batch_pairs=8
        ).resolved()
        objective = AdaptiveSoftmax(np.ones(2, np.int64), replace(config, objective="adaptive", cutoffs=()))
        backend = make_block_backend(config, objective, device)
        self._operations = backend.operations
        self.device = f"cpu ({processor_name()}, {config.threads} threads)" if device == "cpu" else backend.device

    def block_seconds(self, columns: int, inputs: int, size: int) -> float:
        """Median seconds of one dense step: ``inputs`` × ``columns`` logits at ``size`` dimensions."""
        operations = self._operations
        with operations.running():
            rows, source = operations.new_rows(columns, size), operations.new_rows(inputs, size)
            values = np.random.default_rng(0).normal(0, 0.1, (inputs, size)).astype(np.float32)
            operations.load_rows(source, values, np.zeros(inputs, np.float32))
            hidden = operations.take(source.matrix, operations.array(np.arange(inputs, dtype=np.int32)))
            bias = operations.new_bias(np.zeros(columns, np.float32))
            weights = operations.array(np.ones(inputs, np.float32))
            targets = Targets(
                operations.array(np.arange(inputs + 1, dtype=np.int32)),
                operations.array(np.arange(inputs, dtype=np.int32) % columns),
                weights,
            )

            def step() -> None:
                operations.block(hidden, rows, bias, weights, targets, RATE)
                operations.take_loss()  # waits for the device

            step()
            return median(_repeated(step))


def _repeated(step: Callable[[], None]) -> list[float]:
    seconds: list[float] = []
    while len(seconds) < REPEATS and (len(seconds) < 2 or sum(seconds) < SECONDS):
        begin = perf_counter()
        step()
        seconds.append(perf_counter() - begin)
    return seconds


def make_block_timer(device: str, threads: int | None) -> DeviceBlockTimer:
    """What ``w2v calibrate`` measures with; device: "auto", "cpu" or "cuda"."""
    return DeviceBlockTimer(device, threads)


def explain_timings(config: TrainConfig, corpus: EncodedCorpus) -> list[float]:
    """Median seconds of the head and of each tail, with its projection, over steps on batches of a corpus.

    config: of adaptive softmax, with its cut-offs and ``batch_pairs``. Raises TrainingError where no batch has pairs.
    """
    config = replace(config.resolved(), threads=config.threads or available_cores())
    objective = AdaptiveSoftmax(corpus.vocabulary.counts, config)
    backend = make_block_backend(config, objective, choose_device(config.device))
    backend.initialise()
    with backend.operations.running():
        # Lines of one word make batches of no pairs, which are no steps.
        batches = (piece.batch for piece in backend.pieces(corpus.ids) if piece.batch.rows)
        first = next(batches, None)
        if first is None:
            raise TrainingError(
                "no batch of the corpus has a pair that could be timed: use longer lines, a lower --min-count or "
                "--sample 0"
            )
        # What warms up does not count; where there is but one batch, it is timed the second time.
        _timed_step(backend, first)
        seconds = [_timed_step(backend, batch) for batch in islice(batches, BATCHES)] or [_timed_step(backend, first)]
    return [median(times) for times in zip(*seconds, strict=True)]


def _timed_step(backend: BlockBackend, batch: Batch) -> list[float]:
    """Train one batch, block by block; seconds of each."""
    seconds: list[float] = []

    def timed(work: Callable[[], object]) -> object:
        backend.operations.take_loss()
        begin = perf_counter()
        result = work()
        backend.operations.take_loss()
        seconds.append(perf_counter() - begin)
        return result

    backend.model.train(batch, RATE, timed)
    return seconds
