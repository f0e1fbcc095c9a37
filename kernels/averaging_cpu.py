"""Rows of replicas, packed for a sum over them and set to its mean, on the CPU. numba, without the GIL.

One pass over the rows each; in plain NumPy they stand in tests/test_averaging_kernels.py.
"""

import numpy as np

from .jit import kernel


@kernel
def pack_changed_rows(values, reference, packed):
    """Into ``packed``: rows that differ from ``reference``, with a 1 behind them; zeros for the others.

    values, reference: float32 (n, d); packed: float32 (n, d + 1), written.
    """
    columns = values.shape[1]
    for row in range(values.shape[0]):
        differing = 0
        for column in range(columns):
            differing += values[row, column] != reference[row, column]
        if differing:
            for column in range(columns):
                packed[row, column] = values[row, column]
            packed[row, columns] = np.float32(1.0)
        else:
            packed[row, :] = np.float32(0.0)


@kernel
def unpack_late_means(sums, mine, values, reference):
    """As ``unpack_means``, where ``values`` may have changed since they were packed: what changed stays on top.

    mine: float32 (n, d + 1), what ``pack_changed_rows`` wrote here. Rows that have not changed become the mean.
    """
    columns = values.shape[1]
    for row in range(values.shape[0]):
        members = sums[row, columns]
        if members > 0:
            packed = mine[row, columns] > 0
            for column in range(columns):
                mean = sums[row, column] / members
                before = mine[row, column] if packed else reference[row, column]
                now = values[row, column]
                values[row, column] = mean if now == before else now + (mean - before)
                reference[row, column] = mean


@kernel
def unpack_means(packed, values, reference):
    """``values`` and ``reference`` become a row's sum over the number behind it, where that is not 0.

    packed: float32 (n, d + 1), sums over replicas of what ``pack_changed_rows`` wrote; the others: float32 (n, d).
    Rows that nobody changed are equal in both.
    """
    columns = values.shape[1]
    for row in range(values.shape[0]):
        members = packed[row, columns]
        if members > 0:
            for column in range(columns):
                mean = packed[row, column] / members
                values[row, column] = mean
                reference[row, column] = mean
