"""Whether parameters are still numbers that can be worked with."""

import numpy as np

# The square of a larger float32 is infinite once some dimensions are added up.
LARGEST = 1e15
CHECKED_ROWS = 65536


def is_sound(array: np.ndarray) -> bool:
    """Whether every value is finite, and so small that its square is too."""
    for begin in range(0, array.shape[0], CHECKED_ROWS):
        block = array[begin : begin + CHECKED_ROWS]
        if block.size and not np.abs(block).max() < LARGEST:  # NaN compares false
            return False
    return True
