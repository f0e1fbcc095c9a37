"""Negative sampling: the predicted word against K noise words."""

import numpy as np

from w2v.config import TrainConfig
from w2v.kernels.random import alias_draw
from w2v.kernels.tables_cpu import build_alias
from w2v.kernels.targets_cpu import NoiseTables
from w2v.objectives.base import RowWiseObjective


class NegativeSampling(RowWiseObjective):
    """−log σ(h·o_w) − Σ_k log σ(−h·o_k), noise words o_k drawn with probability ∝ count^noise_power.

    Mikolov et al. 2013: Distributed Representations of Words and Phrases, eq. 4. A draw of the predicted word
    itself is skipped, as in word2vec.c; other words of the window are not excluded. Not normalised.
    """

    name = "ns"
    normalised = False

    def _build_tables(self, config: TrainConfig) -> NoiseTables:
        self.noise = noise_distribution(self.counts, config.noise_power)
        buckets = np.empty(self.counts.size, np.uint64)
        build_alias(self.noise, buckets)
        return NoiseTables(buckets, config.negative)

    @property
    def output_rows(self) -> int:
        """One output vector per word."""
        return self.counts.size

    def first_hot_row(self, count: int) -> int:
        """0: frequent words come first."""
        return 0

    def expected_touches(self, share: np.ndarray) -> np.ndarray:
        """Once as the predicted word, ``negative`` times as noise."""
        return share + self.tables.negative * self.noise

    def listed_targets(self, word: int, key: np.uint64, first_draw: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The word itself with sign +1, then its noise words with −1; draws of the word itself are skipped."""
        draws = [int(alias_draw(key, first_draw + j, self.tables.buckets)) for j in range(self.tables.negative)]
        rows = np.array([word, *draws], np.int64)
        signs = np.where(rows == word, 0.0, -1.0)
        signs[0] = 1.0
        return rows, signs


def noise_distribution(counts: np.ndarray, power: float) -> np.ndarray:
    """The probabilities (V,) float64 of the noise words, ∝ counts^power; words with a count of 0 are never drawn.

    Where no word has a count, they are all alike.
    """
    weights = np.zeros(counts.size)
    # In float64 from the start: powers of whole numbers would wrap round, and know no negative exponent.
    np.power(counts.astype(np.float64), float(power), out=weights, where=counts > 0)
    total = weights.sum()
    return weights / total if total > 0 else np.full(counts.size, 1 / counts.size)
