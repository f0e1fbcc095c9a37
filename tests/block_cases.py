"""Block softmax for several files of tests: small vocabularies, parameters that matter, and plain lists of pairs."""

from collections.abc import Sequence

import numpy as np
from w2v.kernels.random import STREAM_SUBSAMPLE, epoch_key
from w2v.kernels.stream_cpu import is_kept, keep_thresholds

from w2v.backends.block import BlockBackend
from w2v.backends.block_arrays import ArrayOperations
from w2v.backends.block_cpu_batches import CpuBatches
from w2v.backends.block_cpu_operations import CpuOperations
from w2v.backends.block_step import Operations
from w2v.config import TrainConfig
from w2v.objectives import BlockObjective, make_objective
from w2v.objectives.block_batch import Batch, collapse_pairs, collapse_windows, distinct_pairs
from w2v.objectives.block_reference import BlockReference, Example
from w2v.objectives.reference import cut_windows

WORDS, SIZE, RATE = 60, 40, 0.1
CASES = {
    "full": {"objective": "full"},
    "class": {"objective": "class", "classes": 7},
    "adaptive": {"objective": "adaptive", "cutoffs": (10, 30, 50)},
    "tails alone": {"objective": "adaptive", "cutoffs": (10, 30), "shortlist": False},
    "head alone": {"objective": "adaptive", "cutoffs": ()},
}


def block_counts(words: int, seed: int = 0) -> np.ndarray:
    """Counts that do not fall, some of them equal and some 0."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(1, 2000 // np.arange(1, words + 1)).astype(np.int64)
    counts[words - words // 10 :] = 0
    return rng.permutation(counts)


def make_case(case: str, words: int = WORDS, **options: object) -> tuple[TrainConfig, BlockObjective]:
    """A configuration of CASES, D = 40, and its objective on ``block_counts``."""
    config = TrainConfig(**{"vector_size": SIZE, "window": 3, "sample": 0.0, **CASES[case], **options}).resolved()
    return config, make_objective(config, block_counts(words))


def random_parameters(objective: BlockObjective, seed: int = 0) -> dict[str, np.ndarray]:
    """Float32 values, large enough that every term of a gradient matters."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.uniform(0.02, 0.1, shape) if name.endswith("accumulators") else rng.normal(0, 0.3, shape)).astype(
            np.float32
        )
        for name, shape in objective.parameter_shapes.items()
    }


def operations_of(kind: str) -> Operations:
    """ "float64", the readable twin in tiles of a few rows; or "cpu" with a number of threads."""
    return ArrayOperations(np, np.float64, tile=500) if kind == "float64" else CpuOperations(int(kind.split()[1]))


def make_backend(config: TrainConfig, objective: BlockObjective, kind: str, seed: int | None = 0) -> BlockBackend:
    """A backend on ``operations_of(kind)`` with random parameters; seed None: with fresh ones."""
    backend = BlockBackend(config, objective, "cpu", operations_of(kind), CpuBatches(config, objective))
    if seed is None:
        backend.initialise()
    else:
        backend.load_parameters(random_parameters(objective, seed))
    return backend


def make_batch(objective: BlockObjective, examples: Sequence[Example]) -> Batch:
    """One batch of pairs (bags of one word), or of windows."""
    words = objective.counts.size
    if all(len(bag) == 1 for bag, _ in examples):
        keys = np.array([bag[0] * words + rank for bag, rank in examples], np.int64)
        return next(collapse_pairs(np, objective.layout, *distinct_pairs(np, keys)))
    begins = np.cumsum([0, *(len(bag) for bag, _ in examples)]).astype(np.int64)
    bags = np.array([word for bag, _ in examples for word in bag], np.int32)
    return collapse_windows(np, objective.layout, begins, bags, np.array([rank for _, rank in examples], np.int32))


def after_step(
    objective: BlockObjective, examples: Sequence[Example], kind: str
) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and parameters of one step from ``random_parameters``; kind: "reference" or of ``operations_of``."""
    if kind == "reference":
        reference = BlockReference(objective, random_parameters(objective), mean=not objective.config.cbow_sum)
        return reference.step(examples, RATE), reference.parameters
    backend = make_backend(objective.config, objective, kind)
    with backend.operations.running():
        backend.model.train(make_batch(objective, examples), RATE)
    return backend.operations.take_loss(), backend.parameters()


def assert_moved_alike(found: dict, expected: dict, start: dict, tolerance: float) -> None:
    """Parameters agree by ``tolerance`` of each array's largest movement from ``start``; those unmoved to the bit."""
    assert found.keys() == expected.keys() == start.keys()
    for name, values in expected.items():
        largest = np.abs(values - start[name]).max()
        error = np.abs(found[name].astype(np.float64) - values).max()
        # What is stored in float32 is rounded by up to half a unit in its last place.
        rounding = np.abs(values).max() * 2.0**-24 if found[name].dtype == np.float32 and largest else 0.0
        assert error <= tolerance * largest + rounding, f"{name}: {error:.2g} where {largest:.2g} moved"


def random_pairs(rng: np.random.Generator, words: int, count: int) -> list[Example]:
    """Pairs of which many are equal: (input word, rank)."""
    shares = 1.0 / np.arange(1, words + 1)
    inputs, ranks = rng.choice(words, (2, count), p=shares / shares.sum())
    return [([int(word)], int(rank)) for word, rank in zip(inputs, ranks, strict=True)]


def random_windows(rng: np.random.Generator, words: int, count: int) -> list[Example]:
    """Bags of 1 … 6 words, some twice in their bag, and ranks."""
    sizes = rng.integers(1, 7, count).tolist()
    return [(rng.integers(0, words // 2, size).tolist(), int(rng.integers(words))) for size in sizes]


def epoch_examples(
    config: TrainConfig, objective: BlockObjective, ids: np.ndarray, epoch: int, tokens: int
) -> list[list[Example]]:
    """What is to be predicted in an epoch, batch by batch of ``tokens`` ids: by the centres of the windows."""
    windows, _ = cut_windows(config, objective, ids, epoch)
    keep = keep_thresholds(objective.counts, config.sample)
    key = np.uint64(epoch_key(config.seed, epoch, STREAM_SUBSAMPLE))
    places = [place for place, word in enumerate(ids.tolist()) if word >= 0 and is_kept(word, place, keep, key)]
    batches: list[list[Example]] = [[] for _ in range(-(-ids.size // tokens))]
    for number, (window, place) in enumerate(zip(windows, places, strict=True)):
        around = windows[number - window.left : number] + windows[number + 1 : number + 1 + window.right]
        bag, rank = [other.word for other in around], int(objective.ranks[window.word])
        if config.model == "cbow":
            batches[place // tokens] += [(bag, rank)] if bag else []
        else:
            batches[place // tokens] += [([word], rank) for word in bag]
    return batches
