"""Steps of block softmax on a GPU's operations, or on what stands for them, beside the same steps in float64."""

from contextlib import AbstractContextManager
from types import ModuleType

import numpy as np
import pytest
from block_cases import RATE, assert_moved_alike, make_backend, make_batch, random_parameters
from cupy_on_cpu import from_bfloat16, to_bfloat16

from w2v.backends.block import BlockBackend
from w2v.backends.block_arrays import ArrayOperations
from w2v.backends.block_cuda_batches import _on_device
from w2v.backends.block_cuda_operations import CudaOperations
from w2v.backends.block_step import Operations
from w2v.objectives import BlockObjective
from w2v.objectives.block_reference import BlockReference, Example

# CudaOperations with either type of operands; "arrays" are CuPy's own operations, ``--kernels numba``.
KINDS = ("float32", "bfloat16", "arrays")
# Bytes that are free: enough for everything in one tile.
PLENTY = 1 << 30

Step = tuple[float, dict[str, np.ndarray]]  # loss, and parameters after it


def operations_of(cupy: ModuleType, stream: AbstractContextManager, kind: str, free: int = PLENTY) -> Operations:
    """Of KINDS. cupy: CuPy or its stand-in; free: bytes for tiles."""
    with stream:
        if kind == "arrays":
            return ArrayOperations(cupy, np.float32, tile=500 if free < PLENTY else 1 << 26, context=stream)
        return CudaOperations(cupy, kind == "bfloat16", free, stream, 0)


def backend_of(
    cupy: ModuleType, stream: AbstractContextManager, objective: BlockObjective, kind: str, free: int = PLENTY
) -> BlockBackend:
    """A backend with random parameters, which has nothing to read batches from."""
    operations = operations_of(cupy, stream, kind, free)
    with operations.running():
        backend = BlockBackend(objective.config, objective, "cuda", operations, source=None)
    backend.load_parameters(random_parameters(objective))
    return backend


def step(
    cupy: ModuleType,
    stream: AbstractContextManager,
    objective: BlockObjective,
    examples: list[Example],
    kind: str,
    free: int = PLENTY,
) -> Step:
    """A step from ``random_parameters``."""
    backend = backend_of(cupy, stream, objective, kind, free)
    with backend.operations.running():
        backend.model.train(_on_device(cupy, make_batch(objective, examples)), RATE)
        loss = backend.operations.take_loss()
    return loss, backend.parameters()


def exact_step(
    objective: BlockObjective, examples: list[Example], parameters: dict[str, np.ndarray], by_pairs: bool
) -> Step:
    """The same in float64: pair by pair, or, for many of them, by arrays."""
    if by_pairs:
        reference = BlockReference(objective, parameters, mean=not objective.config.cbow_sum)
        return reference.step(examples, RATE), reference.parameters
    backend = make_backend(objective.config, objective, "float64")
    backend.load_parameters(parameters)
    backend.model.train(make_batch(objective, examples), RATE)
    return backend.operations.take_loss(), backend.parameters()


def rounded(values: np.ndarray) -> np.ndarray:
    """To bfloat16 and back."""
    return from_bfloat16(to_bfloat16(values))


def assert_step(
    found: Step,
    objective: BlockObjective,
    examples: list[Example],
    kind: str,
    *,
    tolerance: float,
    by_pairs: bool = True,
) -> None:
    """That a step is the one in float64, by ``tolerance`` of each array's largest movement.

    With operands in bfloat16: within twice what rounding the parameters does, and 1 % of the movement.
    """
    start = random_parameters(objective)
    loss, parameters = exact_step(objective, examples, start, by_pairs)
    if kind != "bfloat16":
        assert found[0] == pytest.approx(loss, rel=1e-5)
        assert_moved_alike(found[1], parameters, start, tolerance)
        return
    coarse = {name: values if name.endswith("accumulators") else rounded(values) for name, values in start.items()}
    coarse_loss, coarse_parameters = exact_step(objective, examples, coarse, by_pairs)
    assert abs(found[0] - loss) <= 2 * abs(coarse_loss - loss) + 2e-3 * loss
    for name, exact in parameters.items():
        moved, coarsely = exact - start[name], coarse_parameters[name] - coarse[name]
        error = np.abs(found[1][name] - start[name] - moved).max()
        allowed = 2 * np.abs(coarsely - moved).max() + 0.01 * np.abs(moved).max()
        assert error <= allowed, f"{name}: {error:.2g} off, {allowed:.2g} allowed"
        assert error > 0 or not moved.any(), f"{name} is exact: nothing was rounded"
