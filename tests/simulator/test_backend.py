"""The CUDA backend's own methods, in numba's simulator."""

import numpy as np
import pytest

from w2v.backends.cpu import CpuBackend
from w2v.backends.cuda import CudaBackend
from w2v.config import TrainConfig
from w2v.objectives import make_objective


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("size", [5, 16])
def test_held_out_likelihood_is_that_of_the_cpu(model, size):
    config = TrainConfig(model=model, objective="hs", vector_size=size, window=2, kernels="numba").resolved()
    objective = make_objective(config, np.array([5, 4, 3, 2, 1]))
    backends = CudaBackend(config, objective), CpuBackend(config, objective)
    rng = np.random.default_rng(size)
    given = {name: rng.normal(size=rows.shape).astype(np.float32) for name, rows in backends[1].parameters().items()}
    found = []
    for backend in backends:
        backend.load_parameters(given)
        found.append(backend.heldout_nll(np.array([0, 1, 2, 3, -1, 4, 2, -1, 0, -1], np.int32)))
    assert found[0] == found[1] > 1


def test_negative_sampling_has_no_likelihood():
    config = TrainConfig(vector_size=5, kernels="numba").resolved()
    backend = CudaBackend(config, make_objective(config, np.array([5, 4])))
    assert backend.heldout_nll(np.array([0, 1, -1], np.int32)) is None
