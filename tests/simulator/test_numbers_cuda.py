"""Numbers at the ends of their ranges on a GPU, in numba's simulator."""

import numpy as np
import pytest

from w2v.backends import EpochReport
from w2v.backends.cuda import CudaBackend
from w2v.config import TrainConfig
from w2v.objectives import make_objective

IDS = np.array([0, 1, 2, -1, 3, 4, 0, 1, -1, 2, -1, 1, 3, -1], np.int32)
COUNTS = np.array([6, 5, 5, 2, 2])
ALL = [(objective, model) for objective in ("ns", "hs") for model in ("skipgram", "cbow")]


def trained(
    ids: np.ndarray, counts: np.ndarray, rate: float, **options: object
) -> tuple[EpochReport, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What an epoch reports, and the parameters before and after it."""
    own = {"negative": 2} if options["objective"] == "ns" else {}
    config = TrainConfig(**{"vector_size": 5, "window": 2, "kernels": "numba", "sample": 0.0, **own, **options})
    backend = CudaBackend(config.resolved(), make_objective(config, counts))
    backend.initialise()
    fresh = {name: values.copy() for name, values in backend.parameters().items()}
    report = backend.train_epoch(ids, 0, lambda share: rate, lambda report: None)
    assert backend.unsound_parameters() == []
    return report, fresh, backend.parameters()


@pytest.mark.parametrize(("objective", "model"), ALL)
def test_a_rate_of_zero_learns_nothing(objective, model):
    report, fresh, after = trained(IDS, COUNTS, 0.0, objective=objective, model=model)
    assert report.pairs > 0
    assert report.loss > 0
    for name, values in fresh.items():
        np.testing.assert_array_equal(after[name], values)


@pytest.mark.parametrize(("objective", "model"), ALL)
def test_a_window_as_wide_as_the_longest_sentence_is_as_wide_as_any(objective, model):
    options = {"objective": objective, "model": model, "shrink_windows": False}
    (known, _, expected), (found, _, after) = (trained(IDS, COUNTS, 0.1, window=wide, **options) for wide in (3, 127))
    assert (found.pairs, found.kept_words, found.words) == (known.pairs, known.kept_words, known.words)
    assert known.pairs == (9 if model == "cbow" else 6 + 12 + 2)
    for name, values in expected.items():
        np.testing.assert_allclose(after[name], values, atol=1e-6)


@pytest.mark.parametrize(("objective", "model"), ALL)
def test_two_words_are_enough(objective, model):
    ids = np.array([0, 1, 0, 0, -1, 1, 0, -1], np.int32)
    report, fresh, after = trained(ids, np.array([4, 2]), 0.1, objective=objective, model=model, vector_size=1)
    assert report.pairs > 0
    assert all(np.isfinite(values).all() for values in after.values())
    assert all((after[name] != values).any() for name, values in fresh.items())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e15])
def test_parameters_that_are_no_numbers_are_named(value):
    config = TrainConfig(vector_size=5, kernels="numba").resolved()
    backend = CudaBackend(config, make_objective(config, COUNTS))
    for name in ("input_vectors", "output_vectors"):
        given = {other: np.zeros((5, 5), np.float32) for other in ("input_vectors", "output_vectors")}
        given[name][4, 4] = value
        backend.load_parameters(given)
        assert backend.unsound_parameters() == [name]
