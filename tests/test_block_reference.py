"""The float64 reference of block softmax: finite differences, its distribution, torch's, and the batched step."""

import numpy as np
import pytest
from block_cases import (
    CASES,
    RATE,
    WORDS,
    after_step,
    assert_moved_alike,
    make_case,
    random_pairs,
    random_parameters,
    random_windows,
)

from w2v.objectives import block_layout
from w2v.objectives.block_reference import BlockReference

every_case = pytest.mark.parametrize("case", CASES)
every_bias = pytest.mark.parametrize("output_bias", ["unigram", "none"])


def small_case(case, **options):
    """Few words and dimensions, so that every number of every array can be moved."""
    small = {"class": {"classes": 4}, "adaptive": {"cutoffs": (3, 7, 10)}, "tails alone": {"cutoffs": (3, 9)}}
    return make_case(case, words=13, **{"vector_size": 5, **small.get(case, {}), **options})[1]


@pytest.fixture
def narrow(monkeypatch):
    """Projections as narrow as div_value asks for."""
    monkeypatch.setattr(block_layout, "SMALLEST_PROJECTION", 1)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("model", "mean"), [("skipgram", True), ("cbow", False), ("cbow", True)])
@every_case
def test_gradients_are_the_finite_differences(case, model, mean):
    objective = small_case(case)
    if case in ("adaptive", "tails alone"):
        assert [tail.size for tail in objective.layout.tails] == ([2, 1, 1] if case == "adaptive" else [5, 2, 1])
    rng = np.random.default_rng(1)
    # Bags of one size: word2vec.c's gradient of the inputs of a mean is that many times the true one.
    bag = 1 if model == "skipgram" else 3
    examples = [(rng.integers(0, 13, bag).tolist(), rank) for rank in [*range(13), 0, 8]]
    reference = BlockReference(objective, random_parameters(objective), mean)
    _, gradients = reference.loss_and_gradients(examples)
    step = 1e-5
    for name, values in reference.parameters.items():
        if name.endswith("accumulators"):
            assert not gradients[name].any()
            continue
        differences = np.empty_like(values)
        for index in np.ndindex(values.shape):
            kept = values[index]
            values[index] = kept + step
            above = reference.loss_and_gradients(examples)[0]
            values[index] = kept - step
            below = reference.loss_and_gradients(examples)[0]
            values[index] = kept
            differences[index] = (above - below) / (2 * step)
        if name == "input_vectors" and mean:
            differences *= bag
        np.testing.assert_allclose(gradients[name], differences, atol=1e-7, err_msg=name)
        assert np.abs(gradients[name]).max() > 0.01


@every_case
@every_bias
def test_losses_are_the_log_probabilities(case, output_bias):
    objective = make_case(case, output_bias=output_bias)[1]
    parameters = random_parameters(objective)
    reference = BlockReference(objective, parameters)
    hidden = reference.parameters["input_vectors"][[4, 9]]
    expected = objective.log_probabilities(hidden, reference.parameters)
    for word in range(WORDS):
        for row, source in enumerate([4, 9]):
            loss, _ = reference.loss_and_gradients([([source], int(objective.ranks[word]))])
            assert -loss == pytest.approx(expected[row, word], abs=1e-12)


@every_case
@every_bias
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_probabilities_sum_to_one(case, output_bias, scale):
    objective = make_case(case, output_bias=output_bias)[1]
    parameters = {name: values * scale for name, values in random_parameters(objective).items()}
    hidden = np.random.default_rng(2).normal(size=(20, objective.layout.size))
    sums = np.exp(objective.log_probabilities(hidden, parameters)).sum(axis=1)
    np.testing.assert_allclose(sums, 1.0, rtol=0, atol=1e-12)


@every_case
def test_losses_of_the_float32_step_sum_to_one(case):
    """exp(−loss) of every word, one pair per step: what the float32 path takes the probabilities to be."""
    objective = make_case(case)[1]
    chances = [np.exp(-after_step(objective, [([4], rank)], "cpu 1")[0]) for rank in range(WORDS)]
    assert sum(chances) == pytest.approx(1.0, abs=1e-5)
    parameters = random_parameters(objective)
    expected = objective.log_probabilities(parameters["input_vectors"][4], parameters)[0]
    np.testing.assert_allclose(np.array(chances)[objective.ranks], np.exp(expected), rtol=1e-5)


@pytest.mark.parametrize("cutoffs", [(20,), (10, 40), (5, 20, 45)])
def test_log_probabilities_are_torchs(cutoffs):
    torch = pytest.importorskip("torch")
    size = 16 * 2 ** len(cutoffs)
    objective = make_case("adaptive", cutoffs=cutoffs, vector_size=size, output_bias="none")[1]
    parameters = random_parameters(objective)
    module = torch.nn.AdaptiveLogSoftmaxWithLoss(size, WORDS, list(cutoffs), div_value=2.0, dtype=torch.float64)
    with torch.no_grad():
        module.head.weight[:] = torch.from_numpy(parameters["head_vectors"])
        for number, (projection, vectors) in enumerate(module.tail, 1):
            projection.weight[:] = torch.from_numpy(parameters[f"tail_{number}_projection"].T)
            vectors.weight[:] = torch.from_numpy(parameters[f"tail_{number}_vectors"])
        hidden = np.random.default_rng(3).normal(size=(9, size))
        by_rank = module.log_prob(torch.from_numpy(hidden)).numpy()
        found = objective.log_probabilities(hidden, parameters)
        np.testing.assert_allclose(found, by_rank[:, objective.ranks], rtol=0, atol=1e-10)
        targets = np.arange(9) * 6
        chosen = module(torch.from_numpy(hidden), torch.from_numpy(objective.ranks[targets].astype(np.int64)))
    np.testing.assert_allclose(found[np.arange(9), targets], chosen.output.numpy(), rtol=0, atol=1e-10)


@every_case
@every_bias
def test_distinct_inputs_compute_what_pairs_compute(case, output_bias):
    objective = make_case(case, output_bias=output_bias)[1]
    pairs = random_pairs(np.random.default_rng(4), WORDS, 700)
    expected_loss, expected = after_step(objective, pairs, "reference")
    loss, found = after_step(objective, pairs, "float64")
    assert loss == pytest.approx(expected_loss, rel=0, abs=1e-10 * len(pairs))
    for name, values in expected.items():
        # Accumulators grow to some thousands: their error is counted in shares of them.
        np.testing.assert_allclose(found[name], values, rtol=1e-10, atol=1e-10, err_msg=name)


@every_case
@pytest.mark.parametrize("cbow_sum", [True, False])
def test_windows_compute_what_bags_compute(case, cbow_sum):
    objective = make_case(case, model="cbow", cbow_sum=cbow_sum)[1]
    windows = random_windows(np.random.default_rng(5), WORDS, 200)
    assert any(len(set(bag)) < len(bag) for bag, _ in windows)
    expected_loss, expected = after_step(objective, windows, "reference")
    loss, found = after_step(objective, windows, "float64")
    assert loss == pytest.approx(expected_loss, rel=0, abs=1e-10 * len(windows))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-10, atol=1e-10, err_msg=name)


EDGES = {
    "one pair": [([3], 0)],
    "one pair of the last cluster": [([3], WORDS - 1)],
    "duplicate pairs": [([3], 12)] * 7 + [([3], 0)] * 2,
    "one distinct input": [([5], rank) for rank in [*range(WORDS), 40, 41]],
    "one target": [([word], 33) for word in range(WORDS)],
    "never leaves the head": [([word], word % 9) for word in range(40)],
    "an empty cluster": [([word], rank) for word in range(30) for rank in (2, 15, 55)],
    "the last words of clusters": [([1], rank) for rank in (9, 10, 29, 30, 49, 50, 59)],
}


@every_case
@pytest.mark.parametrize("edge", EDGES)
def test_edges(case, edge):
    objective = make_case(case)[1]
    start = random_parameters(objective)
    expected_loss, expected = after_step(objective, EDGES[edge], "reference")
    for kind, tolerance in (("float64", 1e-12), ("cpu 1", 1e-5), ("cpu 2", 1e-5)):
        loss, found = after_step(objective, EDGES[edge], kind)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        assert_moved_alike(found, expected, start, tolerance)


@pytest.mark.parametrize("kind", ["float64", "cpu 2"])
def test_what_a_batch_does_not_reach_stays_as_it_is(kind):
    start = random_parameters(make_case("adaptive")[1])
    _, found = after_step(make_case("adaptive")[1], EDGES["an empty cluster"], kind)
    reached = {"input", "head", "tail_1", "tail_3", "tail_1_projection", "tail_3_projection"}
    for name, values in found.items():
        stem = name.removesuffix("_vectors").removesuffix("_accumulators")
        changed = (values.reshape(len(values), -1) != start[name].reshape(len(values), -1)).any(axis=1)
        expected = np.arange(len(values)) < 30 if stem == "input" else np.full(len(values), stem in reached)
        np.testing.assert_array_equal(changed, expected, err_msg=name)


@pytest.mark.parametrize("kind", ["float64", "cpu 2"])
def test_classes_that_a_batch_does_not_reach_stay_as_they_are(kind):
    objective = make_case("class")[1]
    edges = objective.layout.tails[0].edges
    start = random_parameters(objective)
    _, found = after_step(objective, [([1], edges[2]), ([8], edges[3] - 1), ([8], edges[5])], kind)
    moved = np.zeros(WORDS, bool)
    for reached in (2, 5):
        moved[edges[reached] : edges[reached + 1]] = True
    np.testing.assert_array_equal((found["output_vectors"] != start["output_vectors"]).any(axis=1), moved)
    np.testing.assert_array_equal(found["output_accumulators"] != start["output_accumulators"], moved)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("size", [1, 2, 17])
@every_case
def test_projected_size_one(case, size):
    objective = make_case(case, vector_size=size, **({"div_value": 64.0} if "cutoffs" in CASES[case] else {}))[1]
    if case == "adaptive":
        assert {(tail.size, tail.projected) for tail in objective.layout.tails} == {(1, size > 1)}
    pairs = random_pairs(np.random.default_rng(6), WORDS, 300)
    expected_loss, expected = after_step(objective, pairs, "reference")
    for kind, tolerance in (("float64", 1e-12), ("cpu 2", 2e-5)):
        loss, found = after_step(objective, pairs, kind)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        assert_moved_alike(found, expected, random_parameters(objective), tolerance)


@pytest.mark.parametrize("words", [1, 2, 5])
@pytest.mark.parametrize("case", ["full", "class", "head alone"])
def test_fewer_words_than_any_head(case, words):
    objective = make_case(case, words=words, **({"classes": words} if case == "class" else {}))[1]
    assert objective.layout.shortlist == (0 if case == "class" else words)
    pairs = [([input_word], rank) for input_word in range(words) for rank in range(words)] * 2
    expected_loss, expected = after_step(objective, pairs, "reference")
    loss, found = after_step(objective, pairs, "cpu 2")
    assert loss == pytest.approx(expected_loss, rel=1e-6, abs=1e-6)
    assert_moved_alike(found, expected, random_parameters(objective), 1e-5)


def test_a_step_by_hand():
    """Two words, one dimension, one pair: p = σ(x (o0 − o1)), whose gradients fit a line each."""
    objective = make_case("full", words=2, vector_size=1, output_bias="none")[1]
    start = {
        "input_vectors": np.array([[0.5], [7.0]]),
        "input_accumulators": np.array([0.1, 0.2]),
        "output_vectors": np.array([[1.0], [-1.0]]),
        "output_accumulators": np.array([0.3, 0.4]),
    }
    reference = BlockReference(objective, start)
    miss = 1 / (1 + np.exp(0.5 * 2))  # 1 − p(0 | input 0)
    assert reference.step([([0], 0)], RATE) == pytest.approx(-np.log(1 - miss))
    d_input, d_output = -miss * 2, -miss * 0.5
    found = reference.parameters
    assert found["input_accumulators"] == pytest.approx([0.1 + d_input**2, 0.2])
    assert found["input_vectors"][:, 0] == pytest.approx([0.5 - RATE * d_input / np.sqrt(0.1 + d_input**2), 7.0])
    moves = [RATE * d_output / np.sqrt(a + d_output**2) for a in (0.3, 0.4)]
    assert found["output_vectors"][:, 0] == pytest.approx([1.0 - moves[0], -1.0 + moves[1]])
