"""gensim and PyTorch within a comparison: the same words, sentences and pairs as this project's runs."""

import sys
from functools import partial

import numpy as np
import pytest

from w2v.backends.block_cpu_batches import CpuBatches
from w2v.comparison import against_gensim, gensim_text, torch_adaptive
from w2v.comparison.pair_stream import Pairs, one_ahead, pair_batches
from w2v.comparison.plan import EvaluationFile, RunSpec
from w2v.comparison.worker import do_run
from w2v.config import TrainConfig
from w2v.corpus import CorpusOptions, Vocabulary, encode_corpus
from w2v.corpus.heldout import split_heldout
from w2v.errors import ConfigError, MissingExtraError, OutputError
from w2v.objectives import HierarchicalSoftmax, make_objective
from w2v.objectives.heldout_pairs import skipgram_pairs, target_counts

WORDS = 60


@pytest.fixture
def corpus(tmp_path):
    """600 sentences of 3 to 25 words about one of two topics, of which every word but the first six is a part."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, WORDS + 1)
    lines = []
    for _ in range(600):
        words = rng.choice(WORDS, rng.integers(3, 26), p=shares / shares.sum())
        topic = rng.integers(2)
        lines.append(" ".join(f"wört{word if word < 6 else word // 2 * 2 + topic}" for word in words))
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return encode_corpus([path], CorpusOptions(min_count=1))


@pytest.fixture
def pairs_file(tmp_path):
    """Pairs of a topic score high, others low."""
    path = tmp_path / "topics.tsv"
    path.write_text(
        "".join(f"wört{a}\twört{b}\t{10 * (a % 2 == b % 2)}\n" for a in range(8, 16) for b in range(8, a))
    )
    return EvaluationFile("topics", "pairs", path)


def spec(corpus, system, model, objective, files=(), points=(0.25, 0.5, 1.0, 2.0), **options):
    options = {
        "vector_size": 24,
        "epochs": 2,
        "threads": 1,
        "heldout": 0.1,
        "sample": 0.0,
        "device": "cpu",
        **options,
    }
    config = TrainConfig(model=model, objective=objective, min_count=1, **options)
    return RunSpec(system, model, objective, config.seed, config, points, corpus.path, tuple(files))


def random_vocabulary(words=30):
    """Many ties, in an order of their own."""
    counts = np.repeat([9, 4, 1], words // 3)
    return Vocabulary([f"{chr(97 + 7 * i % 26)}é{i}" for i in range(words)], counts)


# What gensim reads.


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_text_has_the_sentences_in_lines_that_gensim_does_not_cut(monkeypatch, block):
    monkeypatch.setattr(gensim_text, "LONGEST_LINE", 5)
    monkeypatch.setattr(gensim_text, "_BLOCK", block)
    vocabulary = random_vocabulary()
    rng = np.random.default_rng(block)
    sentences = [rng.integers(30, size=length).tolist() for length in (1, 5, 6, 10, 11, 3, 17, 1, 2)]
    ids = np.array([word for sentence in sentences for word in [*sentence, -1]], np.int32)
    with gensim_text.text_file(ids, vocabulary) as (path, lines), open(path, encoding="utf-8") as file:
        found = [line.split() for line in file]
    expected = [
        [vocabulary.words[word] for word in sentence[begin : begin + 5]]
        for sentence in sentences
        for begin in range(0, len(sentence), 5)
    ]
    assert found == expected
    assert lines == len(expected) == 9 + 1 + 1 + 2 + 3


def test_text_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(gensim_text.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), gensim_text.text_file(np.array([0, 1, -1]), random_vocabulary()):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_text_without_room_is_a_reported_error(monkeypatch):
    def write(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gensim_text, "write_text", write)
    text = gensim_text.text_file(np.array([0, -1]), random_vocabulary())
    with pytest.raises(OutputError, match="No space left on device.: choose a folder with room"), text:
        raise AssertionError("there is no file")


# gensim.


@pytest.fixture
def gensim():
    return pytest.importorskip("gensim")


@pytest.mark.parametrize("counts", [None, [0, 0, 3, 9, 1] + 25 * [2]])
def test_gensim_gets_words_counts_order_and_draw(gensim, counts):
    vocabulary = random_vocabulary()
    if counts:  # of a given list: not sorted, and some words never occur
        vocabulary = Vocabulary(vocabulary.words, counts)
    config = against_gensim.own_rates(TrainConfig(vector_size=8, threads=1, seed=2**40, sample=1.0))
    model = against_gensim.make_model(gensim, config, vocabulary)
    assert model.wv.index_to_key == vocabulary.words
    found = [model.wv.get_vecattr(word, "count") for word in vocabulary.words]
    assert found == np.maximum(vocabulary.counts, 1).tolist()
    assert np.abs(model.wv.vectors).max() <= 0.5 / 8
    assert model.wv.vectors.std() > 0.2 / 8
    # A threshold of 1 drops nothing here; gensim would drop words that occur more than twice.
    assert (model.wv.expandos["sample_int"] == 2**32 - 1).all()


@pytest.mark.parametrize("size", [2, 3, 31])
def test_gensim_tree_is_a_distribution(gensim, size):
    rng = np.random.default_rng(size)
    vocabulary = Vocabulary([str(word) for word in range(size)], rng.integers(1, 100, size))
    config = against_gensim.own_rates(TrainConfig(objective="hs", vector_size=8, threads=1))
    model = against_gensim.make_model(gensim, config, vocabulary)
    objective = HierarchicalSoftmax(vocabulary.counts, config)
    objective.tables = against_gensim.path_tables(model.wv)
    log_p = objective.log_probabilities(rng.normal(size=(4, 8)), {"output_vectors": rng.normal(size=(size, 8))})
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1)
    lengths = np.diff(objective.tables.offsets)
    assert lengths.max() == objective.tables.longest
    assert (vocabulary.counts * lengths).sum() == (
        vocabulary.counts * np.diff(HierarchicalSoftmax(vocabulary.counts, config).tables.offsets)
    ).sum()


def test_gensim_heldout_is_what_gensim_scores(gensim, corpus):
    """gensim's own score of a sentence is Σ log p over the pairs of whole windows, from a coarse table."""
    config = against_gensim.own_rates(TrainConfig(objective="hs", vector_size=16, threads=1, sample=0.0, window=3))
    model = against_gensim.make_model(gensim, config, corpus.vocabulary)
    with gensim_text.text_file(corpus.ids, corpus.vocabulary) as (path, lines):
        model.train(corpus_file=path, total_words=corpus.tokens, total_examples=lines, epochs=5)
    heldout = np.array(corpus.ids[: int(np.flatnonzero(corpus.ids < 0)[50]) + 1])
    words = corpus.vocabulary.words
    sentences = [[words[word] for word in part[part >= 0]] for part in np.split(heldout, np.flatnonzero(heldout < 0))]
    scored = model.score(sentences, total_sentences=len(sentences))[: len(sentences)].sum()
    pairs = sum(counts.sum() for _, _, counts in skipgram_pairs(heldout, 3, len(words)))
    measure = against_gensim.heldout_measure(config, model, corpus.vocabulary, heldout)
    assert measure() == pytest.approx(-scored / pairs, rel=4e-2)
    # And not that of a tree that knows nothing: a coin at each node.
    coins = np.log(2) * np.diff(against_gensim.path_tables(model.wv).offsets)
    targets = target_counts(heldout, config, len(words))
    assert measure() < 0.97 * (coins @ targets) / targets.sum()


@pytest.mark.parametrize(("model", "objective"), [("skipgram", "ns"), ("skipgram", "hs"), ("cbow", "hs")])
def test_gensim_runs_beside_ours(gensim, corpus, pairs_file, model, objective):
    ours, theirs = (
        do_run(spec(corpus, system, model, objective, [pairs_file], epochs=20, points=(0.5, 7.5, 20.0)))
        for system in ("w2v", "gensim")
    )
    assert (ours["status"], theirs["status"], theirs["error"]) == ("done", "done", None)
    assert theirs["name"] == f"gensim-{model}-{objective}-1"
    for name in ("initial_sha256", "words", "heldout_unigram_nll", "threads"):
        assert theirs[name] == ours[name]
    assert theirs["vectors_sha256"] != ours["vectors_sha256"]
    # It stops at the ends of epochs: once for the points since the one before.
    assert [point["epochs"] for point in theirs["points"]] == [1, 8, 20]
    assert [point["words"] for point in theirs["points"]] == [epochs * ours["words"] // 20 for epochs in (1, 8, 20)]
    seconds = [point["seconds"] for point in theirs["points"]]
    assert 0 < seconds[0] < seconds[1] < seconds[2] <= theirs["seconds"]["train"]
    assert theirs["points"][-1]["scores"]["topics"] > 40
    assert theirs["kept_words"] == pytest.approx(ours["kept_words"], rel=0.02)
    assert theirs["words_per_second"] == pytest.approx(theirs["words"] / theirs["seconds"]["train"])
    assert theirs["pairs"] is theirs["pairs_per_second"] is theirs["loss"] is theirs["peak_device_bytes"] is None
    assert theirs["config"]["alpha"] == 0.025
    assert theirs["versions"] == {"gensim": gensim.__version__}
    if objective == "ns":
        assert theirs["heldout_nll"] is None
        return
    assert theirs["heldout_nll"] == theirs["points"][-1]["heldout_nll"] < theirs["heldout_unigram_nll"]
    assert theirs["heldout_nll"] == pytest.approx(ours["heldout_nll"], rel=0.05)


def test_gensim_reads_training_sentences_alone(gensim, corpus, monkeypatch):
    read = []
    write = gensim_text.write_text

    def spy(file, ids, vocabulary):
        read.append(np.array(ids))
        return write(file, ids, vocabulary)

    monkeypatch.setattr(gensim_text, "write_text", spy)
    assert do_run(spec(corpus, "gensim", "skipgram", "ns", seed=5))["status"] == "done"
    np.testing.assert_array_equal(read[0], split_heldout(corpus.ids, 0.1, 5)[0])
    assert read[0].size < corpus.ids.size


def test_gensim_rereading_is_told(gensim, corpus):
    """Each of its threads trains a batch of 10,000 words at least, however short the text."""
    entry = do_run(spec(corpus, "gensim", "skipgram", "ns", threads=3))
    assert entry["status"] == "done"
    assert "gensim skipgram-ns: gensim's 3 threads trained on" in entry["notes"][0]


def test_gensim_that_diverges_is_one_line(gensim, corpus, monkeypatch):
    make = against_gensim.make_model

    def broken(*arguments):
        model = make(*arguments)
        model.wv.vectors[3, 2] = 1e16  # with a NaN gensim itself would crash
        return model

    monkeypatch.setattr(against_gensim, "make_model", broken)
    entry = do_run(spec(corpus, "gensim", "cbow", "ns"))
    assert entry["status"] == "failed"
    assert entry["error"] == "gensim's vectors stopped being finite in epoch 1: lower --alpha"


def test_rates_of_gensim():
    rates = against_gensim.own_rates
    assert (rates(TrainConfig()).alpha, rates(TrainConfig()).min_alpha) == (0.025, 0.0001)
    given = rates(TrainConfig(alpha=0.05, min_alpha=0.01))
    assert (given.alpha, given.min_alpha) == (0.05, 0.01)
    assert rates(TrainConfig(alpha=1e-5)).min_alpha == 1e-5
    with pytest.raises(ConfigError, match="--min-alpha 0.03 is above --alpha 0.025"):
        rates(TrainConfig(min_alpha=0.03))


def test_gensim_without_its_compiled_part_is_refused(gensim, monkeypatch):
    import gensim.models.word2vec as word2vec

    monkeypatch.setattr(word2vec, "CORPUSFILE_VERSION", -1)
    with pytest.raises(MissingExtraError, match="compiled routines"):
        against_gensim.import_gensim()


@pytest.mark.parametrize(("system", "objective"), [("gensim", "ns"), ("torch", "adaptive")])
def test_missing_packages_are_one_line(corpus, monkeypatch, system, objective):
    monkeypatch.setitem(sys.modules, system, None)
    entry = do_run(spec(corpus, system, "skipgram", objective))
    assert entry["status"] == "failed"
    assert entry["error"] == f"--against {system} needs the package '{system}': pip install 'w2v[bench]'"


# The stream of pairs.


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_pairs_are_those_that_block_softmax_trains_on(corpus, model):
    config = TrainConfig(model=model, objective="adaptive", cutoffs=(10, 30), batch_pairs=500).resolved()
    objective = make_objective(config, corpus.vocabulary.counts)
    batches = list(pair_batches(config, objective, corpus.ids, epoch=3))
    step = batches[1].begin
    pieces = list(CpuBatches(config, objective).pieces(corpus.ids, 3, step))
    assert len(batches) == len(pieces) > 3
    for batch, piece in zip(batches, pieces, strict=True):
        pairs = batch.pairs
        assert (len(pairs.ranks), batch.kept_words, batch.words) == (piece.pairs, piece.kept_words, piece.words)
        assert batch.begin == piece.begin
        assert np.unique(pairs.inputs).tolist() == piece.batch.inputs.tolist()
        if model == "cbow":
            np.testing.assert_array_equal(pairs.bag_begins, piece.batch.bags.begins)
            np.testing.assert_array_equal(pairs.inputs, piece.batch.inputs[piece.batch.bags.members])


def test_one_ahead_gives_the_same_and_fails_alike():
    assert list(one_ahead(iter(range(5)))) == [0, 1, 2, 3, 4]

    def broken():
        yield 1
        raise ValueError("broken")

    ahead = one_ahead(broken())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


# PyTorch.


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def adaptive(torch, counts, seed=1, **options):
    """PyTorch's model and the objective that it follows."""
    config = TrainConfig(
        objective="adaptive", vector_size=24, batch_pairs=500, output_bias="none", **{"cutoffs": (10, 30), **options}
    )
    objective = make_objective(config.resolved(), counts)
    return torch_adaptive.TorchAdaptive(torch, objective, seed=seed, threads=1, device="cpu"), objective


def parameters_of(model, objective):
    """PyTorch's weights under our names."""
    found = {"input_vectors": model.inputs.weight, "head_vectors": model.softmax.head.weight}
    for tail, (projection, words) in zip(objective.layout.tails, model.softmax.tail, strict=True):
        found[f"{tail.name}_projection"], found[f"{tail.name}_vectors"] = projection.weight.T, words.weight
    return {name: values.detach().double().numpy() for name, values in found.items()}


def random_pairs(rng, words, size):
    return Pairs(rng.integers(words, size=size), rng.integers(words, size=size))


@pytest.mark.parametrize("logits", [1 << 25, 100])
def test_torch_nll_is_that_of_our_reference(torch, monkeypatch, logits):
    monkeypatch.setitem(torch_adaptive.LOGITS, "cpu", logits)
    rng = np.random.default_rng(1)
    counts = np.sort(rng.integers(1, 500, WORDS))[::-1]
    # 24 dimensions by 4 are 6, and by 16 none: ours stop at 16.
    model, objective = adaptive(torch, counts, div_value=4.0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    pairs = random_pairs(rng, WORDS, 300)
    parameters = parameters_of(model, objective)
    log_p = objective.log_probabilities(parameters["input_vectors"], parameters)[:, np.argsort(objective.ranks)]
    expected = -log_p[pairs.inputs, pairs.ranks]
    assert model.nll_sum(pairs) == pytest.approx(expected.sum(), rel=1e-5)
    order, times = np.argsort(pairs.inputs), rng.integers(1, 9, 300).astype(float)
    collapsed = Pairs(pairs.inputs[order], pairs.ranks[order])
    assert model.nll_sum(collapsed, times[order]) == pytest.approx(expected @ times, rel=1e-5)


@pytest.mark.parametrize("cbow_sum", [False, True])
def test_torch_takes_the_mean_or_sum_of_a_window(torch, monkeypatch, cbow_sum):
    monkeypatch.setitem(torch_adaptive.LOGITS, "cpu", 100)
    rng = np.random.default_rng(2)
    model, objective = adaptive(torch, np.arange(WORDS, 0, -1), model="cbow", cbow_sum=cbow_sum)
    begins = np.cumsum([0, 1, 4, 2, 7, 3, 1])
    bags = Pairs(rng.integers(WORDS, size=begins[-1]), rng.integers(WORDS, size=6), begins)
    parameters = parameters_of(model, objective)
    reduce = np.sum if cbow_sum else np.mean
    hidden = [
        reduce(parameters["input_vectors"][bags.inputs[a:b]], axis=0)
        for a, b in zip(begins, begins[1:], strict=False)
    ]
    log_p = objective.log_probabilities(np.array(hidden), parameters)[:, np.argsort(objective.ranks)]
    assert model.nll_sum(bags) == pytest.approx(-log_p[np.arange(6), bags.ranks].sum(), rel=1e-5)


def test_torch_steps_in_parts_as_in_one(torch, monkeypatch):
    rng = np.random.default_rng(3)
    batches = [random_pairs(rng, WORDS, 401) for _ in range(3)]
    found = []
    for logits in (1 << 25, 500):
        monkeypatch.setitem(torch_adaptive.LOGITS, "cpu", logits)
        model, objective = adaptive(torch, np.arange(WORDS, 0, -1))
        told = []
        loss = sum(float(model.step(pairs, 0.1, lambda done, _, told=told: told.append(done))) for pairs in batches)
        found.append((loss, parameters_of(model, objective), told))
    (loss, whole, once), (other_loss, parts, often) = found
    assert loss == pytest.approx(other_loss, rel=1e-5)
    assert once == [401, 401, 401]
    assert len(often) == 30
    assert often[-1] == 401
    for name in whole:
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_torch_runs_beside_ours(torch, corpus, pairs_file, model):
    make = partial(spec, corpus, model=model, objective="adaptive", files=[pairs_file], epochs=5, batch_pairs=500)
    points = (0.25, 0.5, 1.0, 5.0)
    ours, theirs = (do_run(make(system=system, cutoffs=(10, 20), points=points)) for system in ("w2v", "torch"))
    assert (ours["status"], theirs["status"], theirs["error"]) == ("done", "done", None)
    for name in ("initial_sha256", "words", "kept_words", "pairs", "heldout_unigram_nll", "threads", "device"):
        assert theirs[name] == ours[name]
    for name in ("cutoffs", "batch_pairs", "seed", "heldout"):
        assert theirs["config"][name] == ours["config"][name]
    assert (theirs["config"]["alpha"], ours["config"]["alpha"]) == (0.1, 0.2)
    # Both stop between the same batches.
    assert [point["epochs"] for point in theirs["points"]] == [point["epochs"] for point in ours["points"]]
    assert len(theirs["points"]) == 4
    assert theirs["points"][-1]["scores"]["topics"] > 40
    assert theirs["loss"] == sorted(theirs["loss"], reverse=True)
    assert theirs["heldout_nll"] == theirs["points"][-1]["heldout_nll"]
    assert theirs["heldout_nll"] == pytest.approx(ours["heldout_nll"], rel=0.1)
    assert theirs["pairs_per_second"] > 0
    assert theirs["versions"] == {"torch": torch.__version__}


def test_torch_progress_is_told_within_a_batch(torch, corpus, monkeypatch):
    from w2v.comparison.against_torch import TorchBackend

    monkeypatch.setitem(torch_adaptive.LOGITS, "cpu", 12 * 100)
    config = spec(corpus, "torch", "skipgram", "adaptive", cutoffs=(10, 30), batch_pairs=2000).config.resolved()
    backend = TorchBackend(torch, config, make_objective(config, corpus.vocabulary.counts))
    reports = []
    report = backend.train_epoch(corpus.ids, 0, lambda fraction: 0.1, reports.append)
    assert report == reports[-1]
    assert report.words == corpus.tokens
    words = [each.words for each in reports]
    assert words == sorted(words)
    assert max(np.diff(words)) < 200
    assert 2 < report.mean_loss < 8


def test_torch_has_a_short_list_and_the_device(torch, corpus, monkeypatch):
    entry = do_run(spec(corpus, "torch", "skipgram", "adaptive", cutoffs=(10, 30), shortlist=False))
    assert entry["status"] == "failed"
    assert entry["error"].startswith("PyTorch's adaptive softmax has a short-list")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    entry = do_run(spec(corpus, "torch", "skipgram", "adaptive", cutoffs=(10, 30), device="cuda"))
    assert entry["error"] == "this PyTorch has no CUDA: install one that has, or use --device cpu"
