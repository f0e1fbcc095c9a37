"""Batches of block softmax: what they hold against plain loops, and how many pairs a corpus gives."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from block_cases import CASES, WORDS, epoch_examples, make_batch, make_case, random_pairs, random_windows
from corpora import random_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v.backends.block_cpu_batches import CpuBatches
from w2v.config import TrainConfig
from w2v.objectives import resolve_for_corpus
from w2v.objectives.batching import CorpusShape, default_batch_pairs, pairs_per_token, tokens_per_batch
from w2v.objectives.block_batch import collapse_pairs, distinct_pairs

every_case = pytest.mark.parametrize("case", CASES)
LAYOUTS = {case: make_case(case)[1].layout for case in CASES}


def targets_of(targets, row):
    """{column: weight} of a row; columns rise."""
    span = slice(int(targets.begins[row]), int(targets.begins[row + 1]))
    columns = targets.columns[span].tolist()
    assert columns == sorted(set(columns))
    return dict(zip(columns, targets.weights[span].tolist(), strict=True))


def contents(batch, layout):
    """Counter of (row, rank) from the head's and the jobs' targets; everything said twice agrees."""
    found = Counter()
    jobs_of_row = defaultdict(list)
    begins = batch.cluster_begins
    assert begins[0] == 0
    assert begins[-1] == batch.job_rows.size == batch.job_weights.size
    for cluster in range(layout.clusters):
        rows = batch.job_rows[begins[cluster] : begins[cluster + 1]].tolist()
        assert rows == sorted(set(rows))
        for job in range(begins[cluster], begins[cluster + 1]):
            row, targets = int(batch.job_rows[job]), targets_of(batch.job_targets, job)
            assert batch.job_weights[job] == sum(targets.values())
            assert targets_of(batch.head, row)[layout.shortlist + cluster] == batch.job_weights[job]
            jobs_of_row[row].append(job)
            for column, weight in targets.items():
                found[row, int(layout.edges[cluster]) + column] += weight
                assert layout.edges[cluster] + column < layout.edges[cluster + 1]
    for row in range(batch.rows):
        targets = targets_of(batch.head, row)
        assert batch.weights[row] == sum(targets.values())
        assert sum(column >= layout.shortlist for column in targets) == len(jobs_of_row[row])
        listed = batch.row_jobs[batch.row_begins[row] : batch.row_begins[row + 1]].tolist()
        assert sorted(listed) == sorted(jobs_of_row[row])
        for column, weight in targets.items():
            if column < layout.shortlist:
                found[row, column] += weight
    return found


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(0, 10**6), st.integers(1, 200), st.integers(1, WORDS))
@settings(max_examples=80, deadline=None)
def test_collapsed_pairs_are_the_pairs(case, seed, count, ranks):
    objective = make_case(case)[1]
    pairs = [(bag, rank % ranks) for bag, rank in random_pairs(np.random.default_rng(seed), WORDS, count)]
    batch = make_batch(objective, pairs)
    assert batch.bags is None
    assert batch.inputs.tolist() == sorted({bag[0] for bag, _ in pairs})
    expected = Counter((batch.inputs.tolist().index(bag[0]), rank) for bag, rank in pairs)
    assert contents(batch, objective.layout) == expected
    assert (batch.inputs.dtype, batch.weights.dtype, batch.head.begins.dtype) == (np.int32, np.float32, np.int32)


@given(st.sampled_from(sorted(LAYOUTS)), st.integers(0, 10**6), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_windows_are_the_windows(case, seed, count):
    objective = make_case(case, model="cbow")[1]
    windows = random_windows(np.random.default_rng(seed), WORDS, count)
    windows[0] = ([1, 2], windows[0][1])  # at least one that is not a pair
    batch = make_batch(objective, windows)
    bags = [
        batch.inputs[batch.bags.members[batch.bags.begins[row] : batch.bags.begins[row + 1]]].tolist()
        for row in range(batch.rows)
    ]
    assert bags == [bag for bag, _ in windows]
    assert contents(batch, objective.layout) == Counter((row, rank) for row, (_, rank) in enumerate(windows))
    # The same the other way round: a window once for each time that the word stands in it.
    for place, word in enumerate(batch.inputs.tolist()):
        found = batch.bags.windows[batch.bags.word_begins[place] : batch.bags.word_begins[place + 1]].tolist()
        assert sorted(found) == [row for row, (bag, _) in enumerate(windows) for other in bag if other == word]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("empty", [None, 0, 1, 2])
def test_batches_that_are_collapsed_together(case, empty):
    """Three at once are what each is alone; one without pairs is a batch without rows."""
    objective, rng = make_case(case)[1], np.random.default_rng(3)
    parts = [[] if number == empty else random_pairs(rng, WORDS, 80) for number in range(3)]
    keys = [
        (number * WORDS + bag[0]) * WORDS + rank for number, part in enumerate(parts) for bag, rank in part
    ]  # fmt: skip
    layout = objective.layout
    batches = list(collapse_pairs(np, layout, *distinct_pairs(np, rng.permutation(np.array(keys, np.int64))), 3))
    assert len(batches) == 3
    for part, batch in zip(parts, batches, strict=True):
        inputs = sorted({bag[0] for bag, _ in part})
        assert batch.inputs.tolist() == inputs
        assert contents(batch, layout) == Counter((inputs.index(bag[0]), rank) for bag, rank in part)


@every_case
def test_no_pairs_give_a_batch_without_rows(case):
    layout = make_case(case)[1].layout
    (batch,) = collapse_pairs(np, layout, *distinct_pairs(np, np.empty(0, np.int64)))
    assert batch.rows == 0
    assert contents(batch, layout) == {}


def test_distinct_pairs_by_hand():
    distinct, begins = distinct_pairs(np, np.array([5, 2, 5, 5, 9], np.int64))
    assert distinct.tolist() == [2, 5, 9]
    assert begins.tolist() == [0, 1, 4, 5]


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("options", [{}, {"sample": 0.02, "window": 5}, {"shrink_windows": False, "seed": 9}])
@pytest.mark.parametrize("tokens", [37, 100, 10**6])
def test_pieces_hold_the_windows_of_the_epoch(model, options, tokens):
    config, objective = make_case("adaptive", model=model, **options)
    ids = random_ids(np.random.default_rng(4), WORDS, 40, 15)
    expected = epoch_examples(config, objective, ids, 3, tokens)
    pieces = list(CpuBatches(config, objective).pieces(ids, 3, tokens))
    assert sum(piece.words for piece in pieces) == (ids >= 0).sum()
    for piece, examples in zip(pieces, expected, strict=True):
        assert piece.pairs == len(examples)
        if piece.batch.bags is None:
            rows = [[int(word)] for word in piece.batch.inputs]
        else:
            bags = piece.batch.bags
            rows = [
                piece.batch.inputs[bags.members[a:b]].tolist()
                for a, b in zip(bags.begins.tolist(), bags.begins.tolist()[1:], strict=False)
            ]
        found = Counter()
        for (row, rank), count in contents(piece.batch, objective.layout).items():
            found[tuple(rows[row]), rank] += count
        assert found == Counter((tuple(bag), rank) for bag, rank in examples)


@pytest.mark.parametrize("options", [{}, {"shrink_windows": False}, {"sample": 0.01}, {"window": 9, "sample": 0.003}])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_pairs_per_token_are_the_pairs_of_a_corpus(options, model):
    """Sentences longer than a window, of many lengths: expected and counted numbers differ by chance alone."""
    rng, words = np.random.default_rng(5), 200
    shares = 1.0 / np.arange(1, words + 1)
    lengths = rng.integers(30, 60, 2000)
    parts = [np.append(rng.choice(words, length, p=shares / shares.sum()), -1) for length in lengths]
    ids = np.concatenate(parts).astype(np.int32)
    config, objective = make_case("full", words=words, model=model, **options)
    objective.counts[:] = np.bincount(ids[ids >= 0], minlength=words)
    shape = CorpusShape(objective.counts, int(lengths.sum()), lengths.size)
    kept, pairs = pairs_per_token(config, shape)
    (piece,) = CpuBatches(config, objective).pieces(ids, 0, ids.size)
    assert kept == pytest.approx(piece.kept_words / piece.words, rel=0.01)
    assert pairs == pytest.approx(piece.pairs / piece.kept_words, rel=0.02)


def test_pairs_per_token_by_hand():
    counts = np.full(4, 250, np.int64)
    config = TrainConfig(objective="full", window=2, sample=0.0)
    # Sentences of 4 on average, q = 4 / 5: of both neighbours 0.8, of those at distance 2 0.64, and half of their
    # windows reach that far where they shrink.
    shape = CorpusShape(counts, 1000, 250)
    assert pairs_per_token(config, shape) == pytest.approx((1.0, 2 * (0.8 + 0.64 / 2)))
    assert pairs_per_token(TrainConfig(objective="full", window=2, sample=0.0, shrink_windows=False), shape) == (
        pytest.approx((1.0, 2 * (0.8 + 0.64)))
    )
    assert pairs_per_token(TrainConfig(objective="full", model="cbow", window=2, sample=0.0), shape) == (1.0, 1.0)


def test_short_sentences_have_pairs_too():
    """Where the mean length is 1, some are longer."""
    config = TrainConfig(objective="full", window=2, sample=0.0)
    assert pairs_per_token(config, CorpusShape(np.full(4, 250, np.int64), 1000, 1000))[1] > 0.5


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(1000, 1024), (1_000_000, 4480), (10**8, 131_072)],
)
def test_the_default_batch_follows_the_corpus(tokens, expected):
    """At 2.24 pairs a token, as above: a 500th of an epoch, but within bounds."""
    config = TrainConfig(objective="class", window=2, sample=0.0)
    shape = CorpusShape(np.full(4, tokens // 4, np.int64), tokens, tokens // 4)
    assert default_batch_pairs(config, shape) == expected
    resolved = resolve_for_corpus(config, shape, "cpu")
    assert resolved.batch_pairs == expected
    given = resolve_for_corpus(TrainConfig(objective="class", batch_pairs=77), shape, "cpu")
    assert given.batch_pairs == 77
    assert tokens_per_batch(resolved, shape) == pytest.approx(expected / 2.24, abs=1)


def test_a_batch_is_never_without_tokens():
    shape = CorpusShape(np.array([1], np.int64), 1, 1)
    assert tokens_per_batch(TrainConfig(objective="full", batch_pairs=1), shape) >= 1
    assert default_batch_pairs(TrainConfig(objective="full"), shape) == 1024
