"""The gensim-like API: gensim's scripts run here with the import changed."""

import inspect
import json
import os
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from w2v import KeyedVectors, Word2Vec
from w2v.backends.cpu import CpuBackend
from w2v.errors import ConfigError, CorpusError, FormatError, TrainingError

DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday"]
COLOURS = ["red", "green", "blue", "yellow", "black"]


def toy_sentences(count: int = 600) -> list[list[str]]:
    """Days stand among day-words, colours among colour-words: two topics with a known right answer."""
    rng = np.random.default_rng(0)
    topics = [
        (DAYS, ["week", "on", "morning", "evening", "work"]),
        (COLOURS, ["paint", "wall", "car", "shirt", "hair"]),
    ]
    sentences = []
    for number in range(count):
        words, frame = topics[number % 2]
        sentences.append([str(word) for word in rng.choice(words + frame, 8)])
    return sentences


@pytest.fixture(scope="module")
def sentences():
    return toy_sentences()


VARIANTS = [
    {"sg": 1},
    {"sg": 0, "cbow_mean": 0, "alpha": 0.02},
    {"sg": 0},
    {"sg": 1, "hs": 1, "negative": 0},
    {"sg": 0, "objective": "hs"},
    {"sg": 1, "negatives_per_pair": True},
    {"sg": 1, "objective": "full"},
    {"sg": 0, "objective": "full", "output_bias": "none"},
    {"sg": 1, "objective": "class"},
    {"sg": 0, "objective": "class", "classes": 3},
    {"sg": 1, "objective": "adaptive"},
    {"sg": 0, "objective": "adaptive", "cutoffs": [6, 12]},
    {"sg": 1, "objective": "adaptive", "cutoffs": [8], "shortlist": False},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_tells_the_topics_apart(sentences, variant):
    model = Word2Vec(sentences, vector_size=16, epochs=20, sample=0, min_count=1, workers=1, **variant)
    nearest = [word for word, _ in model.wv.most_similar("monday", topn=4)]
    assert set(nearest) <= {*DAYS, *["week", "on", "morning", "evening", "work"]}
    assert model.wv.similarity("red", "green") > model.wv.similarity("red", "friday") + 0.3


def test_the_constructor_has_gensims_arguments_in_gensims_order():
    gensim = pytest.importorskip("gensim.models")
    theirs = inspect.signature(gensim.Word2Vec).parameters
    ours = inspect.signature(Word2Vec).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    differing = {name for name in theirs if name != "alpha" and ours[name].default != theirs[name].default}
    assert differing == set()
    for method in ("build_vocab", "train", "build_vocab_from_freq", "predict_output_word"):
        theirs = inspect.signature(getattr(gensim.Word2Vec, method)).parameters
        ours = inspect.signature(getattr(Word2Vec, method)).parameters
        assert list(theirs) == list(ours)


@pytest.mark.parametrize("library", ["w2v", "gensim"])
def test_a_script_for_gensim_runs_on_both(library, sentences, tmp_path):
    models = pytest.importorskip("gensim.models" if library == "gensim" else "w2v")

    class Losses:
        def __init__(self):
            self.seen = []

        def on_train_begin(self, model):
            self.seen.append("train")

        def on_epoch_begin(self, model):
            self.seen.append("epoch")

        def on_epoch_end(self, model):
            assert "monday" in model.wv
            self.seen.append(model.get_latest_training_loss())

        def on_train_end(self, model):
            self.seen.append("end")

    watch = Losses()
    model = models.Word2Vec(
        vector_size=20, window=3, min_count=2, sg=1, negative=5, workers=1, seed=3, epochs=2, alpha=0.025
    )
    model.build_vocab(sentences)
    assert len(model.wv) == 20
    assert model.corpus_count == len(sentences)
    assert model.corpus_total_words == 8 * len(sentences)
    trained, raw = model.train(
        sentences, total_examples=model.corpus_count, epochs=3, compute_loss=True, callbacks=[watch]
    )
    assert 0 < trained <= raw == 3 * 8 * len(sentences)
    assert [entry for entry in watch.seen if isinstance(entry, str)] == ["train", *["epoch"] * 3, "end"]
    losses = [entry for entry in watch.seen if not isinstance(entry, str)]
    assert 0 < losses[0] < losses[1] < losses[2]
    model.save(str(tmp_path / "model"))
    again = models.Word2Vec.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(again.wv["monday"], model.wv["monday"])
    assert again.wv.index_to_key == model.wv.index_to_key
    again.train(sentences, total_examples=again.corpus_count, epochs=1)
    again.build_vocab([["neu", "neu", "monday"]] * 3, update=True)
    assert "neu" in again.wv
    assert len(again.wv) == 21
    again.train([["neu", "monday"]] * 50, total_examples=50, epochs=1)
    assert again.syn1neg.shape == (21, 20)
    assert again.predict_output_word(["monday", "week"], topn=3)[0][1] <= 1.0


def test_same_seed_same_vectors_on_one_thread(sentences):
    first, second, other = (
        Word2Vec(sentences, vector_size=12, workers=1, seed=seed, min_count=1).wv.vectors for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_training_in_two_calls_goes_on(sentences, monkeypatch):
    model = Word2Vec(vector_size=12, workers=1, min_count=1, epochs=1, sg=1)
    model.build_vocab(sentences)
    start = model.wv.vectors.copy()
    numbers = []
    train_epoch = CpuBackend.train_epoch
    monkeypatch.setattr(
        CpuBackend,
        "train_epoch",
        lambda self, ids, epoch, *rest: (numbers.append(epoch), train_epoch(self, ids, epoch, *rest))[1],
    )
    model.train(sentences, epochs=1)
    middle = model.wv.vectors.copy()
    model.train(sentences, epochs=2)
    assert numbers == [0, 1, 2]  # an epoch's number decides its draws: none is repeated
    assert np.abs(middle - start).max() > 0
    assert np.abs(model.wv.vectors - middle).max() > 0


def test_corpus_file_equals_sentences(sentences, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(" ".join(sentence) for sentence in sentences), encoding="utf-8")
    settings = {"vector_size": 12, "workers": 1, "min_count": 1, "epochs": 2, "sg": 1}
    from_file = Word2Vec(corpus_file=str(path), **settings)
    from_list = Word2Vec(sentences, **settings)
    assert from_file.wv.index_to_key == from_list.wv.index_to_key
    np.testing.assert_array_equal(from_file.wv.vectors, from_list.wv.vectors)
    from_file.train(corpus_file=path, epochs=1)
    from_list.train(sentences, epochs=1)
    np.testing.assert_array_equal(from_file.wv.vectors, from_list.wv.vectors)


def test_hs_switch(sentences):
    with pytest.warns(UserWarning, match="negative=5 is ignored"):
        model = Word2Vec(hs=1)
    assert (model.hs, model.negative, model.config.objective) == (1, 0, "hs")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Word2Vec(hs=1, negative=0).hs == 1
    with pytest.raises(ValueError, match="contradicts"):
        Word2Vec(hs=1, objective="ns")
    with pytest.raises(ConfigError, match="nothing to train"):
        Word2Vec(negative=0)
    model = Word2Vec(sentences, hs=1, negative=0, vector_size=8, min_count=1, workers=1)
    assert model.syn1.shape == (19, 8)
    with pytest.raises(AttributeError, match="output_vectors"):
        model.syn1neg  # noqa: B018


def test_hs_predictions_are_probabilities(sentences):
    model = Word2Vec(sentences, hs=1, negative=0, vector_size=8, min_count=1, workers=1, epochs=10, alpha=0.05)
    predicted = model.predict_output_word(["monday", "tuesday"], topn=20)
    assert sum(probability for _, probability in predicted) == pytest.approx(1.0, abs=1e-9)
    assert predicted[0][0] in {*DAYS, *["week", "on", "morning", "evening", "work"]}
    with pytest.warns(UserWarning, match="no word of the context"):
        assert model.predict_output_word(["nowhere"]) is None


def test_alpha_defaults():
    assert Word2Vec(sg=1).alpha == Word2Vec(sg=1, alpha=None).alpha > 0
    assert Word2Vec(alpha=0.01).alpha == 0.01
    assert Word2Vec().min_alpha == 0.0001
    model = Word2Vec(alpha=0.05)
    model.alpha, model.min_alpha = 0.03, 0.01
    assert (model.config.alpha, model.config.min_alpha) == (0.03, 0.01)


def test_trim_rule_and_frequencies(sentences):
    keep, discard, default = 2, 1, 0

    def rule(word, count, min_count):
        return {"monday": discard, "rare": keep}.get(word, default)

    model = Word2Vec(vector_size=8, min_count=5, workers=1)
    model.build_vocab([*sentences, ["rare", "week"]], trim_rule=rule)
    assert "rare" in model.wv
    assert "monday" not in model.wv
    model.train(sentences, epochs=1)
    model = Word2Vec(vector_size=8, min_count=5, workers=1)
    model.build_vocab_from_freq({"a": 10, "b": 20, "c": 4}, corpus_count=7)
    assert model.wv.index_to_key == ["b", "a"]
    assert model.wv.get_vecattr("b", "count") == 20
    assert model.corpus_count == 7


def test_a_generator_is_enough_for_the_constructor(sentences):
    model = Word2Vec((sentence for sentence in sentences), vector_size=8, min_count=1, workers=1)
    assert len(model.wv) == 20


def test_grown_vocabulary_keeps_the_old_rows(sentences):
    model = Word2Vec(sentences, vector_size=8, min_count=1, workers=1, hs=1, negative=0)
    before, count = model.wv["monday"].copy(), model.wv.get_vecattr("monday", "count")
    model.build_vocab([["zebra"] * 500 + ["monday"]], update=True)
    np.testing.assert_array_equal(model.wv["monday"], before)
    assert model.wv.get_vecattr("monday", "count") == count + 1
    assert model.output_vectors.shape == (20, 8)
    model.train([["zebra", "monday"]] * 100, epochs=2)
    assert np.isfinite(model.wv.vectors).all()


def test_errors_are_reported(sentences, tmp_path):
    with pytest.raises(TrainingError, match="build_vocab"):
        Word2Vec().train(sentences)
    with pytest.raises(TypeError, match="corpus_file"):
        Word2Vec().build_vocab()
    with pytest.raises(CorpusError, match="list of words"):
        Word2Vec(["one string"])
    with pytest.raises(CorpusError, match="min_count"):
        Word2Vec([["a", "b"]])
    with pytest.raises(TrainingError, match="no line of the corpus"):
        Word2Vec([["a"], ["b"]] * 10, min_count=1)
    for wrong in ({"vector_size": 0}, {"window": 0}, {"alpha": -1}, {"epochs": 0}, {"sample": 2}):
        with pytest.raises(ConfigError, match="range"):
            Word2Vec(**wrong)
    with pytest.raises(FormatError, match="no such file"):
        Word2Vec.load(tmp_path / "absent")


def test_damaged_and_foreign_folders_are_refused(sentences, tmp_path):
    model = Word2Vec(sentences, vector_size=8, min_count=1, workers=1)
    model.wv.save(tmp_path / "vectors")
    with pytest.raises(FormatError, match=r"use KeyedVectors\.load"):
        Word2Vec.load(tmp_path / "vectors")
    model.wv.save_word2vec_format(tmp_path / "v.txt")
    with pytest.raises(FormatError, match="is a file"):
        Word2Vec.load(tmp_path / "v.txt")
    for name, change in (
        ("size", lambda text: text.replace('"vector_size": 8', '"vector_size": 9')),
        ("range", lambda text: text.replace('"window": 5', '"window": -5')),
        ("type", lambda text: text.replace('"epochs": 5', '"epochs": "many"')),
    ):
        model.save(tmp_path / name)
        config = tmp_path / name / "config.json"
        changed = change(config.read_text("utf-8"))
        assert changed != config.read_text("utf-8")
        config.write_text(changed, encoding="utf-8")
        with pytest.raises(FormatError, match=name):
            Word2Vec.load(tmp_path / name)


def test_absurd_learning_rate_is_an_error_not_a_model(sentences):
    with pytest.raises(TrainingError, match="lower --alpha"):
        Word2Vec(sentences, vector_size=8, min_count=1, alpha=10.0, epochs=30, sg=0, cbow_mean=0, workers=1)


def test_a_model_folder_of_the_command_line_loads(sentences, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from w2v.cli import cli

    text = tmp_path / "text.txt"
    text.write_text("\n".join(" ".join(sentence) for sentence in sentences), encoding="utf-8")
    out = str(tmp_path / "model")
    arguments = [
        "train",
        str(text),
        "-o",
        out,
        "--no-cache",
        "--vector-size",
        "20",
        "--threads",
        "1",
        "--epochs",
        "2",
    ]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    model = Word2Vec.load(out)
    assert model.sg == 1
    settings = {"vector_size": 20, "workers": 1, "epochs": 2, "sg": 1, "min_alpha": model.min_alpha}
    np.testing.assert_array_equal(model.wv.vectors, Word2Vec(sentences, **settings).wv.vectors)
    model.train(sentences, epochs=1)
    assert CliRunner().invoke(cli, ["train", str(text), "-o", out, "--no-cache"]).exit_code == 0
    Word2Vec.load(out).train(sentences, epochs=1)
    assert len(KeyedVectors.load(out)) == 20


BLOCK_SOFTMAXES = [
    {"objective": "class", "classes": 4},
    {"objective": "adaptive", "cutoffs": [6, 12]},
    {"objective": "full"},
]
# Long enough vectors for adaptive softmax to project some.
SETTINGS = {"vector_size": 32, "min_count": 1, "workers": 1, "sg": 1, "epochs": 3, "sample": 0}


@pytest.mark.parametrize("variant", BLOCK_SOFTMAXES, ids=str)
def test_saving_in_between_changes_nothing(sentences, tmp_path, variant):
    model = Word2Vec(sentences, **SETTINGS, **variant)
    model.save(tmp_path / "model")
    again = Word2Vec.load(tmp_path / "model")
    first = model.wv.vectors.copy()
    for trained in (model, again):
        trained.train(sentences, epochs=2)
    assert (model.wv.vectors != first).any()
    np.testing.assert_array_equal(again.wv.vectors, model.wv.vectors)
    assert list(again.output_parameters) == list(model.output_parameters)
    for name, values in model.output_parameters.items():
        np.testing.assert_array_equal(again.output_parameters[name], values, err_msg=name)


@pytest.mark.parametrize("sg", [0, 1])
@pytest.mark.parametrize("variant", [*BLOCK_SOFTMAXES, {"objective": "hs"}], ids=str)
def test_predictions_and_log_probabilities_agree(sentences, variant, sg):
    model = Word2Vec(sentences, **{**SETTINGS, "sg": sg}, **variant)
    for context in ("monday", ["red", "wall", "unheard-of", "car"], 3):
        listed = context if isinstance(context, list) else [context]
        predicted = model.predict_output_word(listed, topn=20)
        assert len(predicted) == 20
        assert sum(probability for _, probability in predicted) == pytest.approx(1.0, abs=1e-9)
        for word, probability in predicted:
            assert model.log_probability(word, context) == pytest.approx(np.log(probability), abs=1e-9)
    assert model.log_probability("monday", ["tuesday"]) == model.log_probability("monday", "tuesday")
    assert model.log_probability("week", "monday") > model.log_probability("paint", "monday") + 1
    with pytest.raises(KeyError, match="unheard-of"):
        model.log_probability("unheard-of", "monday")
    for context in ("unheard-of", ["unheard-of", "nowhere"], []):
        with pytest.raises(KeyError, match="no word of the context"):
            model.log_probability("monday", context)


def test_probabilities_follow_the_parameters_and_the_vocabulary(sentences):
    model = Word2Vec(sentences, **SETTINGS, objective="adaptive", cutoffs=[6])
    before = model.log_probability("week", "monday")
    model.train(sentences, epochs=5)
    assert model.log_probability("week", "monday") != before
    model.build_vocab([["monday", "week", "paint"], ["week", "monday"]] * 4 + [["a", "b", "c", "d", "e"]])
    assert len(model.predict_output_word(["monday"], topn=20)) == 8
    # Fresh output vectors are zero: the biases alone speak, and they are the words' shares.
    assert model.log_probability("week", "monday") == pytest.approx(np.log(8 / 25), abs=1e-6)
    assert model.log_probability("e", "monday") == pytest.approx(np.log(1 / 25), abs=1e-6)


def test_negative_sampling_has_no_log_probability(sentences):
    model = Word2Vec(sentences, **SETTINGS)
    with pytest.raises(ConfigError, match="ns learns no probabilities"):
        model.log_probability("monday", "tuesday")


@pytest.mark.parametrize("variant", BLOCK_SOFTMAXES, ids=str)
def test_blocks_do_not_grow(sentences, variant):
    model = Word2Vec(sentences, **SETTINGS, **variant)
    vectors, counted = model.wv.vectors.copy(), (model.corpus_count, model.corpus_total_words)
    with pytest.raises(TrainingError, match="update=True.* is for objectives ns and hs"):
        model.build_vocab([["zebra", "monday"]] * 10, update=True)
    assert len(model.wv) == 20
    assert (model.corpus_count, model.corpus_total_words) == counted
    np.testing.assert_array_equal(model.wv.vectors, vectors)
    with pytest.raises(AttributeError, match="belongs to objective 'ns'"):
        model.syn1neg  # noqa: B018


def test_output_vectors_of_block_softmax(sentences):
    models = {variant["objective"]: Word2Vec(sentences, **SETTINGS, **variant) for variant in BLOCK_SOFTMAXES}
    assert models["full"].output_vectors.shape == models["class"].output_vectors.shape == (20, 32)
    assert np.abs(models["class"].output_vectors).max() > 0
    with pytest.raises(AttributeError, match=r"by name: .*head_vectors.*tail_1_vectors"):
        models["adaptive"].output_vectors  # noqa: B018
    assert models["adaptive"].output_parameters["tail_1_vectors"].shape == (6, 16)


@pytest.mark.parametrize("name", ["tail_1_vectors", "tail_2_projection", "input_accumulators"])
def test_a_folder_without_one_of_its_arrays_is_refused(sentences, tmp_path, name):
    Word2Vec(sentences, **SETTINGS, objective="adaptive", cutoffs=[6, 12]).save(tmp_path / "model")
    (tmp_path / "model" / f"{name}.npy").unlink()
    with pytest.raises(FormatError, match=rf"{name}\.npy is missing"):
        Word2Vec.load(tmp_path / "model")


def write_text(path, sentences):
    path.write_text("\n".join(" ".join(sentence) for sentence in sentences) + "\n", encoding="utf-8")
    return path


def command_line(*arguments):
    from click.testing import CliRunner

    from w2v.cli import cli

    fixed = ["--no-cache", "--threads", "1", "--min-count", "1", "--sample", "0", "--device", "cpu"]
    result = CliRunner().invoke(cli, ["train", *map(str, arguments), *fixed], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_short_sentences_are_planned_for_as_on_the_command_line(tmp_path):
    # In one long sentence of as many words a wide window would find ten times the pairs.
    rng = np.random.default_rng(1)
    words = np.array([f"w{number}" for number in range(40)])
    weights = 1 / np.arange(1, 41)
    sentences = rng.choice(words, (80_000, 2), p=weights / weights.sum()).tolist()
    text = write_text(tmp_path / "text.txt", sentences)
    command_line(
        text, "-o", tmp_path / "model", "--objective", "adaptive", "--vector-size", "4", "--window", "50",
        "--epochs", "1",
    )  # fmt: skip
    expected = Word2Vec.load(tmp_path / "model").config
    assert 1024 < expected.batch_pairs < 2000
    settings = {"vector_size": 4, "window": 50, "min_count": 1, "sample": 0, "sg": 1, "device": "cpu"}
    models = [Word2Vec(objective="adaptive", **settings) for _ in range(3)]
    models[0].build_vocab(corpus_file=text)
    models[1].build_vocab(sentences)
    counts = Counter(word for sentence in sentences for word in sentence)
    models[2].build_vocab_from_freq(counts, corpus_count=80_000)
    for model in models:
        assert (model.config.batch_pairs, model.config.cutoffs) == (expected.batch_pairs, expected.cutoffs)
        assert (model.corpus_count, model.corpus_total_words) == (80_000, 160_000)


def test_what_was_asked_for_survives_saving(sentences, tmp_path):
    few = [["red", "green", "blue"], ["monday", "red"]] * 5
    model = Word2Vec(sentences, **SETTINGS, objective="adaptive", clusters=3)
    assert len(model.config.cutoffs) == 2
    model.save(tmp_path / "model")
    again = Word2Vec.load(tmp_path / "model")
    assert again.config == model.config
    for built in (model, again):
        built.build_vocab(few)
        assert len(built.config.cutoffs) == 2
        assert built.config.cutoffs[-1] < 4
    assert again.config == model.config
    model = Word2Vec(sentences, **SETTINGS, objective="adaptive", cutoffs=[2, 9], batch_pairs=77)
    model.save(tmp_path / "model")
    again = Word2Vec.load(tmp_path / "model")
    again.build_vocab(sentences)
    assert (again.config.cutoffs, again.config.batch_pairs) == ((2, 9), 77)
    with pytest.warns(UserWarning, match="cutoffs 2,9 do not fit the new 4 words"):
        again.build_vocab(few)
    assert again.config.cutoffs[-1] < 4
    assert again.config.batch_pairs == 77
    again.train(few, epochs=1)
    # Nothing was there before: given cut-offs that do not fit are a mistake.
    with pytest.raises(ConfigError, match="--cutoffs 2,9 must stay below the 4 words"):
        Word2Vec(few, **SETTINGS, objective="adaptive", cutoffs=[2, 9])


def test_a_senseless_record_of_what_was_asked_for_is_refused(sentences, tmp_path):
    path = tmp_path / "model"
    Word2Vec(sentences, **SETTINGS, objective="adaptive", cutoffs=[2, 9]).save(path)
    config = json.loads((path / "config.json").read_text("utf-8"))
    assert config["word2vec"]["asked"] == {"cutoffs": [2, 9], "clusters": None, "batch_pairs": None}
    config["word2vec"]["asked"]["cutoffs"] = [9, 2]
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(FormatError, match="must rise"):
        Word2Vec.load(path)


def test_going_on_from_the_command_line_uses_every_sentence_and_says_so(sentences, tmp_path):
    text = write_text(tmp_path / "text.txt", sentences)
    command_line(
        text, "-o", tmp_path / "model", "--objective", "adaptive", "--vector-size", "32", "--heldout", "0.2",
        "--epochs", "2", "--cutoffs", "5,10",
    )  # fmt: skip
    model = Word2Vec.load(tmp_path / "model")
    assert model.config.heldout == 0.2
    model.save(tmp_path / "same")
    before = json.loads((tmp_path / "model" / "training.json").read_text("utf-8"))
    assert json.loads((tmp_path / "same" / "training.json").read_text("utf-8")) == before
    assert before["heldout_nll"] > 0
    seen = []

    class Saver:
        def on_epoch_end(self, model):
            model.save(tmp_path / "within")
            seen.append(json.loads((tmp_path / "within" / "training.json").read_text("utf-8"))["heldout_nll"])

    kept, _ = model.train(sentences, epochs=1, callbacks=[Saver()])
    assert seen == [None]
    assert kept == 8 * len(sentences)
    model.save(tmp_path / "more")
    after = json.loads((tmp_path / "more" / "training.json").read_text("utf-8"))
    assert after["heldout_nll"] is after["heldout_unigram_nll"] is None
    assert set(after) == set(before)
    for name in ("seconds", "words_per_second", "corpus", "peak_memory_bytes"):
        assert after[name] == before[name]
    assert len(after["loss"]) == 1
    assert after["kept_words"] == kept
    assert json.loads((tmp_path / "more" / "config.json").read_text("utf-8"))["heldout"] == 0
    with pytest.warns(UserWarning, match="do not fit the new 3 words"):
        model.build_vocab([["red", "green", "blue"]] * 5)
    model.train([["red", "green", "blue"]] * 5, epochs=1)
    model.save(tmp_path / "new")
    assert "seconds" not in json.loads((tmp_path / "new" / "training.json").read_text("utf-8"))


def test_tables_are_built_once_per_vocabulary(sentences, monkeypatch):
    import w2v.objectives

    model = Word2Vec(sentences, **SETTINGS, objective="class")
    made = []
    make = w2v.objectives.make_objective
    monkeypatch.setattr(w2v.objectives, "make_objective", lambda *arguments: (made.append(1), make(*arguments))[1])
    for centre in DAYS:
        model.log_probability(centre, "week")
    assert len(made) == 1
    model.build_vocab(sentences[:100])
    made.clear()
    for centre in DAYS:
        model.log_probability(centre, "week")
    assert len(made) == 1


def test_callbacks_of_models_and_of_runs(sentences, tmp_path):
    import json

    from w2v.training import MetricsFile, TrainingCallback

    seen = []

    class OfModels:
        def on_report(self, model, run):
            seen.append((model, run.epochs_done))

        def on_epoch_end(self, model):
            seen.append(model.wv.vectors.copy())

    class OfRuns(TrainingCallback):
        points = (0.5,)

        def on_point(self, run):
            seen.append(run.vectors())

    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    model = Word2Vec(sentences, vector_size=12, workers=1, epochs=2, callbacks=[OfModels(), OfRuns(), metrics])
    reports = [entry for entry in seen if isinstance(entry, tuple)]
    assert all(entry[0] is model for entry in reports)
    assert reports[-1][1] == pytest.approx(2, abs=1e-6)
    epochs = [entry for entry in seen if isinstance(entry, np.ndarray)]
    assert len(epochs) == 2
    assert (epochs[0] != epochs[1]).any()
    np.testing.assert_array_equal(epochs[1], model.wv.vectors)
    (point,) = [entry for entry in seen if isinstance(entry, KeyedVectors)]
    assert (point.vectors != epochs[0]).any()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines if line["event"] != "report"] == ["begin", "epoch", "epoch", "end"]


def test_what_is_no_callback_is_refused_before_the_text_is_read(tmp_path):
    class Silent:
        pass

    class Watch:
        def on_epoch_end(self, model):
            pass

    missing = str(tmp_path / "missing.txt")
    for callbacks, said in (
        ([Silent()], "is no callback: it has none of on_train_begin"),
        ([Watch], r"Watch is a class: give callbacks=\[Watch\(\)\]"),
        (Watch(), "callbacks is a list"),
        ([lambda model: None], "is no callback"),
    ):
        with pytest.raises(TypeError, match=said):
            Word2Vec(corpus_file=missing, callbacks=callbacks)


def test_compiling_comes_before_training(tmp_path):
    """In a fresh cache; otherwise callbacks would see it as training, and ``total_train_time`` would count it."""
    code = """
from numba.core import event
from w2v import Word2Vec

training, compiled = [], []

class Listener(event.Listener):
    def on_start(self, found):
        (compiled if training else []).append(str(found.data["dispatcher"]))

    def on_end(self, found):
        pass

class Watch:
    def on_train_begin(self, model):
        training.append(1)

    def on_train_end(self, model):
        training.clear()

event.register("numba:compile", Listener())
Word2Vec([["a", "b", "c", "d"] * 5] * 20, min_count=1, vector_size=10, workers=1, callbacks=[Watch()])
print(compiled)
"""
    root = Path(__file__).parent.parent
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr
