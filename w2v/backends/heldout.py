"""The held-out loss of the row-wise family, on the host, whichever backend trained the parameters."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.kernels.heldout_cpu import bag_losses
from w2v.kernels.targets_cpu import target_capacity
from w2v.objectives.base import RowWiseObjective
from w2v.objectives.heldout_pairs import Bags, cbow_windows, skipgram_pairs, target_counts

# Bags of a thread's task. The sum is taken task by task, so that it does not depend on the number of threads.
_TASK = 1 << 14


def rowwise_heldout_nll(
    config: TrainConfig, objective: RowWiseObjective, parameters: Callable[[], dict[str, np.ndarray]], ids: np.ndarray
) -> float | None:
    """Mean −log p(target | input) over the pairs of held-out ids, nats per pair (per window for CBOW).

    None for an objective that is not normalised. parameters: brings ``input_vectors`` (V, D) and ``output_vectors``
    (rows, D), float32, where they are wanted. ids: (N,) int32 with −1 after each sentence; raises TrainingError where
    they hold no pair.
    """
    if not objective.normalised:
        return None
    pairs = target_counts(ids, config, objective.counts.size).sum()
    task = partial(_task_loss, config, objective, parameters())
    loss = 0.0
    with ThreadPoolExecutor(config.threads or available_cores()) as pool:
        for bags, weights in _weighted_bags(config, objective.counts.size, ids):
            firsts = range(0, weights.size, _TASK)
            loss += sum(pool.map(partial(task, bags, weights), firsts))
    return float(loss / pairs)


def compile_heldout(config: TrainConfig, objective: RowWiseObjective) -> None:
    """Compile, or load from a cache, what ``rowwise_heldout_nll`` will run."""
    shapes = {"input_vectors": objective.counts.size, "output_vectors": objective.output_rows}
    parameters = {name: np.zeros((rows, config.vector_size), np.float32) for name, rows in shapes.items()}
    rowwise_heldout_nll(config, objective, lambda: parameters, np.array([0, 0, -1], np.int32))


def _weighted_bags(config: TrainConfig, words: int, ids: np.ndarray) -> Iterator[tuple[Bags, np.ndarray]]:
    """Bags and how often each counts, float64: a skip-gram pair is a bag of one word."""
    if config.model == "cbow":
        for bags in cbow_windows(ids, config.window):
            yield bags, np.ones(bags.targets.size)
        return
    for inputs, targets, counts in skipgram_pairs(ids, config.window, words):
        yield Bags(np.arange(inputs.size + 1), inputs, targets), counts


def _task_loss(
    config: TrainConfig,
    objective: RowWiseObjective,
    parameters: dict[str, np.ndarray],
    bags: Bags,
    weights: np.ndarray,
    first: int,
) -> float:
    """The summed loss of a task's bags."""
    capacity = target_capacity(objective.tables)
    room = np.empty(capacity, np.int32), np.empty(capacity, np.float32), np.empty(config.vector_size, np.float32)
    return bag_losses(
        *_flat(parameters["input_vectors"]), *_flat(parameters["output_vectors"]), objective.tables, *room,
        *bags, weights, first, min(first + _TASK, weights.size), config.cbow_sum,
    )  # fmt: skip


def _flat(rows: np.ndarray) -> tuple[np.ndarray, int]:
    """The floats of a matrix in a line, and how many lie between the beginnings of two rows; no copy.

    Padded and plain matrices become one type for numba.
    """
    if rows.strides[1] != rows.itemsize:
        rows = np.ascontiguousarray(rows)
    pitch = rows.strides[0] // rows.itemsize
    length = (len(rows) - 1) * pitch + rows.shape[1]
    return np.lib.stride_tricks.as_strided(rows, (length,), (rows.itemsize,), writeable=False), pitch
