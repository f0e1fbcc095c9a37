"""How many workers are in flight on a GPU, and the scales that follow: by hand, and against counting."""

import numpy as np
import pytest
from w2v.kernels.random import window_key

from w2v.backends import in_flight
from w2v.backends.in_flight import (
    Contributions,
    contributions,
    exchange_scale,
    exchange_weights,
    kept_share,
    kept_words,
    mean_scale,
    most_workers,
    scale,
    scales,
)
from w2v.config import TrainConfig
from w2v.objectives import make_objective

COUNTS = np.array([600, 250, 100, 50], np.int64)
ZIPF = np.maximum(1, 100_000 // np.arange(1, 2001)).astype(np.int64)
KINDS = [
    {"objective": "ns"},
    {"objective": "hs"},
    {"objective": "ns", "model": "cbow"},
    {"objective": "hs", "model": "cbow"},
]


def contributed(counts=ZIPF, **options) -> Contributions:
    config = TrainConfig(**options)
    return contributions(config, make_objective(config, counts))


def test_without_subsampling_every_word_is_kept():
    config = TrainConfig(sample=0)
    np.testing.assert_allclose(kept_share(config, COUNTS), [0.6, 0.25, 0.1, 0.05])
    assert kept_words(config, COUNTS) == 1000


def test_subsampling_thins_out_frequent_words():
    config = TrainConfig(sample=0.1)
    # min(1, sqrt(t / f) + t / f) of f = 0.6, 0.25, 0.1 and 0.05.
    kept = 600 * (np.sqrt(1 / 6) + 1 / 6), 250, 100, 50
    assert kept_words(config, COUNTS) == pytest.approx(sum(kept))
    np.testing.assert_allclose(kept_share(config, COUNTS), np.array(kept) / sum(kept))


def test_words_that_never_occur_contribute_nothing():
    config = TrainConfig(objective="ns", sample=1e-3)
    found = contributions(config, make_objective(config, np.array([5, 5, 0])))
    assert found.inputs[2] == found.outputs[2] == 0
    assert not kept_share(config, np.zeros(3, np.int64)).any()


@pytest.mark.parametrize(("shrink", "contexts"), [(True, np.mean([2, 4, 6, 8])), (False, 8)])
def test_contributions_of_noise_by_hand(shrink, contexts):
    options = {"sample": 0, "window": 4, "negative": 3, "noise_power": 1.0, "shrink_windows": shrink}
    share = COUNTS / 1000
    found = contributed(COUNTS, **options)
    assert found.windows >= 1
    np.testing.assert_allclose(found.inputs, found.windows * contexts * share)
    np.testing.assert_allclose(found.outputs, contexts * (share + 3 * share))
    # The contexts of a window move its targets one time each in skip-gram, together in CBOW.
    found = contributed(COUNTS, model="cbow", **options)
    np.testing.assert_allclose(found.inputs, found.windows * contexts * share)
    np.testing.assert_allclose(found.outputs, share + 3 * share)


def test_contributions_of_paths_by_hand():
    # The tree: 50 + 100, then + 250, then + 600; the root is the last row.
    found = contributed(COUNTS, objective="hs", sample=0, window=2, shrink_windows=False)
    np.testing.assert_allclose(found.outputs, 4 * np.array([0.15, 0.4, 1.0]))


def test_expected_touches_are_those_of_many_windows():
    objective = make_objective(TrainConfig(negative=5), COUNTS)
    share = np.array([0.1, 0.2, 0.3, 0.4])
    windows = 4000
    found = np.zeros(COUNTS.size)
    for word, count in enumerate((windows * share).astype(int)):
        for position in range(count):
            rows, _ = objective.listed_targets(word, np.uint64(window_key(np.uint64(word), position)))
            np.add.at(found, rows, 1)
    expected = windows * objective.expected_touches(share)
    assert expected.sum() == pytest.approx(windows * 6)
    assert (np.abs(found - expected) < 5 * np.sqrt(expected)).all()
    assert (np.abs(found - expected[::-1]) > 5 * np.sqrt(expected)).any()


def test_expected_touches_of_a_node_are_the_words_below_it():
    objective = make_objective(TrainConfig(objective="hs"), ZIPF[:300])
    share = np.random.default_rng(1).dirichlet(np.ones(300))
    expected = np.zeros(299)
    for word in range(300):
        np.add.at(expected, objective.listed_targets(word)[0], share[word])
    np.testing.assert_allclose(objective.expected_touches(share), expected)
    assert expected[-1] == pytest.approx(1)


def test_scale_by_hand():
    found = scale(np.array([0.0, 0.5, 1.0, 4.0]), 10, tau=8.0)
    np.testing.assert_allclose(found, [1, 1, 0.8, 0.2], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(scale(np.array([0.0, 1e9]), 0), [1, 1])


def test_scale_falls_with_workers_and_frequency():
    rows = np.array([0.001, 0.1, 1.0, 10.0, 100.0])
    table = np.array([scale(rows, others) for others in (0, 1, 10, 100, 1000)])
    assert (np.diff(table, axis=0) <= 0).all()
    assert (np.diff(table, axis=1) <= 0).all()
    assert ((table > 0) & (table <= 1)).all()
    assert (table[:, 0] == 1).all()
    assert (scale(rows, 1000, tau=50.0) >= scale(rows, 1000, tau=5.0)).all()
    # However many workers there are, what they add to a scaled row stays the same.
    np.testing.assert_allclose(scale(rows[-2:], 1000) * 1000 * rows[-2:], in_flight.TAU, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_one_worker_is_not_scaled_and_many_are(kind):
    rows = contributed(**kind)
    alone, crowded = scales(rows, 1), scales(rows, 100_000)
    for one, many, counted in (
        (alone.inputs, crowded.inputs, rows.inputs),
        (alone.outputs, crowded.outputs, rows.outputs),
    ):
        assert one.dtype == many.dtype == np.float32
        assert one.shape == many.shape == counted.shape
        assert (one == 1).all()
        assert many[counted.argmax()] < 1
        assert (many[np.argsort(counted)][:-1] >= many[np.argsort(counted)][1:]).all()
    assert mean_scale(rows, 1) == 1


def test_exchange_scale_by_hand():
    tau = in_flight.TAU
    found = exchange_scale(np.array([tau / 42, tau / 21 / 0.75, tau / 21 * 2, tau]), blocks=4, windows=7)
    np.testing.assert_allclose(found, [1, 0.75, 0.5, 0.25], rtol=1e-6)
    np.testing.assert_array_equal(exchange_scale(np.array([1e9]), blocks=1, windows=63), [1])
    assert found.dtype == np.float32


def test_exchange_scale_of_rows_that_are_exchanged_at_different_times():
    tau = in_flight.TAU
    found = exchange_scale(np.array([tau, tau]), blocks=3, windows=np.array([0.25, 1.0]))
    np.testing.assert_allclose(found, [1, 0.5], rtol=1e-6)


def test_rows_with_more_contributions_are_exchanged_more_often_but_not_in_proportion():
    found = exchange_weights(np.array([1.0, 4.0, 100.0]))
    assert (np.diff(found) > 0).all()
    assert 1 < found[2] / found[0] < 100


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_mean_scale_falls_with_workers(kind):
    rows = contributed(**kind)
    means = [mean_scale(rows, workers) for workers in (1, 2, 8, 64, 512, 4096, 10**6)]
    assert means[0] == 1
    assert (np.diff(means) <= 0).all()
    assert 0 < means[-1] < 0.5


def test_mean_scale_by_hand():
    """Of contributions, not of rows; the worse of the two matrices."""
    tau = in_flight.TAU
    rows = Contributions(np.array([tau, tau / 4]), np.array([tau / 100]), 1)
    # Five workers: 4 τ and τ in flight, a quarter and all are let through.
    assert mean_scale(rows, 5) == pytest.approx((tau * 0.25 + tau / 4) / (tau + tau / 4))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_workers_by_the_size_of_the_corpus(kind):
    """Few for a tiny corpus, no more than asked for, and never fewer for more windows."""
    rows = contributed(**kind)
    found = [most_workers(rows, windows, 3000) for windows in (0, 1, 100, 10**4, 10**6, 10**8, 10**12)]
    assert found[:2] == [1, 1]
    assert found == sorted(found)
    assert found[-1] == 3000
    assert [most_workers(rows, 10**12, most) for most in (0, 1, 7)] == [1, 1, 7]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("words", [2, 10, 2000])
def test_a_tiny_corpus_is_not_swamped(kind, words):
    """A hundred words, or few words over and over: workers have something to do, and their steps are not lost."""
    rows = contributed(np.full(words, 50), sample=0, **kind)
    for windows in (100, 10_000):
        workers = most_workers(rows, windows, 2000)
        assert workers * in_flight.FEWEST_WINDOWS <= max(windows, in_flight.FEWEST_WINDOWS)
        assert mean_scale(rows, workers) > 0.1
    assert most_workers(rows, 100, 2000) < 4


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_vocabulary_of_one_word(kind):
    rows = contributed(np.array([100]), sample=0, **kind)
    assert 0 < mean_scale(rows, 50) <= 1
    assert most_workers(rows, 100, 50) == 1
    assert np.isfinite(scales(rows, 50).inputs).all()
