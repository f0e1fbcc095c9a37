"""Cut-offs by dynamic programming: against brute force, inputs against a simulation, the floor for quality."""

import lzma
import math
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from cost_cases import known_model
from hypothesis import given, settings
from hypothesis import strategies as st

from w2v.config import TrainConfig
from w2v.corpus import encode_corpus
from w2v.cost import Step, StepCosts, builtin, choose_cutoffs, head_floor, resolve_cutoffs
from w2v.cost.inputs import ReachedInputs, clumping
from w2v.cost.search import cheapest
from w2v.cost.zipf import zipf_shares
from w2v.errors import ConfigError, TrainingError
from w2v.objectives import CorpusShape
from w2v.objectives.block_layout import adaptive_layout, projected_size


def random_shares(rng, words):
    """Falling shares, some of them equal."""
    weights = np.sort(rng.integers(1, 60, words) ** 2.0)[::-1]
    return weights / weights.sum()


def plain_inputs(shares, pairs, per_token, q, cbow):
    """U(q) as it is defined, word by word."""
    if cbow:
        return pairs * q
    reached = 1 - (1 - q) ** per_token
    tokens = pairs / per_token
    kappa = 0.15 + 0.25 * (tokens / 10_000) ** (1 / 3)
    return sum(1 - (1 + tokens * share * reached / kappa) ** -kappa for share in shares)


def plain_seconds(shares, cutoffs, *, pairs, pairs_per_token, size, div_value, model, shortlist, cbow):
    """The cost of a layout, written out without arrays."""

    def block(k, b, d):
        return (
            model.c
            + (model.alpha + model.beta * d) * max(k * b, model.threshold)
            + model.gamma * k * d
            + model.delta * b * d
        )

    edges = [*([] if shortlist else [0]), *cutoffs, len(shares)]
    tails = len(edges) - 1
    everyone = plain_inputs(shares, pairs, pairs_per_token, 1.0, cbow)
    total = block((edges[0] if shortlist else 0) + tails, everyone, size)
    for number in range(1, tails + 1):
        begin, end = edges[number - 1], edges[number]
        b = plain_inputs(shares, pairs, pairs_per_token, sum(shares[begin:end]), cbow)
        d = projected_size(size, div_value, number if shortlist else number - 1)
        total += block(end - begin, b, d)
        if d < size:
            total += model.beta * b * size * d + model.gamma * size * d
    return total


def random_case(seed):
    """A small vocabulary and a step in which every term of the cost matters."""
    rng = np.random.default_rng(seed)
    words = int(rng.integers(2, 11))
    model = known_model(
        c=10 ** rng.uniform(-7, -4), alpha=10 ** rng.uniform(-9, -7), beta=10 ** rng.uniform(-11, -9),
        gamma=10 ** rng.uniform(-9, -7), delta=10 ** rng.uniform(-10, -8), threshold=10 ** rng.uniform(0, 3),
    )  # fmt: skip
    step = {
        "pairs": float(rng.integers(1, 2000)), "pairs_per_token": float(rng.uniform(1, 10)),
        "size": int(rng.choice([8, 40, 100])), "div_value": float(rng.choice([1.0, 1.5, 2.0, 4.0])),
        "model": model, "shortlist": bool(seed % 2), "cbow": seed % 8 >= 6,
    }  # fmt: skip
    return random_shares(rng, words), step


@pytest.mark.parametrize("seed", range(40))
def test_cutoffs_are_those_of_brute_force(seed):
    shares, step = random_case(seed)
    words = len(shares)
    first = head_floor(shares)
    best = {
        count: min(plain_seconds(shares, cut, **step) for cut in combinations(range(first, words), count - 1))
        for count in range(2, words - first + 2)
    }
    for count, seconds in best.items():
        choice = choose_cutoffs(shares, clusters=count, **step)
        assert choice.clusters == count
        assert choice.seconds == pytest.approx(seconds, rel=1e-3)
        assert plain_seconds(shares, choice.cutoffs, **step) == pytest.approx(seconds, rel=1e-3)
    choice = choose_cutoffs(shares, **step)
    assert choice.seconds == pytest.approx(min(best.values()), rel=1e-3)
    assert choice.seconds_by_clusters == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("seed", range(40))
def test_a_search_over_all_positions_is_exact_under_its_own_costs(seed):
    """Without the table's error between them: to the last digits."""
    shares, step = random_case(seed + 1000)
    costs = StepCosts(shares, **step)
    for count in range(2, costs.words + 1):
        seconds, cutoffs = cheapest(costs, 1, [count])[count]
        every = [costs.price(cut).seconds for cut in combinations(range(1, costs.words), count - 1)]
        assert seconds == pytest.approx(min(every), rel=1e-12)
        assert costs.price(cutoffs).seconds == pytest.approx(min(every), rel=1e-12)


@pytest.mark.parametrize(("shortlist", "cbow"), [(True, False), (False, False), (True, True), (False, True)])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_grid_that_is_refined_finds_the_optimum_of_all_positions(device, shortlist, cbow):
    costs = StepCosts(zipf_shares(1000), 20_000, 6.0, 100, 2.0, builtin(device), shortlist, cbow)
    first, groups = 60, [2, 3, 6, 15]
    exact, refined = cheapest(costs, first, groups), cheapest(costs, first, groups, exact_positions=0)
    for count in groups:
        assert refined[count][0] == pytest.approx(exact[count][0], rel=1e-3)
        assert refined[count][0] >= exact[count][0] * (1 - 1e-12)
        assert costs.price(refined[count][1]).seconds == pytest.approx(refined[count][0])


@pytest.mark.parametrize("shortlist", [True, False])
def test_no_cutoff_of_a_large_vocabulary_gets_cheaper_by_moving_it(shortlist):
    costs = StepCosts(zipf_shares(80_000), 131_072, 6.0, 100, 2.0, builtin("cpu"), shortlist)
    for clusters in (2, 5, 9):
        choice = costs.choose(clusters)
        for place, cutoff in enumerate(choice.cutoffs):
            for moved in (cutoff - 3, cutoff - 1, cutoff + 1, cutoff + 3, cutoff + 100):
                if moved < costs.floor:
                    continue
                others = [*choice.cutoffs[:place], moved, *choice.cutoffs[place + 1 :]]
                assert costs.price(tuple(sorted(others))).seconds >= choice.seconds * (1 - 1e-12)


HAND_WRITTEN = [
    (8000,), (8000, 30000), (8000, 20000, 50000), (10000, 30000), (10000, 40000), (20000,), (20000, 40000, 60000),
    (40000,), (8000, 16000, 32000, 64000), (8000, 12000, 20000, 40000), (10000, 20000, 40000, 60000), (8000, 40000),
]  # fmt: skip


@pytest.mark.parametrize("cbow", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_chosen_cutoffs_are_no_dearer_than_hand_written_ones(device, cbow):
    costs = StepCosts(zipf_shares(80_000), 131_072, 6.0, 100, 2.0, builtin(device), True, cbow)
    chosen = costs.choose()
    assert chosen.cutoffs[0] >= costs.floor
    for cutoffs in HAND_WRITTEN:
        assert costs.floor <= cutoffs[0]
        priced = costs.price(cutoffs)
        assert chosen.seconds <= priced.seconds
        assert chosen.seconds_by_clusters[priced.clusters] <= priced.seconds


def test_the_best_number_of_clusters_is_the_cheapest_of_them():
    costs = StepCosts(zipf_shares(5000), 30_000, 6.0, 100, 2.0, builtin("cuda"))
    choice = costs.choose()
    assert set(choice.seconds_by_clusters) == set(range(2, 16))
    assert choice.seconds == min(choice.seconds_by_clusters.values())
    for clusters in (2, 4, 15):
        assert costs.choose(clusters).seconds == choice.seconds_by_clusters[clusters]


@pytest.mark.parametrize("shortlist", [True, False])
def test_blocks_add_up_and_fit_the_layout_that_is_trained(shortlist):
    shares = zipf_shares(3000)
    costs = StepCosts(shares, 30_000, 6.0, 100, 2.0, builtin("cpu"), shortlist)
    choice = costs.price((300, 700, 1500))
    layout = adaptive_layout(3000, 100, choice.cutoffs, 2.0, shortlist)
    head, *tails = choice.blocks
    assert (head.name, head.end, head.columns, head.size) == ("head", layout.shortlist, layout.columns, 100)
    assert [(block.begin, block.end) for block in tails] == [tail.edges for tail in layout.tails]
    assert [block.size for block in tails] == [tail.size for tail in layout.tails]
    assert [block.columns for block in tails] == [tail.words for tail in layout.tails]
    assert [block.name for block in tails] == [f"tail {number}" for number in range(1, len(tails) + 1)]
    assert sum(block.share for block in tails) == pytest.approx(shares[layout.shortlist :].sum())
    assert choice.seconds == pytest.approx(sum(block.seconds for block in choice.blocks))
    assert choice.full_seconds == builtin("cpu").block_seconds(3000, head.inputs, 100)


@pytest.mark.parametrize("cutoffs", [(10,), (3, 11)])
def test_cutoffs_beyond_the_vocabulary_are_refused(cutoffs):
    costs = StepCosts(zipf_shares(10), 100, 6.0, 100, 2.0, builtin("cpu"))
    with pytest.raises(ConfigError, match="must stay below the 10 words"):
        costs.price(cutoffs)


def test_no_cutoffs_are_refused_in_words_of_their_own():
    costs = StepCosts(zipf_shares(10), 100, 6.0, 100, 2.0, builtin("cpu"))
    with pytest.raises(ConfigError, match="needs one cut-off at least: give --cutoffs"):
        costs.price(())


def test_given_cutoffs_may_make_more_clusters_than_auto_looks_at():
    costs = StepCosts(zipf_shares(100), 1000, 6.0, 32, 2.0, builtin("cpu"))
    assert costs.price(tuple(range(5, 100, 4))).clusters == 25


@pytest.mark.parametrize("shortlist", [True, False])
@pytest.mark.parametrize("words", [2, 3, 10, 14, 15, 16])
def test_tiny_vocabularies(words, shortlist):
    step = {
        "pairs": 50, "pairs_per_token": 2.0, "size": 8, "div_value": 2.0,
        "model": builtin("cpu"), "shortlist": shortlist,
    }  # fmt: skip
    shares = zipf_shares(words)
    choice = choose_cutoffs(shares, **step)
    first = head_floor(shares)
    most = min(15, words - first + 1)
    assert set(choice.seconds_by_clusters) == set(range(2, most + 1))
    assert all(0 < a < b for a, b in zip(choice.cutoffs, (*choice.cutoffs[1:], words), strict=True))
    assert choose_cutoffs(shares, clusters=most, **step).clusters == most
    with pytest.raises(
        ConfigError, match=f"--clusters {most + 1} is too many for {words} words: use at most {most}$"
    ):
        choose_cutoffs(shares, clusters=most + 1, **step)


def test_one_word_and_no_pairs_are_refused():
    step = {"size": 8, "div_value": 2.0, "model": builtin("cpu")}
    with pytest.raises(ConfigError, match="needs two words"):
        choose_cutoffs(np.ones(1), pairs=9, pairs_per_token=2.0, **step)
    for pairs, per_token in ((0, 2.0), (9, 0.0)):
        with pytest.raises(TrainingError, match="has no pair"):
            choose_cutoffs(zipf_shares(5), pairs=pairs, pairs_per_token=per_token, **step)


@pytest.mark.parametrize(("tokens", "per_token"), [(50, 6), (400, 6), (3000, 3), (400, 1)])
def test_reached_inputs_against_a_simulation(tokens, per_token):
    rng = np.random.default_rng(tokens + per_token)
    shares = zipf_shares(300)
    reached = ReachedInputs(shares, tokens * per_token, per_token)
    kappa = clumping(tokens)
    for q in (0.002, 0.05, 0.3, 0.9, 1.0):
        met = []
        for _ in range(200):
            # How much a batch is about each word: 1 on average, most often less.
            topic = rng.gamma(kappa, 1 / kappa, 300)
            inputs = np.repeat(np.arange(300), rng.poisson(tokens * shares * topic))
            has_target = rng.binomial(per_token, q, inputs.size) > 0
            met.append(np.unique(inputs[has_target]).size)
        # Four standard errors of the mean.
        assert reached(q) == pytest.approx(np.mean(met), abs=4 * np.std(met) / 200**0.5 + 1e-9)


@pytest.mark.parametrize(("tokens", "kappa"), [(80, 0.2), (1250, 0.275), (10_000, 0.4), (80_000, 0.65)])
def test_words_are_spread_the_more_evenly_the_longer_a_batch(tokens, kappa):
    assert clumping(tokens) == pytest.approx(kappa)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 400), st.floats(1, 1e6), st.floats(0.5, 20), st.integers(0, 2**31))
def test_the_table_of_reached_inputs_is_good_to_a_few_in_ten_thousand(words, pairs, per_token, seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(words, 0.3)) + 1e-12
    shares /= shares.sum()
    reached = ReachedInputs(shares, pairs, per_token)
    q = np.concatenate([[0.0, 1e-14, 1.0], 10 ** rng.uniform(-9, 0, 20)])
    wanted = [plain_inputs(shares, pairs, per_token, value, False) for value in q]
    np.testing.assert_allclose(reached(q), wanted, rtol=5e-4, atol=1e-9)


@pytest.mark.parametrize("cbow", [False, True])
def test_reached_inputs_rise_from_none_to_all_and_stay_below_the_windows(cbow):
    shares = zipf_shares(5000)
    reached = ReachedInputs(shares, 60_000, 6.0, cbow)
    q = np.concatenate([[0.0], np.geomspace(1e-15, 1.0, 5000)])
    inputs = reached(q)
    assert inputs[0] == 0
    assert (np.diff(inputs) >= 0).all()
    assert inputs[-1] == reached.all
    if cbow:
        np.testing.assert_allclose(inputs, 60_000 * q)
    else:
        assert (inputs <= 10_000 * (1 - (1 - q) ** 6) * (1 + 1e-4) + 1e-9).all()
        assert inputs[-1] < 5000


def covering(points, words):
    """Shares whose running sum passes through (words, share) points, straight between them."""
    at, share = zip(*points, strict=True)
    return np.diff(np.interp(np.arange(words + 1), [0, *at, words], [0, *share, 1]))


def test_the_floor_of_the_head_at_measured_corpora():
    # English, 17 M words: what covers 86 % is as much as a tenth of the vocabulary. In a larger one it is less.
    points = [(2000, 0.686), (4000, 0.779), (8000, 0.860)]
    assert head_floor(covering(points, 79_666)) == 7967
    assert head_floor(covering(points, 500_000)) == 8000
    # Korean, 1.6 M words: 86 % would take more than 16,000 of them.
    korean = covering([(8000, 0.676), (16_000, 0.793)], 55_144)
    assert head_floor(korean) == 5515


@pytest.mark.parametrize("words", [2, 3, 9, 10, 11, 100, 1001])
def test_the_floor_of_the_head_by_its_rule(words):
    assert head_floor(np.full(words, 1 / words)) == math.ceil(words / 10)
    peaked = np.full(words, 0.01 / words)
    peaked[0] = 0.99
    assert head_floor(peaked) == 1


@pytest.mark.parametrize("shortlist", [True, False])
def test_auto_keeps_to_the_floor_and_given_cutoffs_need_not(shortlist):
    """The group that keeps all D dims is the head's short-list, or else the first tail."""
    shares = zipf_shares(2000)
    costs = StepCosts(shares, 20_000, 6.0, 100, 2.0, builtin("cpu"), shortlist)
    assert costs.floor == head_floor(shares)
    for clusters in (2, 3, 8, 15):
        choice = costs.choose(clusters)
        assert choice.cutoffs[0] >= costs.floor
        whole = choice.blocks[0 if shortlist else 1]
        assert (whole.begin, whole.end, whole.size) == (0, choice.cutoffs[0], 100)
    # The rule matters: without it a smaller group would be cheaper.
    assert cheapest(costs, 1, [15])[15][1][0] < costs.floor
    assert costs.price((5, 50)).cutoffs == (5, 50)


def test_auto_is_resolved_for_a_corpus_and_given_cutoffs_stay(tmp_path):
    counts = (100_000 // np.arange(1, 1001)).astype(np.int64)
    shape = CorpusShape(counts, int(counts.sum()), 20_000)
    said = []
    config = resolve_cutoffs(TrainConfig(objective="adaptive", clusters=4), shape, "cuda", said.append)
    step = Step.of(config, shape)
    assert step.shares.sum() == pytest.approx(1)
    assert (np.diff(step.shares) <= 0).all()
    assert step.costs(builtin("cuda")).choose(4).cutoffs == config.cutoffs
    assert config.clusters is None
    assert "the built-in one for cuda" in said[0]
    assert said[1].startswith(f"--cutoffs {','.join(map(str, config.cutoffs))}: 4 clusters;")
    assert resolve_cutoffs(config, shape, "cuda", said.append) is config
    assert len(said) == 2
    path = tmp_path / "cost.json"
    known_model().to_json(path)
    measured = resolve_cutoffs(TrainConfig(objective="adaptive", cost_model=str(path)), shape, "cpu", said.append)
    assert str(path) in said[2]
    assert measured.cutoffs == step.costs(known_model()).choose().cutoffs


def test_the_order_of_the_counts_does_not_matter():
    counts = (1000 // np.arange(1, 101)).astype(np.int64)
    config = TrainConfig(objective="adaptive", model="cbow", batch_pairs=500)
    one, two = (Step.of(config, CorpusShape(c, int(counts.sum()), 50)) for c in (counts, counts[::-1]))
    np.testing.assert_array_equal(one.shares, two.shares)
    assert (one.pairs, one.pairs_per_token, one.cbow) == (500, 1.0, True)


@pytest.mark.parametrize("name", ["en17m.txt.xz", "ko2m.txt.xz"])
def test_reached_inputs_of_real_text(tmp_path, name):
    """Counted in batches of running text: within a fifth; a Poisson number would be a third too high."""
    folder = os.environ.get("W2V_TEST_CORPORA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"W2V_TEST_CORPORA names no folder with {name}")
    with lzma.open(Path(folder) / name, "rb") as source:
        (tmp_path / "text.txt").write_bytes(source.read(10_000_000))
    config = TrainConfig(objective="adaptive", window=4, batch_pairs=30_000, shrink_windows=False, sample=0)
    with encode_corpus([tmp_path / "text.txt"], use_cache=False) as corpus:
        ids = np.array(corpus.ids)
        step = Step.of(config, CorpusShape(corpus.vocabulary.counts, corpus.tokens, corpus.sentences))
    costs = step.costs(builtin("cpu"))
    length = int(step.pairs / step.pairs_per_token * len(ids) / np.count_nonzero(ids >= 0))
    clusters = [(0, costs.words), (0, 500), (500, 4000), (4000, costs.words)]
    counted = np.zeros(len(clusters))
    starts = np.linspace(0, len(ids) - length, 10).astype(int)
    for start in starts:
        inputs, targets = all_pairs(ids[start : start + length], config.window)
        for number, (begin, end) in enumerate(clusters):
            counted[number] += np.unique(inputs[(targets >= begin) & (targets < end)]).size / len(starts)
    np.testing.assert_allclose([costs.inputs(*cluster) for cluster in clusters], counted, rtol=0.2)


def all_pairs(ids, window):
    """Every (input, target) within a window of fixed width and a sentence, in no order."""
    sentence, inputs, targets = np.cumsum(ids < 0), [], []
    for distance in range(1, window + 1):
        one, other = ids[:-distance], ids[distance:]
        together = (sentence[:-distance] == sentence[distance:]) & (one >= 0) & (other >= 0)
        inputs += [one[together], other[together]]
        targets += [other[together], one[together]]
    return np.concatenate(inputs), np.concatenate(targets)
