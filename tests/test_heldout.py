"""Held-out sentences: which they are, what is predicted of them, and its likelihood."""

import gc
import json
import math
import tempfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from corpora import fibonacci_counts, random_ids, zipf_counts

from w2v.backends.cpu import CpuBackend
from w2v.backends.heldout import rowwise_heldout_nll
from w2v.config import TrainConfig
from w2v.corpus import CorpusOptions, EncodedCorpus, Vocabulary, encode_sentences, heldout
from w2v.corpus.heldout import split_heldout
from w2v.errors import OutputError, TrainingError
from w2v.likelihood import format_perplexity, heldout_line, perplexity
from w2v.objectives import ROW_WISE, HierarchicalSoftmax, make_objective
from w2v.objectives.heldout_pairs import cbow_windows, skipgram_pairs, target_counts, unigram_nll
from w2v.training import PhaseClock, TrainingCallback, TrainingRun, train
from w2v.training.progress import TrainingBar
from w2v.vectors.folder import load_model_folder
from w2v.vectors.model_card import model_card


def sentences_of(ids):
    """Lists of words, each without its mark."""
    parts, sentence = [], []
    for word in ids.tolist():
        if word == -1:
            parts.append(sentence)
            sentence = []
        else:
            sentence.append(word)
    assert not sentence
    return parts


def ids_of(sentences):
    return np.array([word for sentence in sentences for word in [*sentence, -1]], np.int32)


def windows_of(ids, window):
    """(contexts, centre) of every full window that has contexts, from the definition."""
    for sentence in sentences_of(ids):
        for place, centre in enumerate(sentence):
            contexts = sentence[max(0, place - window) : place] + sentence[place + 1 : place + 1 + window]
            if contexts:
                yield contexts, centre


def huffman_log_probability(objective, hidden, word, outputs):
    """log p(word | hidden) = Σ_k log σ(s_k h·o_k), float64, node by node."""
    total = 0.0
    for row, sign in zip(*objective.targets(word), strict=True):
        logit = float(sign) * sum(float(h) * float(o) for h, o in zip(hidden, outputs[row], strict=True))
        total -= math.log1p(math.exp(-logit)) if logit > -30 else -logit
    return total


def reference_nll(config, objective, parameters, ids):
    inputs, outputs = (parameters[name].astype(np.float64) for name in ("input_vectors", "output_vectors"))
    losses = []
    for contexts, centre in windows_of(ids, config.window):
        if config.model == "cbow":
            hidden = inputs[contexts].sum(axis=0)
            hidden = hidden if config.cbow_sum else hidden / len(contexts)
            losses.append(-huffman_log_probability(objective, hidden, centre, outputs))
        else:
            losses += [-huffman_log_probability(objective, inputs[word], centre, outputs) for word in contexts]
    return math.fsum(losses) / len(losses)


def parameters_for(objective, size, rng, scale=0.7):
    shapes = {"input_vectors": objective.counts.size, "output_vectors": objective.output_rows}
    return {name: rng.normal(0, scale, (rows, size)).astype(np.float32) for name, rows in shapes.items()}


# -- which sentences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2**64 - 1])
def test_the_split_is_a_partition_in_the_order_of_the_text(seed):
    ids = random_ids(np.random.default_rng(0), 50, 400, 9)
    train_ids, heldout_ids = split_heldout(ids, 0.3, seed)
    assert train_ids.dtype == heldout_ids.dtype == np.int32
    # Sentences are numbered by a word of their own, so that each is known again.
    numbered = ids_of([[number, number] for number in range(400)])
    train_numbers, heldout_numbers = (
        [s[0] for s in sentences_of(part)] for part in split_heldout(numbered, 0.3, seed)
    )
    assert train_numbers == sorted(train_numbers)
    assert heldout_numbers == sorted(heldout_numbers)
    assert sorted(train_numbers + heldout_numbers) == list(range(400))
    # The choice depends on a sentence's number, not on what it holds.
    sentences = sentences_of(ids)
    assert sentences_of(train_ids) == [sentences[number] for number in train_numbers]
    assert sentences_of(heldout_ids) == [sentences[number] for number in heldout_numbers]


@pytest.mark.parametrize("block", [1, 7, 100, 10**6])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_large_corpus_is_split_through_files_and_leaves_none(tmp_path, monkeypatch, block, mapped):
    ids = random_ids(np.random.default_rng(1), 50, 200, 9)
    expected = split_heldout(ids, 0.3, 4)
    monkeypatch.setattr(heldout, "_IN_MEMORY", 0)
    monkeypatch.setattr(heldout, "_BLOCK", block)
    if mapped:
        ids.tofile(tmp_path / "ids.bin")
        ids = np.memmap(tmp_path / "ids.bin", np.int32, "r")
    parts = split_heldout(ids, 0.3, 4)
    for part, known in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part, known)
        assert isinstance(part.base, np.memmap)
        assert heldout.sentence_marks(part) == np.count_nonzero(known == -1)
    del part, parts
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["ids.bin"] * mapped


def test_the_files_of_the_split_lie_where_the_corpus_does_or_in_tmpdir(tmp_path, monkeypatch):
    folders = []
    real = tempfile.TemporaryFile

    def recorded(dir=None, prefix=None):  # noqa: A002 (as tempfile calls it)
        folders.append(dir)
        if dir == tmp_path / "read-only":
            raise PermissionError("no")
        return real(prefix=prefix)

    monkeypatch.setattr(heldout.tempfile, "TemporaryFile", recorded)
    monkeypatch.setattr(heldout, "_IN_MEMORY", 0)
    for name in ("cache", "read-only"):
        (tmp_path / name).mkdir()
        ids_of([[1, 2]] * 50).tofile(tmp_path / name / "ids.bin")
        split_heldout(np.memmap(tmp_path / name / "ids.bin", np.int32, "r"), 0.3, 1)
    assert folders == [tmp_path / "cache"] * 2 + [tmp_path / "read-only", None] * 2


def test_a_full_disk_is_reported_with_what_to_do(monkeypatch):
    def full(dir=None, prefix=None):  # noqa: A002
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(heldout.tempfile, "TemporaryFile", full)
    monkeypatch.setattr(heldout, "_IN_MEMORY", 0)
    with pytest.raises(OutputError, match=r"No space left on device: give a folder with room \(--cache DIR"):
        split_heldout(ids_of([[1, 2]] * 50), 0.3, 1)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_the_share_of_held_out_sentences_is_near_the_fraction(fraction):
    ids = ids_of([[1, 2]] * 20_000)
    held = [sentences_of(split_heldout(ids, fraction, seed)[1]) for seed in range(4)]
    assert np.mean([len(part) for part in held]) / 20_000 == pytest.approx(fraction, rel=0.1)


def test_the_seed_chooses_and_a_larger_fraction_holds_out_more_of_the_same():
    ids = ids_of([[number, number] for number in range(1000)])
    first, again, other = (split_heldout(ids, 0.2, seed)[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())
    assert set(first.tolist()) < set(split_heldout(ids, 0.4, 5)[1].tolist())


def test_nothing_held_out_is_no_copy():
    ids = random_ids(np.random.default_rng(0), 20, 10, 5)
    train_ids, heldout_ids = split_heldout(ids, 0.0, 1)
    assert train_ids is ids
    assert heldout_ids.size == 0


def test_read_only_ids_are_split_alike(tmp_path):
    ids = random_ids(np.random.default_rng(3), 20, 200, 5)
    ids.tofile(tmp_path / "ids.bin")
    mapped = np.memmap(tmp_path / "ids.bin", "<i4", "r")
    for part, expected in zip(split_heldout(mapped, 0.2, 1), split_heldout(ids, 0.2, 1), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_a_part_without_a_pair_is_refused():
    lonely = [[3]] * 500
    with pytest.raises(TrainingError, match="keeps back no sentence of two words: raise it"):
        split_heldout(ids_of(lonely), 0.5, 1)
    numbers = [s[0] for s in sentences_of(split_heldout(ids_of([[n, n] for n in range(500)]), 0.5, 1)[1])]
    only_there = [[3, 4] if number in numbers else [3] for number in range(500)]
    with pytest.raises(TrainingError, match="leaves no sentence of two words to learn from: lower it"):
        split_heldout(ids_of(only_there), 0.5, 1)
    with pytest.raises(TrainingError, match="keeps back no sentence"):
        split_heldout(ids_of([[1, 2]] * 3), 1e-9, 1)


# -- what is predicted -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3, 5, 40])
@pytest.mark.parametrize("chunk", [1, 64, 1 << 22])
def test_pairs_and_windows_are_all_of_them(window, chunk):
    ids = random_ids(np.random.default_rng(window), 30, 120, 9)
    expected = list(windows_of(ids, window))
    found = Counter()
    for inputs, targets, counts in skipgram_pairs(ids, window, 30, chunk):
        assert (inputs.dtype, targets.dtype, counts.dtype) == (np.int32, np.int32, np.float64)
        keys = inputs.astype(np.int64) * 30 + targets
        assert (np.diff(keys) > 0).all()
        for pair, count in zip(zip(inputs.tolist(), targets.tolist(), strict=True), counts.tolist(), strict=True):
            found[pair] += count
    assert found == Counter((context, centre) for contexts, centre in expected for context in contexts)

    bags = []
    for begins, words, targets in cbow_windows(ids, window, chunk):
        assert (begins.dtype, words.dtype, targets.dtype) == (np.int64, np.int32, np.int32)
        assert begins[-1] == words.size
        bags += [(words[begins[i] : begins[i + 1]].tolist(), target) for i, target in enumerate(targets.tolist())]
    assert bags == expected


@pytest.mark.parametrize("chunk", [2, 1 << 22])
def test_pairs_of_a_vocabulary_past_what_two_int32_words_make(chunk):
    top = 2**31 - 1
    ids = np.array([top, 0, top, -1], np.int32)
    found = Counter()
    for inputs, targets, counts in skipgram_pairs(ids, 1, 2**31, chunk):
        for pair, count in zip(zip(inputs.tolist(), targets.tolist(), strict=True), counts.tolist(), strict=True):
            found[pair] += count
    assert found == {(top, 0): 2, (0, top): 2}


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_target_counts_are_those_of_the_pairs(model):
    ids = random_ids(np.random.default_rng(1), 30, 200, 7)
    counts = target_counts(ids, TrainConfig(model=model, window=3), 30)
    expected = np.zeros(30)
    for contexts, centre in windows_of(ids, 3):
        expected[centre] += 1 if model == "cbow" else len(contexts)
    np.testing.assert_array_equal(counts, expected)
    assert expected.sum() > 200


def test_no_pair_has_no_mean():
    config = TrainConfig(objective="hs", vector_size=4)
    objective = make_objective(config, np.array([3, 2]))
    backend = CpuBackend(config, objective)
    with pytest.raises(TrainingError, match="raise --heldout"):
        backend.heldout_nll(np.array([0, -1, 1, -1], np.int32))


# -- the likelihood --------------------------------------------------------------------------------------------

CASES = [
    # model, sum, window, size, words, longest sentence
    ("skipgram", False, 1, 1, 2, 4),
    ("skipgram", False, 3, 7, 13, 1 + 6),
    ("skipgram", False, 5, 33, 40, 12),
    ("cbow", False, 1, 16, 9, 3),
    ("cbow", False, 3, 20, 40, 9),
    ("cbow", True, 5, 5, 25, 12),
]


@pytest.mark.parametrize(("model", "use_sum", "window", "size", "words", "longest"), CASES)
@pytest.mark.parametrize("counted", [zipf_counts, fibonacci_counts])
def test_hierarchical_softmax_is_the_formula(model, use_sum, window, size, words, longest, counted):
    rng = np.random.default_rng([window, size, words])
    config = TrainConfig(
        model=model, objective="hs", window=window, vector_size=size, cbow_sum=use_sum, sample=1e-3, threads=2
    )
    objective = make_objective(config, counted(words))
    parameters = parameters_for(objective, size, rng)
    ids = random_ids(rng, words, 60, longest)
    assert any(len(sentence) == 1 for sentence in sentences_of(ids))
    expected = reference_nll(config, objective, parameters, ids)
    assert expected > 0.1
    # CBOW's mean is taken in float32, as in training.
    tolerance = 1e-6 if model == "cbow" else 1e-12
    found = rowwise_heldout_nll(config, objective, lambda: parameters, ids)
    assert found == pytest.approx(expected, rel=tolerance)
    backend = CpuBackend(config, objective)
    backend.load_parameters(parameters)
    assert backend.heldout_nll(ids) == found


def test_the_reference_sums_to_one():
    rng = np.random.default_rng(0)
    objective = HierarchicalSoftmax(zipf_counts(17), TrainConfig(objective="hs"))
    parameters = parameters_for(objective, 6, rng)
    hidden = parameters["input_vectors"][0].astype(np.float64)
    outputs = parameters["output_vectors"].astype(np.float64)
    logs = [huffman_log_probability(objective, hidden, word, outputs) for word in range(17)]
    assert math.fsum(map(math.exp, logs)) == pytest.approx(1, rel=1e-12)


def test_large_logits_neither_overflow_nor_vanish():
    config = TrainConfig(objective="hs", vector_size=2, window=1)
    objective = make_objective(config, np.array([2, 1]))
    (row,), (sign,) = objective.targets(0)
    assert (row, abs(sign)) == (0, 1)
    for logit in (-1000.0, 1000.0):
        parameters = {
            "input_vectors": np.array([[1, 0], [1, 0]], np.float32),
            "output_vectors": np.array([[logit * sign, 0]], np.float32),
        }
        # Of the pairs (1 → 0) and (0 → 1) one costs 1000 nats, the other nothing.
        found = rowwise_heldout_nll(config, objective, lambda p=parameters: p, ids_of([[0, 1]]))
        assert found == pytest.approx(500, rel=1e-12)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_the_sum_does_not_depend_on_threads(model, monkeypatch):
    monkeypatch.setattr("w2v.backends.heldout._TASK", 50)
    rng = np.random.default_rng(4)
    config = TrainConfig(model=model, objective="hs", vector_size=12, window=4)
    objective = make_objective(config, zipf_counts(80))
    parameters = parameters_for(objective, 12, rng)
    ids = random_ids(rng, 80, 200, 8)
    found = {
        rowwise_heldout_nll(replace(config, threads=threads), objective, lambda: parameters, ids)
        for threads in (1, 2, 5)
    }
    assert len(found) == 1
    assert found.pop() == pytest.approx(reference_nll(config, objective, parameters, ids), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 37])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_chunks_make_no_difference(model, chunk, monkeypatch):
    rng = np.random.default_rng(5)
    config = TrainConfig(model=model, objective="hs", vector_size=8, window=3)
    objective = make_objective(config, zipf_counts(30))
    parameters = parameters_for(objective, 8, rng)
    ids = random_ids(rng, 30, 100, 8)
    whole = rowwise_heldout_nll(config, objective, lambda: parameters, ids)
    cut_pairs, cut_windows = skipgram_pairs, cbow_windows
    monkeypatch.setattr("w2v.backends.heldout.skipgram_pairs", lambda *a: cut_pairs(*a, chunk))
    monkeypatch.setattr("w2v.backends.heldout.cbow_windows", lambda *a: cut_windows(*a, chunk))
    found = rowwise_heldout_nll(config, objective, lambda: parameters, ids)
    assert found == pytest.approx(whole, rel=1e-12)


def test_ns_has_no_likelihood():
    config = TrainConfig(objective="ns", vector_size=4)
    backend = CpuBackend(config, make_objective(config, np.array([3, 2])))
    assert backend.heldout_nll(np.array([0, 1, -1], np.int32)) is None


@pytest.mark.parametrize("objective", sorted(name for name, kind in ROW_WISE.items() if kind.normalised))
def test_untrained_parameters_know_the_tree_only(objective):
    """Outputs of zero: every branch is a coin, and a word costs its code length in bits."""
    config = TrainConfig(objective=objective, vector_size=4, window=2)
    backend = CpuBackend(config, make_objective(config, np.array([8, 4, 2, 2])))
    backend.initialise()
    # Code lengths 1, 2, 3, 3; targets 0, 1, 2, 3 once each.
    assert backend.heldout_nll(ids_of([[0, 1], [2, 3]])) == pytest.approx(math.log(2) * 9 / 4, rel=1e-12)


def test_unigram_by_hand():
    counts = np.array([6, 3, 1, 0])
    # Window 1: 0 is predicted once at either end, 1 twice in the middle and once by 3; 2 stands alone.
    ids = ids_of([[0, 1, 0], [2], [3, 1]])
    targets = target_counts(ids, TrainConfig(window=1), 4)
    assert targets.tolist() == [2, 3, 0, 1]
    # The count of 0 is taken for 1: shares 6/11, 3/11, 1/11, 1/11.
    expected = (2 * math.log(11 / 6) + 3 * math.log(11 / 3) + math.log(11)) / 6
    assert unigram_nll(targets, counts) == pytest.approx(expected, rel=1e-12)
    windows = target_counts(ids, TrainConfig(window=1, model="cbow"), 4)
    assert windows.tolist() == [2, 2, 0, 1]
    expected = (2 * math.log(10 / 6) + 2 * math.log(10 / 3) + math.log(10)) / 5
    assert unigram_nll(np.array([2, 2, 1]), counts[:3]) == pytest.approx(expected, rel=1e-12)


# -- a run -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus():
    """600 sentences in which a word tells the next one; sentence n also holds a word of its own."""
    rng = np.random.default_rng(7)
    lines = []
    for number in range(600):
        start = rng.integers(0, 8)
        lines.append([*(f"w{(start + step) % 8}" for step in range(rng.integers(2, 9))), f"own{number}"])
    return encode_sentences(lines, CorpusOptions(min_count=1))


def config_for(**options):
    defaults = {"objective": "hs", "vector_size": 12, "window": 3, "epochs": 3, "threads": 1, "device": "cpu"}
    return TrainConfig(**{**defaults, "sample": 0.0, "heldout": 0.2, **options})


@pytest.mark.parametrize("objective", ["ns", "hs"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_training_never_sees_held_out_sentences(corpus, objective, model):
    config = config_for(objective=objective, model=model)
    train_ids, heldout_ids = split_heldout(corpus.ids, 0.2, config.seed)
    tokens = int((train_ids >= 0).sum())
    announced, seen = [], []

    class Watch(TrainingCallback):
        def on_train_begin(self, run):
            announced.append(run.tokens)

        def on_epoch_end(self, run):
            seen.append(run.report.words)

    trained = train(config, corpus, callbacks=[Watch()])
    assert announced == [tokens]
    assert seen == 3 * [tokens]
    assert trained.training["kept_words"] == 3 * tokens
    seconds = trained.training["seconds"]["train"]
    assert trained.training["words_per_second"] == pytest.approx(3 * tokens / seconds)
    # The same as training on a text without those sentences, under the same vocabulary.
    alone = EncodedCorpus(train_ids, corpus.vocabulary, tokens, 1, tokens, 0, "0" * 32)
    expected = train(replace(config, heldout=0.0), alone)
    np.testing.assert_array_equal(trained.input_vectors, expected.input_vectors)
    for name, array in expected.output_parameters.items():
        np.testing.assert_array_equal(trained.output_parameters[name], array)
    assert trained.counts is corpus.vocabulary.counts
    # A word that stands in one held-out sentence alone is as it was drawn.
    backend = CpuBackend(config.resolved(), make_objective(config.resolved(), corpus.vocabulary.counts))
    backend.initialise()
    unseen = np.setdiff1d(heldout_ids[heldout_ids >= 0], train_ids)
    assert unseen.size > 60
    initial = backend.parameters()["input_vectors"]
    np.testing.assert_array_equal(trained.input_vectors[unseen], initial[unseen])
    assert not np.array_equal(trained.input_vectors, initial)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_the_record_holds_the_likelihood_of_what_was_trained(corpus, model):
    config = config_for(model=model)
    trained = train(config, corpus)
    _, heldout_ids = split_heldout(corpus.ids, 0.2, config.seed)
    record = trained.training
    objective = make_objective(config, corpus.vocabulary.counts)
    parameters = {"input_vectors": trained.input_vectors, **trained.output_parameters}
    expected = reference_nll(config, objective, parameters, heldout_ids)
    assert record["heldout_nll"] == pytest.approx(expected, rel=1e-6)
    shares = corpus.vocabulary.counts / corpus.vocabulary.counts.sum()
    losses = [
        -math.log(shares[centre])
        for contexts, centre in windows_of(heldout_ids, 3)
        for _ in (contexts[:1] if model == "cbow" else contexts)
    ]
    assert record["heldout_unigram_nll"] == pytest.approx(math.fsum(losses) / len(losses), rel=1e-12)
    assert record["corpus"]["heldout_sentences"] == len(sentences_of(heldout_ids))
    assert record["corpus"]["heldout_tokens"] == (heldout_ids >= 0).sum()
    assert record["corpus"]["tokens"] == corpus.tokens
    json.dumps(record)


@pytest.mark.gpu
@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_a_gpu_reports_the_likelihood_of_what_it_trained(corpus, model):
    config = config_for(model=model, device="cuda")
    trained = train(config, corpus)
    _, heldout_ids = split_heldout(corpus.ids, 0.2, config.seed)
    parameters = {"input_vectors": trained.input_vectors, **trained.output_parameters}
    expected = reference_nll(config, make_objective(config, corpus.vocabulary.counts), parameters, heldout_ids)
    assert trained.training["heldout_nll"] == pytest.approx(expected, rel=1e-6)


def test_the_likelihood_beats_the_unigram_where_there_is_something_to_learn():
    rng = np.random.default_rng(2)
    lines = [[f"w{(start + step) % 12}" for step in range(10)] for start in rng.integers(0, 12, 1500)]
    record = train(config_for(epochs=10, window=2, seed=3), encode_sentences(lines)).training
    assert record["heldout_unigram_nll"] == pytest.approx(math.log(12), rel=0.01)
    # Two on either side are equally likely: ln 4 is the least; one branch of the tree less than the unigram will do.
    assert math.log(4) < record["heldout_nll"] < math.log(6)


def test_null_without_held_out_sentences_and_for_ns(corpus):
    for options, held in (({"heldout": 0.0}, False), ({"objective": "ns"}, True)):
        record = train(config_for(epochs=1, **options), corpus).training
        assert (record["heldout_nll"], record["heldout_unigram_nll"]) == (None, None)
        assert (record["corpus"]["heldout_sentences"] > 0) == held
        line = heldout_line(record)
        assert ("ns has no likelihood" in line) if held else line is None


def test_the_time_of_the_evaluation_is_in_the_total_alone(corpus, monkeypatch):
    class Slow(CpuBackend):
        def heldout_nll(self, ids):
            clock._begin -= 1000.0
            return super().heldout_nll(ids)

    clock = PhaseClock()
    monkeypatch.setattr("w2v.training.driver.make_backend", Slow)
    seconds = train(config_for(epochs=1), corpus, clock=clock).training["seconds"]
    total = seconds.pop("total")
    assert total - sum(seconds.values()) > 999


def test_a_count_of_zero_has_a_finite_likelihood():
    vocabulary = Vocabulary(["a", "b", "c"], [500, 400, 0])
    corpus = encode_sentences([["a", "b", "c"]] * 50, vocabulary=vocabulary)
    record = train(config_for(epochs=1), corpus).training
    # Each of the three is predicted twice a sentence.
    expected = math.log(901) - (math.log(500) + math.log(400)) / 3
    assert record["heldout_unigram_nll"] == pytest.approx(expected, rel=1e-12)
    assert math.isfinite(record["heldout_nll"])


# -- what people see -------------------------------------------------------------------------------------------


def test_perplexity_is_written_for_people():
    assert [format_perplexity(nats) for nats in (0.0, math.log(12.345), math.log(4569))] == ["1", "12.3", "4,569"]
    assert perplexity(1e6) == math.inf
    assert format_perplexity(1e6) == "inf"


def test_the_line_names_both(corpus):
    record = {
        "heldout_nll": math.log(2801),
        "heldout_unigram_nll": math.log(4569),
        "corpus": {"heldout_sentences": 9},
    }
    expected = "held-out sentences: 7.938 nats per pair, perplexity 2,801 (unigram: 8.427, 4,569)"
    assert heldout_line(record) == expected


def test_the_model_card_and_the_folder_show_it(corpus, tmp_path):
    model = train(config_for(epochs=1), corpus)
    model.save(tmp_path / "model")
    nll = model.training["heldout_nll"]
    assert load_model_folder(tmp_path / "model").training["heldout_nll"] == nll
    card = (tmp_path / "model" / "README.md").read_text("utf-8")
    assert f"| held-out nats per pair | {nll:.6g} |" in card
    assert (
        f"| held-out perplexity of the unigram | {format_perplexity(model.training['heldout_unigram_nll'])} |" in card
    )
    without = model_card(2, 3, {}, {"heldout_nll": None, "heldout_unigram_nll": None, "device": "cpu"}, True)
    assert "held-out" not in without


def test_the_bar_covers_what_is_trained(capsys):
    from w2v.backends import EpochReport

    run = TrainingRun(config_for(epochs=2), None, None, 500)
    bar = TrainingBar(2, True)
    bar.on_train_begin(run)
    run.epoch, run.report = 1, EpochReport(loss=1.0, pairs=1, words=500)
    bar.on_report(run)
    bar.close()
    assert "epoch 2/2: 100%" in capsys.readouterr().err
