"""What a run needs of memory, known before it takes any, and what would make it fit.

The encoded corpus is mapped from its file and needs none: the system drops its pages and reads them again. Figures
are of what is touched, in bytes, on top of what the process holds when training begins (the words and their counts
among it).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from w2v.backends.block_cpu_operations import MOST_ROWS, tile_rows
from w2v.backends.cpu import PRIVATE_FLOATS, PRIVATE_ROWS
from w2v.backends.sound import CHECKED_ROWS
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.corpus.cache import describe_size
from w2v.errors import TrainingError
from w2v.host_memory import available_memory
from w2v.kernels.simd import padded
from w2v.kernels.window import padded as device_padded
from w2v.objectives import BLOCK, CorpusShape
from w2v.objectives.batching import pairs_per_token, tokens_per_batch
from w2v.objectives.block_layout import BlockLayout, Tail
from w2v.objectives.block_softmax import stream_shares
from w2v.objectives.heldout_pairs import CHUNK as HELDOUT_PAIRS

# Compiled code, and the compiler where nothing is cached; the driver's part on the host where a GPU trains.
CODE, CUDA_CODE = 100 << 20, 300 << 20
# Ray's own processes on a computer, and what a replica is before it has anything: an interpreter with its modules.
RAY, REPLICA = 500 << 20, 100 << 20
# Rows of logits that a GPU has to hold beside the parameters (``block_cuda.FEWEST_ROWS``).
_DEVICE_ROWS = 64
# Bytes per word: of building each kind of tables, of the arrays by word that last, of writing the words at the end.
_NOISE_BUILDING, _TREE_BUILDING, _BLOCK_BUILDING = 40, 60, 48
_SAVED_WORD = 200
# Bytes per (input, target) pair while pairs are collapsed to a batch; per context of a window with CBOW; per id of
# the text that a batch is cut from; per held-out pair.
_PAIR, _CONTEXT, _ID, _HELDOUT_PAIR = 150, 60, 8, 60


@dataclass(frozen=True)
class HostNeed:
    """Bytes that training takes on the host, by what for.

    lasting: held from beginning to end. passing: held for a while, never two of them at once, so that the largest
    counts.
    """

    lasting: dict[str, int]
    passing: dict[str, int]

    @property
    def total(self) -> int:
        """The most that is held at any moment."""
        return sum(self.lasting.values()) + max(self.passing.values(), default=0)


def host_need(config: TrainConfig, shape: CorpusShape, device: str, heldout_ids: int = 0) -> HostNeed:
    """What training takes of the host's memory.

    config: resolved for the corpus, its replicas a number of processes on this host, or None; shape: what training
    sees of it; device: "cpu" or "cuda"; heldout_ids: ids that are held out.
    """
    if config.replicas is not None:
        return _replicas_need(config, shape, device, heldout_ids)
    need = _block_need if config.objective in BLOCK else _rowwise_need
    lasting, passing = need(config, shape, device)
    if heldout_ids and config.objective != "ns":
        passing["evaluating"] = _HELDOUT_PAIR * min(HELDOUT_PAIRS, 2 * config.window * heldout_ids)
        passing["evaluating"] += passing.get("batch", 0)
    words = shape.counts.size
    passing["checking"] = 4 * min(words, CHECKED_ROWS) * config.vector_size
    # Vectors alone are looked through for numbers that are not finite, a byte each.
    passing["saving"] = (_SAVED_WORD + config.vector_size) * words
    lasting["code"] = CODE
    if device == "cuda":
        lasting["code"] += CUDA_CODE
        copies = lasting.pop("parameters")
        passing = {name: size + copies for name, size in passing.items()}
    return HostNeed(lasting, passing)


def _replicas_need(config: TrainConfig, shape: CorpusShape, device: str, heldout_ids: int) -> HostNeed:
    """Each of them has its own parameters, and their values of the last round; beside them is Ray."""
    from w2v.distributed.averaging import CPU_BLOCK_BYTES

    replicas = config.replicas
    alone = replace(config, replicas=None, threads=max(1, _threads(config) // replicas))
    one = host_need(alone, shape, device, heldout_ids)
    reference = 0 if device == "cuda" else one.lasting["parameters"]
    packed = min(CPU_BLOCK_BYTES, reference)
    each = one.total + reference + 4 * packed + REPLICA  # packed and summed, each up to twice a block's values
    # A replica's rows on the way to a sum are objects of Ray's for two rounds; this may be one of all rows.
    return HostNeed({"replicas": replicas * each, "ray": RAY + replicas * (packed + reference)}, {})


def _rowwise_need(config: TrainConfig, shape: CorpusShape, device: str) -> tuple[dict[str, int], dict[str, int]]:
    """Negative sampling and hierarchical softmax."""
    words = shape.counts.size
    width = padded(config.vector_size) if device == "cpu" else device_padded(config.vector_size)
    building = _TREE_BUILDING if config.objective == "hs" else _NOISE_BUILDING
    lasting = {
        "parameters": 4 * width * 2 * words,
        "tables": table_bytes(config, shape.counts) + 4 * words,
        "threads": 0 if device == "cuda" else _threads(config) * _private_bytes(width, words),
    }
    return lasting, {"building": building * words}


def _private_bytes(width: int, words: int) -> int:
    """A thread's own copies of the most used rows of both matrices, each with what it was taken from."""
    return 4 * 4 * width * min(PRIVATE_ROWS, PRIVATE_FLOATS // width, words)


def table_bytes(config: TrainConfig, counts: np.ndarray) -> int:
    """The tables of a row-wise objective: the noise and its alias table, or every word's path in the tree."""
    return 16 * counts.size if config.objective == "ns" else 8 * counts.size + 5 * _tree_nodes(counts)


def _tree_nodes(counts: np.ndarray) -> int:
    """Nodes of all the paths of the Huffman tree, about: a word of frequency f has a path of log2 1/f, and a bit."""
    known = np.maximum(counts, 1).astype(np.float64)
    return int(np.ceil(math.log2(known.sum()) - np.log2(known)).sum()) + counts.size


def _block_need(config: TrainConfig, shape: CorpusShape, device: str) -> tuple[dict[str, int], dict[str, int]]:
    """Full, class-based and adaptive softmax."""
    layout = _layout(config, shape.counts)
    parameters = _parameter_bytes(layout)
    batch = _Batch(config, shape, layout)
    inputs = 4 * layout.size * layout.words
    lasting = {"parameters": parameters, "tables": 32 * layout.words}
    passing = {"building": _BLOCK_BUILDING * layout.words}
    if device == "cuda":
        return lasting, passing
    lasting["batch"] = batch.lasting
    lasting["logits"] = max((_logits(config, block) for block in batch.blocks()), default=0)
    passing["initialising"] = inputs + sum(4 * layout.size * tail.size for tail in layout.tails if tail.projected)
    passing["batch"] = max((_block_bytes(config, block) for block in batch.blocks()), default=0)
    return lasting, passing


def _layout(config: TrainConfig, counts: np.ndarray) -> BlockLayout:
    """The blocks of an objective that is not made yet."""
    order = np.argsort(-counts, kind="stable")
    return BLOCK[config.objective].build_layout(counts[order], config)


def _parameter_bytes(layout: BlockLayout) -> int:
    """Matrices and their accumulators, one a row."""
    return sum(4 * rows * (size + 1) for rows, size in _matrices(layout))


def _matrices(layout: BlockLayout) -> list[tuple[int, int]]:
    """Shapes of what is trained."""
    tails = [(tail.words, tail.size) for tail in layout.tails]
    projections = [(layout.size, tail.size) for tail in layout.tails if tail.projected]
    return [(layout.words, layout.size), (layout.columns, layout.size), *tails, *projections]


@dataclass(frozen=True)
class _Block:
    """A softmax block as a batch meets it: rows hidden vectors of ``size`` floats, ``columns`` of the matrix.

    copied: floats per row that are gathered and projected for it. whole: whether the threads share its rows; else
    each thread has a block of its own, one of many.
    """

    rows: int
    columns: int
    size: int
    copied: int = 0
    whole: bool = True


class _Batch:
    """How large the arrays of a batch are, as far as frequencies tell."""

    def __init__(self, config: TrainConfig, shape: CorpusShape, layout: BlockLayout) -> None:
        """Sizes of a batch of ``config.batch_pairs``."""
        kept, per_token = pairs_per_token(config, shape)
        cbow = config.model == "cbow"
        tokens = min(tokens_per_batch(config, shape), shape.tokens)
        pairs = min(config.batch_pairs, round(kept * tokens * per_token) + 1)
        share = stream_shares(shape.counts, config.sample)
        centres = pairs / max(1.0, per_token)
        distinct = int(-np.expm1(-share * centres).sum()) + 1
        self._layout = layout
        self.rows = pairs if cbow else distinct
        # A job is a row that reaches a cluster; a pair outside the short-list makes one at most.
        ranked = np.sort(share)[::-1]
        self._beyond = [float(ranked[begin:].sum()) for begin in layout.edges[:-1].tolist()]
        self._pairs = pairs
        outside = math.ceil(pairs * (self._beyond[0] if layout.tails else 0.0))
        contexts = pairs * (config.window + 1 if config.shrink_windows else 2 * config.window) if cbow else 0
        floats = 2 * self.rows + outside + (2 * distinct if cbow else 0)
        self.lasting = 4 * layout.size * floats + _PAIR * pairs + _CONTEXT * contexts + _ID * tokens

    def blocks(self) -> Iterable[_Block]:
        """Every block: the head, then the tails."""
        layout = self._layout
        yield _Block(self.rows, layout.columns, layout.size)
        cluster = 0
        for tail in layout.tails:
            jobs = min(self._pairs, math.ceil(self._pairs * self._beyond[cluster]))
            cluster += tail.clusters
            if tail.clusters > 1:
                widest = max(np.diff(tail.edges))
                yield _Block(min(jobs, self.rows, MOST_ROWS), int(widest), tail.size, layout.size, whole=False)
            else:
                yield _Block(min(jobs, self.rows), tail.words, tail.size, self._copied(tail))

    def _copied(self, tail: Tail) -> int:
        return self._layout.size + (2 * tail.size if tail.projected else 0)


def _logits(config: TrainConfig, block: _Block) -> int:
    """The logits that are held at once, and kept for the next block."""
    threads, pitch = _threads(config), padded(block.columns)
    rows = min(tile_rows(pitch), -(-block.rows // threads) if block.whole else block.rows)
    return 4 * threads * rows * pitch


def _block_bytes(config: TrainConfig, block: _Block) -> int:
    """The gradient of a block's matrix, once more where it is summed, and the rows that are gathered for it."""
    at_once = 1 if block.whole else _threads(config)
    return 4 * at_once * (2 * block.columns * block.size + block.rows * (block.copied + block.size))


def _threads(config: TrainConfig) -> int:
    return config.threads or available_cores()


def device_need(config: TrainConfig, counts: np.ndarray) -> int:
    """Bytes of GPU memory that training cannot do without; the corpus takes what is left, piece by piece if need be.

    What the backends ask for before they take any, but for ``hs``, whose tree is not grown here: there about that.
    """
    if config.objective in BLOCK:
        layout = _layout(config, counts)
        matrices = _matrices(layout)
        largest = max(4 * rows * size for rows, size in matrices)
        return _parameter_bytes(layout) * 3 // 2 + 2 * largest + _DEVICE_ROWS * 8 * layout.columns
    words = counts.size
    rows = 2 * words if config.objective == "ns" else 2 * words - 1
    tables = 8 * words if config.objective == "ns" else 8 * (words + 1) + 4 * _tree_nodes(counts)
    return 4 * (device_padded(config.vector_size) + 1) * rows + tables + 4 * words


def stated_memory(config: TrainConfig, shape: CorpusShape, device: str, heldout_ids: int = 0) -> str:
    """What training needs and what there is, in a line (``memory_line``); TrainingError where the host lacks it."""
    available = available_memory()
    need = require_host_memory(config, shape, device, available, heldout_ids)
    if device != "cuda" or config.replicas is not None:  # replicas ask for it themselves, each on its GPU
        return memory_line(need, available)
    from w2v.backends.cuda_current import free_memory

    return memory_line(need, available, device_need(config, shape.counts), free_memory())


def memory_line(
    need: HostNeed, available: int | None, device_need: int | None = None, device_free: int | None = None
) -> str:
    """One line for people: what is needed and what is there."""
    there = (
        "how much is available this system does not tell" if available is None else f"{_size(available)} available"
    )
    line = f"training needs about {_size(need.total)} of memory ({there})"
    if device_need is not None:
        free = "" if device_free is None else f" ({_size(device_free)} free)"
        line += f" and {_size(device_need)} of GPU memory{free}"
    return line


def require_host_memory(
    config: TrainConfig, shape: CorpusShape, device: str, available: int | None, heldout_ids: int = 0
) -> HostNeed:
    """What training needs (``host_need``); raises TrainingError, with what would fit, where that is not available."""
    need = host_need(config, shape, device, heldout_ids)
    if available is None or need.total <= available:
        return need

    def fits(changed: TrainConfig, counts: np.ndarray) -> bool:
        left = replace(shape, counts=counts)
        return host_need(changed, left, device, heldout_ids).total <= available

    raise TrainingError(
        f"training needs about {_size(need.total)} of memory and {_size(available)} are available: "
        + _advice(config, shape.counts, fits)
    )


def _advice(config: TrainConfig, counts: np.ndarray, fits: Callable[[TrainConfig, np.ndarray], bool]) -> str:
    """Which options would make it fit, each on its own."""
    size = _largest(
        _round_numbers(config.vector_size), lambda number: fits(replace(config, vector_size=number), counts)
    )
    words = _largest(_round_numbers(counts.size), lambda number: fits(_for_words(config, number), counts[:number]))
    if words is not None and words < 2:
        words = None
    options = [] if size is None else [f"--vector-size {size}"]
    if words is not None:
        options += [f"--max-final-vocab {words}", f"--min-count {counts[words] + 1}"]
    if options:
        return f"use {' or '.join(options)}"
    return "lower both --vector-size and --max-final-vocab, or take a machine with more memory"


def _for_words(config: TrainConfig, words: int) -> TrainConfig:
    """The configuration for the ``words`` most frequent words."""
    if isinstance(config.cutoffs, tuple):
        config = replace(config, cutoffs=tuple(cutoff for cutoff in config.cutoffs if cutoff < words))
    return replace(config, classes=min(config.classes, words)) if config.classes else config


def _round_numbers(below: int) -> list[int]:
    """Numbers of two digits at most before their zeros, rising, from 1 on and below ``below``."""
    numbers = [*range(1, 10), *(digits * 10**zeros for zeros in range(10) for digits in range(10, 100))]
    return [number for number in numbers if number < below]


def _largest(numbers: list[int], fits: Callable[[int], bool]) -> int | None:
    """The last number that fits, where all before it do too; None where none does."""
    low, high = 0, len(numbers)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if fits(numbers[middle]) else (low, middle)
    return numbers[low - 1] if low else None


def _size(size: int) -> str:
    """Bytes for people: whole megabytes, gigabytes with a digit."""
    return describe_size(size) if size >= 10**9 else f"{max(1, round(size / 1e6))} MB"
