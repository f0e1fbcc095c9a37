"""Alias table, Huffman tree, probabilities, random numbers and sub-sampling: each against its definition."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from w2v.kernels.random import alias_draw, below, draw, epoch_key, mix32, mix64, window_key
from w2v.kernels.stream_cpu import SENTENCE_END, chunk_capacity, compact_chunk, is_kept, keep_thresholds
from w2v.kernels.tables_cpu import build_alias, fill_uniform

from w2v.config import TrainConfig
from w2v.objectives import HierarchicalSoftmax, NegativeSampling
from w2v.objectives.negative_sampling import noise_distribution

falling_counts = st.lists(st.integers(1, 10**6), min_size=2, max_size=300).map(
    lambda counts: np.array(sorted(counts, reverse=True), np.int64)
)


def probabilities_of(buckets: np.ndarray) -> np.ndarray:
    """The exact distribution that an alias table draws from."""
    kept = ((buckets >> np.uint64(32)).astype(np.float64) + 1.0) / 2.0**32
    found = kept.copy()
    np.add.at(found, (buckets & np.uint64(0xFFFFFFFF)).astype(np.int64), 1.0 - kept)
    return found / buckets.size


@given(falling_counts, st.sampled_from([0.75, 1.0, 0.0, -0.5]))
@settings(max_examples=60, deadline=None)
def test_alias_table_holds_the_distribution(counts, power):
    noise = noise_distribution(counts, power)
    buckets = np.empty(counts.size, np.uint64)
    build_alias(noise, buckets)
    np.testing.assert_allclose(probabilities_of(buckets), noise, atol=1e-9 / counts.size + 1e-12)


def test_alias_draws_follow_the_distribution():
    counts = np.maximum(1, 5000 // np.arange(1, 201)).astype(np.int64)
    objective = NegativeSampling(counts, TrainConfig())
    draws = 400_000
    found = np.zeros(counts.size)
    for position in range(draws // 5):
        key = np.uint64(window_key(np.uint64(12345), position))
        for j in range(1, 6):
            found[alias_draw(key, j, objective.tables.buckets)] += 1
    assert chisquare(found, objective.noise * draws).pvalue > 1e-4


def test_zero_counts_are_never_noise():
    noise = noise_distribution(np.array([5, 3, 0], np.int64), 0.75)
    assert noise[2] == 0
    buckets = np.empty(3, np.uint64)
    build_alias(noise, buckets)
    assert probabilities_of(buckets)[2] < 1e-9


def test_the_target_is_skipped_not_redrawn():
    objective = NegativeSampling(np.array([1000, 1], np.int64), TrainConfig(negative=5))
    sizes = {objective.targets(0, np.uint64(window_key(np.uint64(1), t)))[0].size for t in range(200)}
    assert min(sizes) == 1
    for t in range(50):
        rows, signs = objective.targets(0, np.uint64(window_key(np.uint64(1), t)))
        assert rows[0] == 0
        assert 0 not in rows[1:]
        assert signs[0] == 1
        assert (signs[1:] == -1).all()


def optimal_length(counts: np.ndarray) -> int:
    heap = counts.tolist()
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        joined = heapq.heappop(heap) + heapq.heappop(heap)
        total += joined
        heapq.heappush(heap, joined)
    return total


@given(falling_counts)
@settings(max_examples=60, deadline=None)
def test_huffman_codes_are_prefix_free_and_optimal(counts):
    tree = HierarchicalSoftmax(counts, TrainConfig(objective="hs"))
    offsets, codes = tree.tables.offsets, tree.tables.codes
    words = ["".join(map(str, codes[offsets[w] : offsets[w + 1]])) for w in range(counts.size)]
    ordered = sorted(words)
    assert not any(after.startswith(before) for before, after in zip(ordered, ordered[1:], strict=False))
    assert sum(len(code) * int(count) for code, count in zip(words, counts, strict=True)) == optimal_length(counts)
    assert max(map(len, words)) == tree.tables.longest
    assert set(tree.tables.nodes.tolist()) == set(range(counts.size - 1))


def test_huffman_tree_of_a_known_vocabulary():
    """By hand: 15 | 7 6 6 5 -> (5,6)=11, (6,7)=13, (11,13)=24, (15,24)=39; the root is row 3."""
    tree = HierarchicalSoftmax(np.array([15, 7, 6, 6, 5], np.int64), TrainConfig(objective="hs")).tables
    codes = [tree.codes[tree.offsets[w] : tree.offsets[w + 1]].tolist() for w in range(5)]
    assert codes == [[0], [1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0]]
    assert tree.nodes[tree.offsets[4] : tree.offsets[5]].tolist() == [3, 2, 0]


@pytest.mark.parametrize("size", [2, 3, 50, 1000])
def test_hierarchical_probabilities_sum_to_one(size):
    rng = np.random.default_rng(size)
    counts = np.sort(rng.integers(1, 1000, size))[::-1].astype(np.int64)
    tree = HierarchicalSoftmax(counts, TrainConfig(objective="hs"))
    log_p = tree.log_probabilities(rng.normal(size=13), {"output_vectors": rng.normal(size=(tree.output_rows, 13))})[
        0
    ]
    assert np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-12)


def test_targets_of_hs_give_the_log_probability():
    rng = np.random.default_rng(4)
    tree = HierarchicalSoftmax(np.array([50, 20, 10, 9, 5, 1], np.int64), TrainConfig(objective="hs"))
    hidden, outputs = rng.normal(size=8), rng.normal(size=(5, 8))
    log_p = tree.log_probabilities(hidden, {"output_vectors": outputs})[0]
    for word in range(6):
        rows, signs = tree.targets(word)
        assert log_p[word] == pytest.approx(-np.logaddexp(0, -signs * (outputs[rows] @ hidden)).sum())


def test_mixers_are_published_values():
    """SplitMix64 seeded with 1234567 gives these first numbers (its authors' test vector)."""
    golden = 0x9E3779B97F4A7C15
    found = [int(mix64(np.uint64((1234567 + (i + 1) * golden) % 2**64))) for i in range(3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    outputs = {int(mix32(np.uint64(i))) for i in range(5000)}
    assert len(outputs) == 5000
    assert max(outputs) < 2**32


def test_draws_are_uniform_and_uncorrelated():
    key = np.uint64(epoch_key(1, 0, np.uint64(7)))
    numbers = (
        np.array([[draw(np.uint64(window_key(key, t)), j) for j in range(12)] for t in range(20_000)], np.float64)
        / 2**32
    )
    assert abs(numbers.mean() - 0.5) < 3e-3
    for column in numbers.T:
        assert chisquare(np.histogram(column, 64, (0, 1))[0]).pvalue > 1e-5
    correlation = np.corrcoef(numbers.T)
    assert np.abs(correlation - np.eye(12)).max() < 0.04
    lag = np.corrcoef(numbers[:-1].T, numbers[1:].T)[:12, 12:]
    assert np.abs(lag).max() < 0.04


def test_below_covers_its_range():
    assert below(0, 7) == 0
    assert below(2**32 - 1, 7) == 6
    assert below(2**32 - 1, 2**31 - 1) == 2**31 - 2


def test_keep_probability_is_word2vecs():
    counts = np.array([900_000, 90_000, 9_000, 900, 100], np.int64)
    thresholds = keep_thresholds(counts, 1e-3)
    total = counts.sum()
    for count, threshold in zip(counts, thresholds, strict=True):
        expected = min(1.0, (np.sqrt(count / (1e-3 * total)) + 1) * (1e-3 * total) / count)
        assert threshold / 2**32 == pytest.approx(expected, abs=1e-6)
        kept = sum(is_kept(0, position, np.array([threshold]), np.uint64(99)) for position in range(20_000))
        assert kept / 20_000 == pytest.approx(expected, abs=0.015)
    assert (keep_thresholds(counts, 0.0) == 0xFFFFFFFF).all()


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_compaction_is_independent_of_chunks(seed, window, chunk):
    rng = np.random.default_rng(seed)
    ids = rng.integers(-1, 8, 120).astype(np.int32)
    ids[np.flatnonzero(ids[1:] == ids[:-1])] = 3
    ids[-1] = SENTENCE_END
    thresholds = keep_thresholds(np.full(8, 10, np.int64), 0.05)
    key = np.uint64(seed)
    kept, positions = np.empty((2, chunk_capacity(120, window)), np.int64)
    kept = kept.astype(np.int32)
    _, last, _, _ = compact_chunk(ids, 0, 120, window, thresholds, key, kept, positions)
    whole = list(zip(kept[:last].tolist(), positions[:last].tolist(), strict=True))
    pieces = []
    for begin in range(0, 120, chunk):
        end = min(120, begin + chunk)
        first, last, count, words = compact_chunk(ids, begin, end, window, thresholds, key, kept, positions)
        stream = list(zip(kept[:count].tolist(), positions[:count].tolist(), strict=True))
        pieces += stream[first:last]
        assert words == int((ids[begin:end] >= 0).sum())
        # The halo is a stretch of the whole stream as well, with no sentence end inside.
        at = whole.index(stream[0]) if stream else 0
        assert stream == whole[at : at + count]
        assert SENTENCE_END not in [word for word, _ in stream[:first] + stream[last:]]
    assert pieces == whole


def test_initial_vectors_are_uniform_and_depend_on_the_seed_alone():
    vectors = np.zeros((500, 32), np.float32)
    fill_uniform(vectors, 20, 0.025, np.uint64(5))
    assert not vectors[:, 20:].any()
    assert np.abs(vectors).max() <= 0.025
    assert vectors[:, :20].std() == pytest.approx(0.05 / np.sqrt(12), rel=0.02)
    again = np.zeros((500, 32), np.float32)
    fill_uniform(again, 20, 0.025, np.uint64(5))
    np.testing.assert_array_equal(vectors, again)
    fill_uniform(again, 20, 0.025, np.uint64(6))
    assert (vectors != again).any()
