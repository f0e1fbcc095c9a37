"""Two tiny kernels that show whether a GPU computes: CUDA C++ for NVRTC, and numba's. Both take one array.

A block of COUNT threads, a thread per value; int32, so that the results are exact.
"""

from numba import cuda

COUNT = 32

RAW_NAME = "w2v_probe"
RAW_SOURCE = f"""
extern "C" __global__ void {RAW_NAME}(int* values) {{
    values[threadIdx.x] *= 2;
}}
"""


def _triple(values):
    values[cuda.threadIdx.x] *= 3


# Cached: compiling even this takes half a second. Where no folder can be written, it is compiled in every run.
try:
    triple = cuda.jit(cache=True)(_triple)
except RuntimeError:
    triple = cuda.jit(_triple)
