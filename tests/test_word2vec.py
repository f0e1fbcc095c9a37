"""The gensim-like API: gensim's scripts run here with the import changed."""

import inspect
import warnings

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
