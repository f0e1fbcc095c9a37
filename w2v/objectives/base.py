"""What every objective of the row-wise family supplies."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from w2v.config import TrainConfig
from w2v.objectives.batching import CorpusShape

# A key for objectives that draw nothing.
_ANY = np.uint64(0)


class RowWiseObjective(ABC):
    """Binary logistic regression on a few output rows per predicted word.

    For an input h (D,), output rows o_k and signs s_k = ±1 of the predicted word:

        loss = Σ_k log(1 + exp(−s_k h·o_k))            (nats)

    Domain: any real logits. Subclasses say which rows and signs a word has, and hand the kernels the same as
    ``tables`` (see ``kernels/targets_cpu.py``).
    """

    name: ClassVar[str]
    #: Whether exp(−loss) is a probability over the vocabulary, so that losses compare between objectives.
    normalised: ClassVar[bool]
    #: Whether the contexts of a skip-gram window meet the output rows pair after pair, each as the earlier pairs left
    #: it (as word2vec.c's order of updates has it), in place of all at once.
    in_turn: ClassVar[bool] = False
    #: How many touches of a hot (input, output) row the other threads together may not have seen yet. More is faster
    #: and, past some point, worse. An input row is touched by every window that its word stands in.
    unseen_touches: ClassVar[tuple[int, int]] = (256, 64)
    #: How many contributions of GPU workers that have not seen one another an output row takes at full size. More
    #: diverge at some point; fewer slow the learning of the most used rows.
    unseen_contributions: ClassVar[float] = 32.0

    def __init__(self, counts: np.ndarray, config: TrainConfig) -> None:
        """Build the tables from counts, (V,) int64."""
        self.counts = np.ascontiguousarray(counts, np.int64)
        self.vector_size = config.vector_size
        self.tables = self._build_tables(config)

    @classmethod
    def resolve(cls, config: TrainConfig, shape: CorpusShape, device: str, say: Callable[[str], None]) -> TrainConfig:
        """Nothing depends on the corpus."""
        return config

    @abstractmethod
    def _build_tables(self, config: TrainConfig) -> tuple:
        """The named tuple that the kernels read."""

    @property
    @abstractmethod
    def output_rows(self) -> int:
        """Number of output vectors."""

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters: ``input_vectors`` (V, D) and ``output_vectors`` (rows, D)."""
        return {
            "input_vectors": (self.counts.size, self.vector_size),
            "output_vectors": (self.output_rows, self.vector_size),
        }

    @abstractmethod
    def first_hot_row(self, count: int) -> int:
        """Where the ``count`` most used output rows begin; they are neighbours."""

    @abstractmethod
    def expected_touches(self, share: np.ndarray) -> np.ndarray:
        """Mean number of times that a window lists each output row, (rows,); share: (V,) of the predicted words."""

    @abstractmethod
    def listed_targets(self, word: int, key: np.uint64 = _ANY, first_draw: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Output rows (K,) int64 and signs (K,) float64 of a word as they are drawn, sign 0 where one is skipped.

        key: the window's uint64 key, from which noise is drawn, where any is; first_draw: number of its first draw.
        """

    def targets(self, word: int, key: np.uint64 = _ANY, first_draw: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """``listed_targets`` without those that are skipped: the readable twin of the kernels' ``list_targets``."""
        rows, signs = self.listed_targets(word, key, first_draw)
        return rows[signs != 0], signs[signs != 0]
