"""A vocabulary for pictures that are drawn without a corpus."""

import numpy as np

ZIPF_OFFSET = 2.7


def zipf_shares(words: int) -> np.ndarray:
    """Shares of words by rank, (V,) float64, after Zipf's law in Mandelbrot's form: p(rank) ∝ 1 / (rank + 2.7)."""
    weights = 1.0 / (np.arange(1, words + 1) + ZIPF_OFFSET)
    return weights / weights.sum()
