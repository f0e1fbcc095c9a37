"""This project's initial draw of input vectors, for other systems to begin with."""

import numpy as np

from w2v.kernels.random import STREAM_INITIAL, epoch_key
from w2v.kernels.tables_cpu import fill_uniform


def initial_vectors(words: int, size: int, half_width: float, seed: int) -> np.ndarray:
    """(words, size) float32, uniform in ± half_width: what every objective begins with, at its own scale."""
    values = np.empty((words, size), np.float32)
    fill_uniform(values, size, half_width, np.uint64(epoch_key(np.uint64(seed), 0, STREAM_INITIAL)))
    return values
