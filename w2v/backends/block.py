"""Training by block softmax: one step per batch of the corpus, on the CPU or on one GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from w2v.backends.base import NO_PAUSES, EpochReport, Pauses
from w2v.backends.block_step import Array, BlockModel, Operations
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.corpus.heldout import sentence_marks
from w2v.kernels.random import STREAM_INITIAL, epoch_key
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.kernels.tables_cpu import fill_uniform
from w2v.objectives.batching import CorpusShape, tokens_per_batch
from w2v.objectives.block_batch import Batch, host_copy
from w2v.objectives.block_softmax import BlockObjective

# Words that are to be left of the batch that compiles everything; and how many it takes at most to get there.
COMPILED_WORDS, MOST_COMPILED = 16, 1 << 16


@dataclass
class Piece:
    """A batch, and what of the corpus is in it: pairs (windows with cbow), kept words, words before sub-sampling.

    begin: number of ids of the corpus before it; waits: whether the host waits for the device after this one anyway,
    so that the loss may be asked for.
    """

    batch: Batch
    pairs: int
    kept_words: int
    words: int
    begin: int
    waits: bool = True


class BatchSource(Protocol):
    """Cuts a corpus into batches, on the device that trains."""

    def upload(self, ids: np.ndarray, tokens: int) -> None:
        """Bring a corpus to the device, as far as it fits; batches will be of ``tokens`` ids."""

    def pieces(self, ids: np.ndarray, epoch: int, tokens: int, begin: int = 0) -> Iterator[Piece]:
        """An epoch, from the batch that begins at ``begin`` on, in batches of ``tokens`` ids each but for the last.

        begin: the ``begin`` of a piece of that epoch.
        """

    def heldout(self, ids: np.ndarray) -> Iterator[tuple[Batch, int]]:
        """All the pairs of whole windows without sub-sampling, in batches, with the pairs of each."""


class BlockBackend:
    """The block-softmax family. notes: lines for people about how the training runs."""

    def __init__(
        self, config: TrainConfig, objective: BlockObjective, device: str, operations: Operations, source: BatchSource
    ) -> None:
        """Allocate zeroed parameters; device: its name for people."""
        self.config = config
        self.objective = objective
        self.device = device
        self.notes: list[str] = []
        self.operations = operations
        self._source = source
        self._planned: tuple[np.ndarray, int] | None = None
        self.model = BlockModel(objective, operations, mean=not config.cbow_sum)

    def initialise(self) -> None:
        """Inputs and projections uniform by counter, the output rows and all accumulators zero.

        The inputs are the row-wise family's draw at this one's scale.
        """
        widths = self.objective.initial_half_widths
        key = np.uint64(epoch_key(np.uint64(self.config.seed), 0, STREAM_INITIAL))
        parameters = {}
        for number, (name, shape) in enumerate(self.objective.parameter_shapes.items()):
            parameters[name] = values = np.zeros(shape, np.float32)
            if name in widths:
                own = key if number == 0 else np.uint64(epoch_key(key, number, STREAM_INITIAL))
                fill_uniform(values, shape[1], widths[name], own)
        self.load_parameters(parameters)

    def compile(self) -> None:
        """Train one batch over the word that sub-sampling keeps most; leaves the parameters undefined."""
        keep = (keep_thresholds(self.objective.counts, self.config.sample) + 1.0) / 2**32
        copies = min(int(COMPILED_WORDS / keep.max()), MOST_COMPILED)
        ids = np.append(np.full(copies, keep.argmax()), -1).astype(np.int32)
        with self.operations.running():
            self._source.upload(ids, ids.size)
            for piece in self._source.pieces(ids, 0, ids.size):
                self.model.train(piece.batch, 0.0)
            self.operations.take_loss()
        if self.config.heldout:
            self.heldout_nll(np.array([0, 0, -1], np.int32))

    def upload(self, ids: np.ndarray) -> None:
        """Bring the corpus to the device, as far as it fits."""
        self._source.upload(ids, self._tokens_per_batch(ids))

    def train_epoch(
        self,
        ids: np.ndarray,
        epoch: int,
        schedule: Callable[[float], float],
        progress: Callable[[EpochReport], None],
        pauses: Pauses = NO_PAUSES,
        start: EpochReport | None = None,
    ) -> EpochReport:
        """Train one pass, batch by batch in the order of the text."""
        done = replace(start or EpochReport())
        begin, report = done.position, replace(done)
        with self.operations.running():
            for piece in self.pieces(ids, epoch, begin):
                done.position = piece.begin
                if piece.begin > begin and pauses.due(piece.begin / ids.size):
                    done.loss += self.operations.take_loss()
                    pauses.hook(replace(done))
                rate = schedule(piece.begin / ids.size)
                self.model.train(piece.batch, rate)
                done.pairs += piece.pairs
                done.kept_words += piece.kept_words
                done.words += piece.words
                done.learning_rate = rate
                if piece.waits:
                    done.loss += self.operations.take_loss()
                    report = replace(done)
                    progress(report)
        return report

    def pieces(self, ids: np.ndarray, epoch: int = 0, begin: int = 0) -> Iterator[Piece]:
        """The batches of an epoch from the one at ``begin`` on, inside ``operations.running()``."""
        tokens = self._tokens_per_batch(ids)
        self._source.upload(ids, tokens)
        return self._source.pieces(ids, epoch, tokens, begin)

    def _tokens_per_batch(self, ids: np.ndarray) -> int:
        """Ids of a batch; a corpus is looked through once."""
        if self._planned is None or self._planned[0] is not ids:
            self._planned = ids, self._plan(ids)
        return self._planned[1]

    def _plan(self, ids: np.ndarray) -> int:
        sentences = sentence_marks(ids)
        shape = CorpusShape(self.objective.counts, ids.size - sentences, sentences)
        config = self.config
        if config.batch_pairs is None:
            raise ValueError("batch_pairs has to be resolved for a corpus first")
        return round(tokens_per_batch(config, shape) * ids.size / max(1, shape.tokens))

    def heldout_nll(self, ids: np.ndarray) -> float:
        """Mean −log p over all the pairs of the whole windows of ids, nats per pair (per window with cbow)."""
        pairs = 0
        with self.operations.running():
            self.operations.take_loss()
            for batch, count in self._source.heldout(ids):
                self.model.evaluate(batch)
                pairs += count
            return self.operations.take_loss() / pairs

    def parameters(self) -> dict[str, np.ndarray]:
        """All parameters by name, float32: copies, or views where the device is the CPU."""
        found = {}
        for stem, rows in self.model.named_rows().items():
            matrix, accumulators = self.operations.read_rows(rows)
            found[_matrix_name(stem)] = matrix
            found[f"{stem}_accumulators"] = accumulators
        return found

    def shared(self) -> dict[str, Array]:
        """Matrices and accumulators."""
        found = {}
        for stem, rows in self.model.named_rows().items():
            found[_matrix_name(stem)], found[f"{stem}_accumulators"] = rows.matrix, rows.accumulators
        return found

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """What surrounds steps; then the rows' shadows are written anew."""
        with self.operations.running():
            yield
            for rows in self.model.named_rows().values():
                self.operations.rows_changed(rows)

    def as_parameters(self, shared: Mapping[str, Array]) -> dict[str, np.ndarray]:
        """Copies on the host, without the padding."""
        with self.operations.running():
            found = {name: host_copy(array) for name, array in shared.items()}
        for stem, rows in self.model.named_rows().items():
            name = _matrix_name(stem)
            found[name] = found[name][:, : rows.size]
        return {name: np.array(array) for name, array in found.items()}

    def pause_after(self, ids: int) -> None:
        """Batches are shorter than any interval that is worth while."""

    def load_parameters(self, parameters: dict[str, np.ndarray]) -> None:
        """Copy parameters in."""
        for stem, rows in self.model.named_rows().items():
            matrix = parameters[_matrix_name(stem)]
            self.operations.load_rows(rows, matrix, parameters[f"{stem}_accumulators"])

    def unsound_parameters(self) -> list[str]:
        """Names of the matrices that hold something not finite, or so large that its square is not."""
        return [
            _matrix_name(stem) for stem, rows in self.model.named_rows().items() if not self.operations.is_sound(rows)
        ]


def _matrix_name(stem: str) -> str:
    """The name of a matrix among the parameters."""
    return stem if stem.endswith("projection") else f"{stem}_vectors"


def make_block_backend(config: TrainConfig, objective: BlockObjective, device: str) -> BlockBackend:
    """The backend on "cpu" or "cuda"."""
    if device == "cuda":
        from w2v.backends.block_cuda import cuda_block_backend

        return cuda_block_backend(config, objective)
    from w2v.backends.block_cpu_batches import CpuBatches
    from w2v.backends.block_cpu_operations import CpuOperations

    operations = CpuOperations(config.threads or available_cores())
    return BlockBackend(config, objective, "cpu", operations, CpuBatches(config, objective))
