"""What lies between the matrix products of block softmax, on the CPU: softmax, gradient, bags, row-wise Adagrad."""

import math

import numpy as np

from .jit import kernel
from .simd import VECTOR_BYTES, add, exp_minus_abs, largest, load, maximum, mul, splat, store, sub, total, zero

# Added to the mean square before the root: rows that never had a gradient stay where they are.
EPSILON = 1e-10
# A logit that vanishes in any sum.
NOTHING = np.float32(-1e30)
# Readable floats that must follow the biases of a block.
BIAS_SLACK = 16


@kernel
def softmax_rows(logits, columns, bias, weights, begins, target_columns, target_weights, with_gradient):
    """Turn rows of logits into the gradients of their loss, in place; return the summed loss, float64 nats.

        loss = Σ_r [ n_r · logsumexp(z_r) − Σ_o n_ro · z_ro ],  z = logits + bias
        d loss / d z_ro = n_r · softmax(z_r)_o − n_ro

    logits: (rows, pitch) float32, pitch a multiple of ``simd.ROW_MULTIPLE``, whose columns from ``columns`` on become
    rubbish; bias: float32, BIAS_SLACK longer than columns; weights: (rows,) float32 n_r; begins: (rows + 1,) int32
    places in target_columns (int32) and target_weights (float32). Without with_gradient the logits become rubbish.
    """
    loss = 0.0
    pitch = logits.shape[1]
    for row in range(logits.shape[0]):
        line = logits[row]
        for column in range(columns, pitch):
            line[column] = NOTHING
        start, biases = line.ctypes.data, bias.ctypes.data
        limit = start + 4 * columns
        highest = splat(NOTHING)
        place = start
        while place < limit:
            value = add(load(place), load(biases))
            store(place, value)
            highest = maximum(highest, value)
            place += VECTOR_BYTES
            biases += VECTOR_BYTES
        peak = largest(highest)
        for at in range(begins[row], begins[row + 1]):
            loss -= target_weights[at] * np.float64(line[target_columns[at]])

        shift = splat(peak)
        sums = zero()
        place = start
        while place < limit:
            value = exp_minus_abs(sub(load(place), shift))
            store(place, value)
            sums = add(sums, value)
            place += VECTOR_BYTES
        mass = total(sums)
        loss += weights[row] * (np.float64(peak) + math.log(mass))
        if not with_gradient:
            continue

        scale = splat(weights[row] / mass)
        place = start
        while place < limit:
            store(place, mul(load(place), scale))
            place += VECTOR_BYTES
        for at in range(begins[row], begins[row + 1]):
            line[target_columns[at]] -= target_weights[at]
    return loss


@kernel
def sum_rows(matrix, begins, index, mean, out):
    """out[r] = Σ matrix[index[k]] over k in begins[r] … begins[r + 1], or their mean; nothing gives zeros.

    matrix: (n, D) float32; begins: (rows + 1,) int64; index: int32; out: (rows, D) float32.
    """
    for row in range(out.shape[0]):
        line = out[row]
        line[:] = np.float32(0.0)
        count = begins[row + 1] - begins[row]
        for place in range(begins[row], begins[row + 1]):
            other = matrix[index[place]]
            for column in range(line.size):
                line[column] += other[column]
        if mean and count > 1:
            scale = np.float32(1.0 / count)
            for column in range(line.size):
                line[column] *= scale


@kernel
def add_rows(matrix, begins, index, out):
    """out[r] += Σ matrix[index[k]], as ``sum_rows``."""
    for row in range(out.shape[0]):
        line = out[row]
        for place in range(begins[row], begins[row + 1]):
            other = matrix[index[place]]
            for column in range(line.size):
                line[column] += other[column]


@kernel
def adagrad_rows(matrix, accumulators, rows, gradient, rate):
    """Row-wise Adagrad: a_r += mean of d², matrix[r] −= rate · d / √(a_r + EPSILON) for r = rows[i], d = gradient[i].

    matrix: (n, D) float32; accumulators: (n,) float32; rows: (m,) int32, distinct; gradient: (m, D) float32.
    Duchi, Hazan & Singer 2011: Adaptive subgradient methods, with one accumulator per row.
    """
    for place in range(rows.size):
        d, row = gradient[place], rows[place]
        line = matrix[row]
        squares = np.float32(0.0)
        for column in range(d.size):
            squares += d[column] * d[column]
        accumulators[row] += squares / np.float32(d.size)
        step = np.float32(rate / math.sqrt(accumulators[row] + EPSILON))
        for column in range(d.size):
            line[column] -= step * d[column]
