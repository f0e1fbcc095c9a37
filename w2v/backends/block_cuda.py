"""The block-softmax backend on one NVIDIA GPU, put together."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
from numba import cuda

from w2v.backends.block import BlockBackend
from w2v.backends.block_arrays import ArrayOperations
from w2v.backends.block_cuda_batches import CudaBatches
from w2v.backends.block_cuda_operations import LOWER, CudaOperations
from w2v.backends.cuda_current import cupy_stream, current_device, free_memory
from w2v.backends.cuda_memory import RESERVE, out_of_memory_reported, require_memory
from w2v.backends.cuda_stream import require_window
from w2v.config import TrainConfig
from w2v.errors import DeviceError
from w2v.objectives.block_softmax import BlockObjective

# Compute capability from which cuBLAS multiplies bfloat16 on tensor cores.
BFLOAT16_SINCE = (8, 0)
# Rows of logits that have to fit beside the parameters.
FEWEST_ROWS = 64


def cuda_block_backend(config: TrainConfig, objective: BlockObjective) -> BlockBackend:
    """Raw kernels and cuBLAS, or with ``--kernels numba`` CuPy's own operations; raises DeviceError."""
    require_window(config.window)
    import cupy

    _require_cublas()
    name, capability = current_device()
    needed = _needed_bytes(objective)
    require_memory(needed + RESERVE, free_memory(), LOWER)
    stream = cuda.stream()
    current = cupy_stream(stream)

    def usable() -> int:
        cupy.get_default_memory_pool().free_all_blocks()
        return max(0, free_memory() - RESERVE)

    with current:
        if config.kernels == "raw":
            bfloat16 = capability >= BFLOAT16_SINCE
            operations = CudaOperations(cupy, bfloat16, usable() - needed, current, needed)
        else:
            operations = ArrayOperations(cupy, np.float32, context=_ReportedStream(current, needed))
        source = CudaBatches(config, objective, stream, cupy, usable)
        return BlockBackend(config, objective, name, operations, source)


class _ReportedStream:
    """A stream to work on, again and again, where memory that does not suffice is reported."""

    def __init__(self, stream: AbstractContextManager, needed: int) -> None:
        self._stream, self._needed = stream, needed

    def __enter__(self) -> None:
        self._stream.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._stream.__exit__(kind, error, trace)
        if error is not None:
            with out_of_memory_reported(self._needed, LOWER):
                raise error


def _require_cublas() -> None:
    """Raise DeviceError where CuPy finds no cuBLAS: nothing but these objectives needs it."""
    try:
        from cupy_backends.cuda.libs import cublas  # noqa: F401 - whether it can be loaded
    except ImportError as error:
        raise DeviceError(f"cuBLAS cannot be loaded ({error}): pip install 'w2v[cuda13]' or 'w2v[cuda12]'") from error


def _needed_bytes(objective: BlockObjective) -> int:
    """Parameters with their shadows, the gradients of the largest of them, and a narrow tile of its logits."""
    sizes = [4 * int(np.prod(shape)) for shape in objective.parameter_shapes.values()]
    return sum(sizes) * 3 // 2 + 2 * max(sizes) + FEWEST_ROWS * 8 * objective.layout.columns
