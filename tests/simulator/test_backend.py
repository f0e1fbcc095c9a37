"""The CUDA backend's own methods, in numba's simulator."""

import numpy as np
import pytest

from w2v.backends import EpochReport, cuda_stream
from w2v.backends.base import NO_PAUSES, Pauses
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


def test_looking_at_the_parameters_changes_nothing(monkeypatch):
    monkeypatch.setattr(cuda_stream, "SMALLEST_SEGMENT", 8)
    config = TrainConfig(vector_size=5, window=2, negative=2, kernels="numba", sample=0.0).resolved()
    ids = np.array([0, 1, 2, -1, 3, 4, 0, 1, -1, 2, 2, 0, -1, 1, 3, -1], np.int32)

    def trained(pauses: Pauses) -> tuple[CudaBackend, EpochReport]:
        backend = CudaBackend(config, make_objective(config, np.array([5, 4, 3, 2, 1])))
        backend._source._longest = 6
        backend.initialise()
        return backend, backend.train_epoch(ids, 0, lambda share: 0.05, lambda report: None, pauses)

    seen = []
    plain, known = trained(NO_PAUSES)
    looked_at, found = trained(Pauses(lambda share: bool(seen.append(share)) or True, seen.append))
    shares, reports = seen[::2], seen[1::2]
    assert len(reports) == 2
    assert 0 < shares[0] < shares[1] < 1
    assert 0 < reports[0].words < reports[1].words < found.words == 12
    assert found == known
    for name, values in plain.parameters().items():
        np.testing.assert_array_equal(looked_at.parameters()[name], values)


@pytest.mark.parametrize("objective", ["ns", "hs"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_an_epoch_that_is_taken_up_again_ends_as_one_that_never_stopped(monkeypatch, model, objective):
    """From every pause, also on a device whose segments are of another size."""
    monkeypatch.setattr(cuda_stream, "SMALLEST_SEGMENT", 4)
    negative = {"negative": 2} if objective == "ns" else {}
    options = {"model": model, "objective": objective, "kernels": "numba", "sample": 0.3, "seed": 5, **negative}
    config = TrainConfig(vector_size=5, window=2, **options).resolved()
    ids = np.array([0, 1, 2, -1, 3, 4, 0, 1, -1, 2, 2, 0, -1, 1, 3, -1, 4, 1, 2, 0, -1], np.int32)

    def backend(longest: int) -> CudaBackend:
        made = CudaBackend(config, make_objective(config, np.array([6, 5, 5, 2, 2])))
        made._source._longest = longest
        made.initialise()
        return made

    def rate(share: float) -> float:
        return 0.05

    def silent(report: EpochReport) -> None:
        return None

    moments = []
    whole = backend(5)

    def look(report: EpochReport) -> None:
        moments.append((report, {name: rows.copy() for name, rows in whole.parameters().items()}))

    known = whole.train_epoch(ids, 3, rate, silent, Pauses(lambda share: True, look))
    assert [report.position for report, _ in moments] == [5, 10, 15, 20]
    for report, parameters in moments:
        for longest in (5, 7):
            again = backend(longest)
            again.load_parameters(parameters)
            found = again.train_epoch(ids, 3, rate, silent, start=report)
            assert (found.pairs, found.kept_words, found.words) == (known.pairs, known.kept_words, known.words)
            if longest == 5:
                assert found == known
                for name, values in whole.parameters().items():
                    np.testing.assert_array_equal(again.parameters()[name], values)
