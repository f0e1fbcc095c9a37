"""Block softmax as objectives and as training: layouts, biases, bad options, epochs, held-out likelihood."""

import math

import numpy as np
import pytest
from block_cases import (
    CASES,
    WORDS,
    assert_moved_alike,
    block_counts,
    epoch_examples,
    make_backend,
    make_case,
    random_parameters,
)
from corpora import random_ids
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v.backends import block_cpu_batches
from w2v.backends import make_backend as make_any_backend
from w2v.config import TrainConfig
from w2v.errors import ConfigError
from w2v.objectives import AdaptiveSoftmax, ClassSoftmax, FullSoftmax, make_objective, resolve_for_corpus
from w2v.objectives.batching import CorpusShape
from w2v.objectives.block_layout import class_edges, projected_size
from w2v.objectives.block_reference import BlockReference
from w2v.objectives.block_softmax import UNSEEN, stream_shares

every_case = pytest.mark.parametrize("case", CASES)
both_models = pytest.mark.parametrize("model", ["skipgram", "cbow"])


# ---- layouts ----


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=200).map(lambda counts: np.array(sorted(counts)[::-1])),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_class_edges_rise_and_no_class_is_empty(counts, data):
    classes = data.draw(st.sampled_from([1, counts.size, max(1, counts.size - 1)]) | st.integers(1, counts.size))
    edges = class_edges(counts, classes)
    assert edges.size == classes + 1
    assert (edges[0], edges[-1]) == (0, counts.size)
    assert (np.diff(edges) >= 1).all()


@pytest.mark.parametrize("classes", [2, 10, 50, 141])
def test_classes_hold_about_the_same_sum_of_square_roots(classes):
    counts = np.maximum(1, 10**6 // np.arange(1, 20_001))
    sums = np.add.reduceat(np.sqrt(counts), class_edges(counts, classes)[:-1])
    # A class may run over or stay below its share by one word on either side.
    largest = np.sqrt(counts[0])
    assert np.abs(sums - sums.mean()).max() <= largest


def test_classes_by_hand():
    # Roots 4 2 2 1 1 1 1: 12 in all, so that three classes take 4 each.
    assert class_edges(np.array([16, 4, 4, 1, 1, 1, 1]), 3).tolist() == [0, 1, 3, 7]
    assert class_edges(np.array([10**6, 1, 1, 1]), 3).tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize(("classes", "expected"), [(None, 8), (1, 1), (59, 59), (60, 60)])
def test_numbers_of_classes(classes, expected):
    objective = ClassSoftmax(block_counts(WORDS), TrainConfig(objective="class", classes=classes))
    assert objective.layout.columns == objective.layout.clusters == expected
    assert objective.layout.shortlist == 0


def test_adaptive_layout_by_hand():
    config, objective = make_case("adaptive", vector_size=100)
    layout = objective.layout
    assert (layout.shortlist, layout.clusters, layout.columns) == (10, 3, 13)
    assert layout.edges.tolist() == [10, 30, 50, 60]
    assert [(tail.name, tail.edges, tail.size, tail.projected) for tail in layout.tails] == [
        ("tail_1", (10, 30), 50, True),
        ("tail_2", (30, 50), 25, True),
        ("tail_3", (50, 60), 16, True),
    ]
    assert objective.parameter_shapes == {
        "input_vectors": (60, 100), "input_accumulators": (60,),
        "head_vectors": (13, 100), "head_accumulators": (13,),
        "tail_1_projection": (100, 50), "tail_1_projection_accumulators": (100,),
        "tail_1_vectors": (20, 50), "tail_1_accumulators": (20,),
        "tail_2_projection": (100, 25), "tail_2_projection_accumulators": (100,),
        "tail_2_vectors": (20, 25), "tail_2_accumulators": (20,),
        "tail_3_projection": (100, 16), "tail_3_projection_accumulators": (100,),
        "tail_3_vectors": (10, 16), "tail_3_accumulators": (10,),
    }  # fmt: skip


def test_without_a_shortlist_the_head_holds_clusters_alone():
    layout = make_case("tails alone", vector_size=100)[1].layout
    assert (layout.shortlist, layout.columns) == (0, 3)
    assert layout.edges.tolist() == [0, 10, 30, 60]
    assert [(tail.size, tail.projected) for tail in layout.tails] == [(100, False), (50, True), (25, True)]


def test_projected_sizes():
    assert [projected_size(128, 2.0, tail) for tail in range(6)] == [128, 64, 32, 16, 16, 16]
    assert [projected_size(100, 1.0, tail) for tail in range(3)] == [100, 100, 100]
    assert [projected_size(300, 4.0, tail) for tail in range(4)] == [300, 75, 18, 16]
    assert projected_size(5, 4.0, 3) == 5
    assert projected_size(1, 2.0, 1) == 1


@every_case
def test_words_are_ordered_by_falling_count(case):
    objective = make_case(case)[1]
    assert sorted(objective.ranks.tolist()) == list(range(WORDS))
    if case == "full":
        assert objective.ranks.tolist() == list(range(WORDS))
        return
    by_rank = np.empty(WORDS, np.int64)
    by_rank[objective.ranks] = block_counts(WORDS)
    assert (np.diff(by_rank) <= 0).all()


# ---- biases ----


@pytest.mark.parametrize("sample", [0.0, 1e-3, 0.05])
def test_shares_are_those_of_the_subsampled_stream(sample):
    counts = np.array([5000, 300, 20, 1, 0], np.int64)
    frequency = counts / counts.sum()
    keep = np.ones(5)
    if sample:
        keep = np.minimum(1, np.sqrt(sample / np.maximum(frequency, 1e-9)) + sample / np.maximum(frequency, 1e-9))
    expected = np.array([5000, 300, 20, 1, UNSEEN]) * keep
    np.testing.assert_allclose(stream_shares(counts, sample), expected / expected.sum(), rtol=1e-6)


@every_case
@pytest.mark.parametrize("sample", [0.0, 0.02])
def test_before_any_output_is_learned_the_model_is_the_unigram(case, sample):
    """Zero output rows leave the biases: p(word) is its share of the stream, words of count 0 included."""
    objective = make_case(case, sample=sample)[1]
    parameters = {name: np.zeros(shape) for name, shape in objective.parameter_shapes.items()}
    found = objective.log_probabilities(np.ones((1, objective.layout.size)), parameters)[0]
    np.testing.assert_allclose(np.exp(found), stream_shares(block_counts(WORDS), sample), rtol=1e-5)


@every_case
def test_without_biases_blocks_begin_flat(case):
    objective = make_case(case, output_bias="none")[1]
    parameters = {name: np.zeros(shape) for name, shape in objective.parameter_shapes.items()}
    found = np.exp(objective.log_probabilities(np.ones((1, objective.layout.size)), parameters)[0])
    layout = objective.layout
    expected = np.full(WORDS, 1 / layout.columns)
    for begin, end in zip(layout.edges, layout.edges[1:], strict=False):
        expected[begin:end] /= end - begin
    np.testing.assert_allclose(found, expected[objective.ranks], rtol=1e-12)


# ---- bad options ----


@pytest.mark.parametrize("cutoffs", ["0,10", "10,10", "20,10", "-3", "10,", "ten", "", (0,), (5, 4), (1.5,), 7, None])
def test_bad_cutoffs(cutoffs):
    with pytest.raises(ConfigError, match="--cutoffs") as raised:
        TrainConfig(objective="adaptive", cutoffs=cutoffs)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("cutoffs", [(60,), (10, 60), (61,), (10, 10**9)])
@pytest.mark.parametrize("shortlist", [True, False])
def test_cutoffs_past_the_vocabulary(cutoffs, shortlist):
    config = TrainConfig(objective="adaptive", cutoffs=cutoffs, shortlist=shortlist)
    with pytest.raises(ConfigError, match=f"{cutoffs[-1]} must stay below the 60 words") as raised:
        AdaptiveSoftmax(block_counts(60), config)
    assert "\n" not in str(raised.value)
    AdaptiveSoftmax(block_counts(60), TrainConfig(objective="adaptive", cutoffs=(59,)))


def test_more_classes_than_words():
    with pytest.raises(ConfigError, match="--classes 61 is more than the 60 words: lower it"):
        ClassSoftmax(block_counts(60), TrainConfig(objective="class", classes=61))


def test_automatic_cutoffs_have_to_be_resolved_first():
    with pytest.raises(ConfigError, match="has to be resolved"):
        AdaptiveSoftmax(block_counts(60), TrainConfig(objective="adaptive"))


@pytest.mark.parametrize("words", [2, 3, 60])
@pytest.mark.parametrize("shortlist", [True, False])
def test_automatic_cutoffs_fit_small_vocabularies(words, shortlist):
    shape = CorpusShape(block_counts(words), 1000, 100)
    config = resolve_for_corpus(TrainConfig(objective="adaptive", shortlist=shortlist, sample=0), shape, "cpu")
    assert config.cutoffs[-1] < words
    assert make_objective(config, shape.counts).layout.words == words


def test_no_cutoffs_come_back_from_a_record():
    config = TrainConfig(objective="adaptive", cutoffs=[])
    assert config.cutoffs == ()
    record = {**config.to_dict(), "cutoffs": []}
    assert TrainConfig.from_dict(record) == config


# ---- training ----


def small_ids(seed=0, sentences=60):
    return random_ids(np.random.default_rng(seed), WORDS, sentences, 14)


@both_models
@every_case
@pytest.mark.parametrize("options", [{}, {"sample": 0.02, "output_bias": "none"}, {"cbow_sum": True}])
def test_an_epoch_is_the_references_step_by_step(case, model, options):
    config, objective = make_case(case, model=model, batch_pairs=150, **options)
    ids = small_ids()
    start = random_parameters(objective)
    for kind, tolerance in (("float64", 1e-10), ("cpu 2", 1e-4)):
        backend = make_backend(config, objective, kind)
        reference = BlockReference(objective, start, not config.cbow_sum)
        tokens = backend._tokens_per_batch(ids)
        batches = epoch_examples(config, objective, ids, 2, tokens)
        assert len(batches) > 2
        sums, rates = [], []

        def schedule(fraction, rates=rates):
            rates.append(0.1 * (1 - fraction / 2))
            return rates[-1]

        report = backend.train_epoch(ids, 2, schedule, lambda report, sums=sums: sums.append(report.loss))
        assert rates == pytest.approx([0.1 * (1 - place * tokens / ids.size / 2) for place in range(len(batches))])
        losses = [reference.step(batch, rate) for batch, rate in zip(batches, rates, strict=True)]
        np.testing.assert_allclose(sums, np.cumsum(losses), rtol=1e-5)
        assert report.loss == sums[-1]
        assert report.learning_rate == rates[-1]
        assert report.pairs == sum(map(len, batches))
        assert report.words == (ids >= 0).sum()
        assert_moved_alike(backend.parameters(), reference.parameters, start, tolerance)


def full_window_examples(config, objective, ids):
    """(bag or one word, word to predict) of whole windows without sub-sampling."""
    sentences = np.split(ids, np.flatnonzero(ids < 0) + 1)
    for sentence in sentences:
        words = sentence[sentence >= 0].tolist()
        for centre, word in enumerate(words):
            around = [
                words[place]
                for place in range(max(0, centre - config.window), min(len(words), centre + config.window + 1))
                if place != centre
            ]
            if config.model == "cbow":
                yield from [(around, word)] if around else []
            else:
                yield from (([other], word) for other in around)


@both_models
@every_case
@pytest.mark.parametrize("cbow_sum", [False, True])
@pytest.mark.parametrize("chunk", [70, 1 << 22])
def test_heldout_likelihood_is_that_of_every_pair(case, model, cbow_sum, chunk, monkeypatch):
    monkeypatch.setattr(block_cpu_batches, "HELDOUT_CHUNK", chunk)
    config, objective = make_case(case, model=model, cbow_sum=cbow_sum, sample=0.01)
    ids = small_ids(1, 25)
    parameters = random_parameters(objective)
    inputs = parameters["input_vectors"].astype(np.float64)
    losses = []
    for bag, word in full_window_examples(config, objective, ids):
        hidden = inputs[bag].sum(axis=0) if cbow_sum else inputs[bag].mean(axis=0)
        losses.append(-objective.log_probabilities(hidden, parameters)[0, word])
    for kind, tolerance in (("float64", 1e-12), ("cpu 2", 1e-6)):
        backend = make_backend(config, objective, kind)
        before = {name: values.copy() for name, values in backend.parameters().items()}
        assert backend.heldout_nll(ids) == pytest.approx(np.mean(losses), rel=tolerance)
        for name, values in backend.parameters().items():
            np.testing.assert_array_equal(values, before[name])


def trained(case, threads=1, seed=3, **options):
    config, objective = make_case(case, batch_pairs=200, threads=threads, seed=seed, sample=0.02, **options)
    backend = make_any_backend(config, objective)
    backend.compile()
    backend.initialise()
    losses = [
        backend.train_epoch(small_ids(2, 100), epoch, lambda fraction: 0.1, lambda report: None).mean_loss
        for epoch in range(3)
    ]
    return losses, backend


@both_models
@every_case
def test_a_seed_gives_the_same_bits(case, model):
    losses, backend = trained(case, model=model)
    again_losses, again = trained(case, model=model)
    assert losses == again_losses
    for name, values in backend.parameters().items():
        np.testing.assert_array_equal(values, again.parameters()[name])
    _, other = trained(case, model=model, seed=4)
    assert (other.parameters()["input_vectors"] != backend.parameters()["input_vectors"]).any()


@both_models
@every_case
def test_two_threads_compute_what_one_computes(case, model):
    losses, one = trained(case, model=model)
    two_losses, two = trained(case, 2, model=model)
    assert two_losses == pytest.approx(losses, rel=1e-5)
    for name, values in one.parameters().items():
        np.testing.assert_allclose(two.parameters()[name], values, atol=2e-4 * np.abs(values).max(), err_msg=name)


@every_case
def test_training_learns(case):
    """Sentences of words of one parity: inputs tell which half of the words is left, which is worth ln 2."""
    rng = np.random.default_rng(6)
    parts = [np.append(rng.integers(0, WORDS // 2, 12) * 2 + rng.integers(2), -1) for _ in range(400)]
    ids = np.concatenate(parts).astype(np.int32)
    config = TrainConfig(vector_size=16, sample=0.0, batch_pairs=500, threads=1, **CASES[case]).resolved()
    objective = make_objective(config, np.bincount(ids[ids >= 0], minlength=WORDS))
    backend = make_any_backend(config, objective)
    backend.initialise()
    reports = [backend.train_epoch(ids, epoch, lambda fraction: 0.1, lambda report: None) for epoch in range(4)]
    assert reports[0].mean_loss < math.log(WORDS)
    assert reports[-1].mean_loss < math.log(WORDS / 2) + 0.1
    assert backend.heldout_nll(ids) < math.log(WORDS / 2) + 0.1


@every_case
def test_fresh_parameters(case):
    config, objective = make_case(case, vector_size=100)
    found = make_backend(config, objective, "cpu 1", seed=None).parameters()
    assert {name: values.shape for name, values in found.items()} == objective.parameter_shapes
    for name, values in found.items():
        assert values.dtype == np.float32
        if name == "input_vectors":
            assert values.std() == pytest.approx(0.05, rel=0.03)
        elif name.endswith("projection"):
            # Projected inputs are as large as the inputs themselves.
            assert values.std() == pytest.approx(1 / math.sqrt(100), rel=0.05)
        else:
            assert not values.any(), name
    assert len({values[0, 0] for name, values in found.items() if values.any()}) == sum(
        values.any() for values in found.values()
    )


@every_case
def test_parameters_round_trip(case):
    config, objective = make_case(case, batch_pairs=200)
    first, second = make_backend(config, objective, "cpu 1", 5), make_backend(config, objective, "cpu 2", 6)
    second.load_parameters(first.parameters())
    expected = random_parameters(objective, 5)
    assert second.parameters().keys() == expected.keys()
    for name, values in second.parameters().items():
        np.testing.assert_array_equal(values, expected[name])
        assert values is not first.parameters()[name]
    first.train_epoch(small_ids(), 0, lambda fraction: 0.1, lambda report: None)
    np.testing.assert_array_equal(second.parameters()["input_vectors"], expected["input_vectors"])


@pytest.mark.parametrize("kind", ["float64", "cpu 1"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20, -1e20])
@every_case
def test_matrices_that_are_not_numbers_any_more(case, kind, bad):
    config, objective = make_case(case)
    backend = make_backend(config, objective, kind)
    assert backend.unsound_parameters() == []
    for name in [name for name in objective.parameter_shapes if not name.endswith("accumulators")]:
        parameters = random_parameters(objective)
        parameters[name][-1, -1] = bad
        backend.load_parameters(parameters)
        assert backend.unsound_parameters() == [name]


@both_models
@every_case
@pytest.mark.parametrize(("words", "sample"), [(1, 1e-6), (2, 1e-4), (WORDS, 1e-4), (WORDS, 0.0)])
def test_compiling_trains_on_something(case, model, words, sample):
    """A batch whose words were all sub-sampled away would compile nothing."""
    few = {"cutoffs": ()} if "cutoffs" in CASES[case] and words < WORDS else {}
    few |= {"classes": None} if case == "class" else {}
    config, objective = make_case(case, words, model=model, sample=sample, batch_pairs=100, threads=1, **few)
    backend = make_any_backend(config, objective)
    rows = []
    train = backend.model.train
    backend.model.train = lambda batch, rate: (rows.append(batch.rows), train(batch, rate))
    backend.compile()
    assert 1 <= sum(rows) <= 40


def test_objectives_by_name():
    for name, kind in (("full", FullSoftmax), ("class", ClassSoftmax)):
        config = TrainConfig(objective=name)
        objective = make_objective(config, block_counts(9))
        assert type(objective) is kind
        assert objective.normalised
    assert type(make_case("adaptive")[1]) is AdaptiveSoftmax
