"""Numbers at the ends of their ranges: a finite model or one line that says what to do, never NaN on a disk."""

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from w2v.kernels.random import alias_draw
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.kernels.tables_cpu import build_alias

from w2v import Word2Vec
from w2v.backends import make_backend
from w2v.cli import main
from w2v.config import MODELS, OBJECTIVES, TrainConfig
from w2v.corpus import CorpusOptions, encode_corpus
from w2v.errors import ConfigError, TrainingError, W2VError
from w2v.objectives import CorpusShape, make_objective
from w2v.objectives.batching import default_batch_pairs, pairs_per_token, tokens_per_batch
from w2v.objectives.negative_sampling import noise_distribution
from w2v.objectives.reference import cut_windows
from w2v.training import TrainingCallback, train
from w2v.vectors.folder import load_model_folder

ALL = [(objective, model) for objective in OBJECTIVES for model in MODELS]
ROW_WISE = ("ns", "hs")
every_objective = pytest.mark.parametrize(("objective", "model"), ALL)
FAST = ["--vector-size", "12", "--epochs", "2", "--threads", "1", "--min-count", "1", "--device", "cpu", "--no-cache"]
NO_PAIR = "(no line of the corpus has two words|the corpus has no pair) to learn from: use longer lines"
DIVERGED = "stopped being finite in epoch"


def normal_text() -> str:
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(30)]
    return "".join(" ".join(rng.choice(words, length)) + "\n" for length in rng.integers(1, 14, 120))


TEXTS = {
    "normal": normal_text(),
    "one word": "a a a a a\n" * 20,
    "two words": "a b a a b\n" * 20,
    "lonely": "a\nb\n\nc\n" * 20,
    "empty": "",
    "blank": "\n  \n\t\n" * 9,
}


class Outcome(NamedTuple):
    """How a run ended: its exit code, its last line on stderr, the model at OUT (an older one where it failed)."""

    code: int
    line: str
    out: Path


@pytest.fixture(scope="module")
def older(tmp_path_factory) -> Path:
    """A model that stands at OUT before."""
    folder = tmp_path_factory.mktemp("older")
    (folder / "text").write_text(TEXTS["normal"], "utf-8")
    arguments = ["train", str(folder / "text"), "-o", str(folder / "out"), *FAST, "--quiet", "--seed", "99"]
    assert exit_code(arguments) == 0
    return folder / "out"


@pytest.fixture
def run(tmp_path, older, capsys):
    """Train on one of TEXTS where an older model stands, and check what holds however it ends."""

    def run(text: str, *options: object) -> Outcome:
        corpus, out = tmp_path / "text", tmp_path / "out"
        corpus.write_text(TEXTS[text], "utf-8")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(older, out)
        before = contents(out)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            code = exit_code(["train", str(corpus), "-o", str(out), *FAST, *map(str, options)])
        captured = capsys.readouterr()
        last = captured.err.strip().splitlines()[-1]
        assert captured.out == ""
        assert "Traceback" not in captured.err
        assert "Warning" not in captured.err
        if code == 0:
            assert_finite(out)
            assert contents(out)["config.json"] != before["config.json"]
        else:
            assert code in (1, 2), captured.err
            assert last.startswith("w2v: ")
            assert contents(out) == before
        return Outcome(code, last, out)

    return run


def exit_code(arguments: list[str]) -> int:
    """What the command line ends with."""
    try:
        main(arguments)
    except SystemExit as leaving:
        return leaving.code
    return 0


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_finite(folder: Path) -> None:
    """Every number that a model folder holds."""
    arrays = [np.load(path) for path in folder.glob("*.npy")]
    assert len(arrays) > 1
    assert all(np.isfinite(array).all() for array in arrays)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in the record")

    for name in ("config.json", "training.json"):
        json.loads((folder / name).read_text("utf-8"), parse_constant=refuse)


# ---- Too little to learn from. ----

TOO_LITTLE = [
    ("one word", [], "the text holds 1 distinct word: give more text"),
    ("lonely", [], NO_PAIR),
    ("lonely", ["--heldout", "0.5"], "keeps back no sentence of two words"),
    ("empty", [], "the text is empty or all white space"),
    ("blank", [], "the text is empty or all white space"),
    ("normal", ["--min-count", 10**9], "lower --min-count"),
    ("normal", ["--min-count", 2**62], "lower --min-count"),
    ("normal", ["--max-final-vocab", 1], "--max-final-vocab"),
    ("normal", ["--sample", "1e-12"], NO_PAIR),
    ("normal", ["--sample", "5e-324"], NO_PAIR),
]


@every_objective
def test_too_little_to_learn_from_is_an_error(run, objective, model):
    for text, options, message in TOO_LITTLE:
        found = run(text, "--objective", objective, "--model", model, *options)
        assert found.code == 1, (text, options)
        assert re.search(message, found.line)


@every_objective
def test_too_little_to_learn_from_in_python(objective, model):
    settings = {"objective": objective, "sg": model == "skipgram", "vector_size": 8, "workers": 1, "device": "cpu"}
    for sentences, message in (
        ([["a", "a"]] * 20, "1 distinct word"),
        ([["a"], ["b"]] * 20, NO_PAIR),
        ([], "no words"),
        ([[], []], "no words"),
    ):
        with pytest.raises(W2VError, match=message):
            Word2Vec(sentences, min_count=1, **settings)
    with pytest.raises(W2VError, match="lower min_count"):
        Word2Vec([["a", "b"]] * 20, min_count=10**9, **settings)
    counted = Word2Vec(min_count=0, **settings)
    with pytest.raises(W2VError, match="1 words are left"):
        counted.build_vocab_from_freq({"a": 5})


# ---- Extremes that are learned from. ----

ANY = ["--sample", "0"]


@every_objective
def test_two_words_are_enough(run, objective, model):
    for options in ([], ["--heldout", "0.5"], ["--vector-size", 1], ["--window", 1000]):
        found = run("two words", "--objective", objective, "--model", model, *ANY, *options)
        assert found.code == 0, found.line
        assert load_model_folder(found.out).input_vectors.shape[0] == 2


@every_objective
def test_extremes_give_a_finite_model(run, objective, model):
    for options in (
        ["--sample", "1"],
        ["--vector-size", 1],
        ["--window", 1000],
        ["--seed", 2**64 - 1],
        ["--alpha", "1e-300", "--min-alpha", "1e-310"],
    ):
        assert run("normal", "--objective", objective, "--model", model, *options).code == 0, options


OWN = [
    ("ns", "skipgram", ["--noise-power", 10]),
    ("ns", "cbow", ["--noise-power", -10]),
    ("ns", "skipgram", ["--negative", 1024, "--alpha", "1e-4"]),
    ("ns", "skipgram", ["--negative", 1024, "--negatives-per-pair", "--alpha", "1e-4"]),
    ("ns", "cbow", ["--negative", 1024, "--alpha", "1e-4"]),
    ("ns", "skipgram", ["--vector-size", 65536, "--epochs", 1]),
    ("hs", "cbow", ["--vector-size", 65536, "--epochs", 1]),
    ("full", "skipgram", ["--vector-size", 65536, "--epochs", 1]),
    ("full", "cbow", ["--batch-pairs", 1]),
    ("full", "skipgram", ["--batch-pairs", 2**31]),
    ("class", "skipgram", ["--batch-pairs", 1]),
    ("class", "cbow", ["--classes", 1]),
    ("class", "skipgram", ["--classes", 30]),
    ("adaptive", "skipgram", ["--batch-pairs", 1, "--output-bias", "none"]),
    ("adaptive", "cbow", ["--cutoffs", 1, "--div-value", 65536]),
    ("adaptive", "skipgram", ["--cutoffs", 29]),
    ("adaptive", "skipgram", ["--cutoffs", "1,2,3", "--no-shortlist"]),
    ("adaptive", "cbow", ["--clusters", 15]),
    ("adaptive", "skipgram", ["--cutoffs", 10, "--div-value", 1, "--vector-size", 65536, "--epochs", 1]),
]


@pytest.mark.parametrize(("objective", "model", "options"), OWN, ids=lambda value: str(value)[:60])
def test_extremes_of_an_objectives_own_options(run, objective, model, options):
    assert run("normal", "--objective", objective, "--model", model, *ANY, *options).code == 0


def test_more_noise_words_than_the_vocabulary_has(run):
    """1024 draws from two words: most are the target itself, which is skipped."""
    for options in ([], ["--negatives-per-pair"], ["--model", "cbow"]):
        found = run("two words", "--negative", 1024, "--alpha", "1e-4", *ANY, *options)
        assert found.code == 0, found.line
        assert load_model_folder(found.out).training["pairs"] > 0


FLOATS = ("--alpha", "--min-alpha", "--sample", "--noise-power", "--heldout", "--div-value")
REFUSED = [
    *([option, value] for option in FLOATS for value in ("nan", "inf", "-inf", "1e400")),
    ["--alpha", "10.1"],
    ["--alpha", "-1e-9"],
    ["--min-alpha", "0.5"],
    ["--sample", "1.5"],
    ["--noise-power", "11"],
    ["--negative", 1025],
    ["--negative", 0],
    ["--vector-size", 65537],
    ["--window", 1001],
    ["--epochs", 0],
    ["--seed", 2**64],
    ["--min-count", -1],
    ["--objective", "class", "--classes", 31],
    ["--objective", "adaptive", "--cutoffs", 30],
    ["--objective", "adaptive", "--cutoffs", "5,1000000000000000000000"],
    ["--objective", "adaptive", "--div-value", "0.99"],
    ["--objective", "full", "--batch-pairs", 2**31 + 1],
]  # fmt: skip


@pytest.mark.parametrize("options", REFUSED, ids=lambda value: " ".join(map(str, value)))
def test_numbers_out_of_range_are_a_usage_error(run, options):
    found = run("normal", *options)
    assert found.code == 2
    assert any(str(option) in found.line for option in options if str(option).startswith("--"))


NUMPY = [
    {"vector_size": np.uint8(200), "epochs": np.int8(2)},
    {"window": np.int8(100), "negative": np.int16(3), "seed": np.uint64(2**64 - 1), "min_count": np.int64(1)},
    {
        "alpha": np.float32(0.03),
        "min_alpha": np.float16(0.001),
        "sample": np.float64(0.5),
        "ns_exponent": np.float32(1),
    },
    {"objective": "full", "batch_pairs": np.int32(2**31 - 1), "alpha": 0, "min_alpha": 0},
    {"objective": "adaptive", "cutoffs": np.array([5, 9]), "div_value": np.float32(3)},
]


@pytest.mark.parametrize("options", NUMPY, ids=lambda value: " ".join(value))
def test_numbers_of_numpy_are_those_of_python(tmp_path, options):
    """Whose products would wrap round, and which JSON does not know."""
    sentences = [line.split() for line in TEXTS["normal"].splitlines()]
    settings = {"vector_size": 8, "min_count": 1, "epochs": 1, "workers": 1, "device": "cpu"}
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in options.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, expected = (Word2Vec(sentences, **{**settings, **given}) for given in (options, plain))
        found.save(tmp_path / "model")
    np.testing.assert_array_equal(found.wv.vectors, expected.wv.vectors)
    assert found.config == expected.config
    assert all(
        value is None or type(value) in (int, float, str, bool, tuple) for value in found.config.to_dict().values()
    )
    assert load_model_folder(tmp_path / "model").config["vector_size"] == expected.vector_size


NO_NUMBERS = [np.nan, np.inf, -np.inf, np.float32("nan"), "0.1", True, [0.1], np.array([0.1]), 10**400, 1j]


@pytest.mark.parametrize("name", ["sample", "noise_power", "heldout", "div_value", "alpha", "min_alpha"])
def test_what_is_no_number_is_refused_in_python(name):
    option = "--" + name.replace("_", "-")
    for value in [*NO_NUMBERS, *[None] * (name not in ("alpha", "min_alpha"))]:
        with pytest.raises(ConfigError, match=f"^{option} "):
            TrainConfig(**{name: value})


@pytest.mark.parametrize("name", ["vector_size", "window", "min_count", "negative", "epochs", "seed", "threads"])
def test_what_is_no_whole_number_is_refused_in_python(name):
    option = "--" + name.replace("_", "-")
    for value in (*NO_NUMBERS[:5], 5.0, np.float64(5), True, [5], np.array([5, 6]), 10**400, -1):
        with pytest.raises(ConfigError, match=f"^{option} "):
            TrainConfig(**{name: value})


# ---- Windows that are wider than the text. ----


def longest_sentence() -> int:
    return max(len(line.split()) for line in TEXTS["normal"].splitlines())


@every_objective
def test_a_window_as_wide_as_the_longest_sentence_is_as_wide_as_any(objective, model):
    sentences = [line.split() for line in TEXTS["normal"].splitlines()]
    own = {} if objective in ROW_WISE else {"batch_pairs": 2**20}  # one batch, whatever the window
    vectors = [
        Word2Vec(
            sentences, window=window, shrink_windows=False, min_count=1, vector_size=12, objective=objective,
            sg=model == "skipgram", workers=1, epochs=2, device="cpu", **own, **cutoffs_of(objective),
        ).wv.vectors
        for window in (longest_sentence() - 1, longest_sentence(), 1000)
    ]  # fmt: skip
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    narrower = Word2Vec(
        sentences, window=2, shrink_windows=False, min_count=1, vector_size=12, objective=objective,
        sg=model == "skipgram", workers=1, epochs=2, device="cpu", **own, **cutoffs_of(objective),
    ).wv.vectors  # fmt: skip
    assert np.abs(narrower - vectors[0]).max() > 1e-4


def cutoffs_of(objective: str) -> dict[str, object]:
    """Automatic cut-offs would depend on the window."""
    return {"cutoffs": (10,)} if objective == "adaptive" else {}


@every_objective
def test_wide_windows_hold_the_reference_pairs(run, objective, model):
    """A width drawn from 1 … 1000 nearly always reaches over the whole sentence; the reference counts them."""
    found = run("normal", "--window", 1000, "--sample", "0.02", "--objective", objective, "--model", model)
    assert found.code == 0
    config = TrainConfig(objective="ns", window=1000, sample=0.02, epochs=2)
    with encode_corpus([found.out.parent / "text"], CorpusOptions(min_count=1), use_cache=False) as corpus:
        reference = make_objective(config, corpus.vocabulary.counts)
        windows = [window for epoch in range(2) for window in cut_windows(config, reference, corpus.ids, epoch)[0]]
    contexts = [window.left + window.right for window in windows]
    expected = sum(contexts) if model == "skipgram" else np.count_nonzero(contexts)
    record = load_model_folder(found.out).training
    assert (record["pairs"], record["kept_words"]) == (expected, len(windows))
    assert expected > 500


# ---- Learning rates. ----


@every_objective
def test_alpha_of_zero_learns_nothing(run, objective, model):
    found = run("normal", "--alpha", 0, "--objective", objective, "--model", model)
    assert found.code == 0
    folder = load_model_folder(found.out)
    assert folder.config["alpha"] == folder.config["min_alpha"] == 0
    config = TrainConfig.from_dict(folder.config)
    backend = make_backend(config, make_objective(config, np.array(folder.counts)))
    backend.initialise()
    fresh = backend.parameters()
    np.testing.assert_array_equal(folder.input_vectors, fresh.pop("input_vectors"))
    assert fresh.keys() == folder.output_parameters.keys()
    for name, values in fresh.items():
        if not name.endswith("accumulators"):
            np.testing.assert_array_equal(folder.output_parameters[name], values)
    assert min(folder.training["loss"]) > 0


@every_objective
def test_an_absurd_alpha_is_noticed_or_harmless(run, objective, model):
    """Row-wise Adagrad moves by a bounded step whatever happens; the row-wise family diverges, and says so."""
    for options in (["--alpha", 10], ["--alpha", 10, "--min-alpha", 10, "--epochs", 20]):
        found = run("normal", "--objective", objective, "--model", model, *ANY, *options)
        if objective in ROW_WISE:
            assert found.code == 1
            assert DIVERGED in found.line
            assert "lower --alpha (no model was saved)" in found.line
        else:
            assert found.code == 0, found.line


def test_divergence_leaves_vector_files_alone(tmp_path, capsys):
    (tmp_path / "text").write_text(TEXTS["normal"], "utf-8")
    for name in ("v.bin", "v.txt", "v.vec"):
        out = tmp_path / name
        out.write_bytes(b"older")
        options = [*FAST, "--alpha", "10", "--model", "cbow", *ANY]
        assert exit_code(["train", str(tmp_path / "text"), "-o", str(out), *options]) == 1
        assert DIVERGED in capsys.readouterr().err
        assert out.read_bytes() == b"older"
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"text", "v.bin", "v.txt", "v.vec"}


class Poison(TrainingCallback):
    """Writes a value into a matrix before the last epoch."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value

    def on_epoch_begin(self, run) -> None:
        if run.epoch == run.config.epochs - 1:
            run._backend.parameters()[self.name][-1, -1] = self.value


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e15, -2e38])
def test_parameters_that_are_no_numbers_end_a_run(tmp_path, objective, value):
    """In every matrix; so do values whose squares overflow, which would make norms infinite."""
    (tmp_path / "text").write_text(TEXTS["normal"], "utf-8")
    own = {"cutoffs": (5, 15)} if objective == "adaptive" else {}
    config = TrainConfig(
        objective=objective, vector_size=20, epochs=2, threads=1, device="cpu", alpha=0.0, sample=0, **own
    )
    names = [
        name
        for name in make_objective(config.resolved(), np.arange(30, 0, -1)).parameter_shapes
        if not name.endswith("accumulators")
    ]
    assert len(names) >= 2
    with encode_corpus([tmp_path / "text"], CorpusOptions(min_count=1), use_cache=False) as corpus:
        for name in names:
            with np.errstate(all="ignore"), pytest.raises(TrainingError, match="stopped being finite in epoch 2"):
                train(config, corpus, callbacks=[Poison(name, value)])


# ---- Counts. ----


@every_objective
def test_huge_counts_of_a_vocabulary_file(run, tmp_path, objective, model):
    """Whose sum just fits int64."""
    vocabulary = tmp_path / "huge.tsv"
    vocabulary.write_text("".join(f"w{number}\t{2**58 - number}\n" for number in range(30)), "utf-8")
    found = run("normal", "--vocab", vocabulary, "--objective", objective, "--model", model, "--heldout", "0.3", *ANY)
    assert found.code == 0, found.line
    record = load_model_folder(found.out).training
    if objective != "ns":
        # The counts are all but equal.
        assert record["heldout_unigram_nll"] == pytest.approx(np.log(30))


@pytest.mark.parametrize("count", [2**63 - 1, 2**62])
def test_counts_whose_sum_does_not_fit_are_refused(run, tmp_path, count):
    vocabulary = tmp_path / "huge.tsv"
    vocabulary.write_text(f"w0\t{count}\nw1\t{count}\n", "utf-8")
    found = run("normal", "--vocab", vocabulary)
    assert found.code == 1
    assert "huge.tsv" in found.line


@pytest.mark.parametrize("count", ["0", "-5", "9223372036854775808", "1e3", "nan", ""])
def test_counts_that_are_none_are_refused(run, tmp_path, count):
    vocabulary = tmp_path / "bad.tsv"
    vocabulary.write_text(f"w0\t5\nw1\t{count}\n", "utf-8")
    found = run("normal", "--vocab", vocabulary)
    assert found.code == 1
    assert "bad.tsv" in found.line


def code_lengths(counts) -> np.ndarray:
    return np.diff(make_objective(TrainConfig(objective="hs"), np.array(counts, np.int64)).tables.offsets)


def test_huge_counts_do_not_bend_the_huffman_tree():
    """Sums past 2^63 would come out negative, and make the tree a chain with paths too long for a span."""
    assert set(code_lengths([2**62] * 64)) == {6}
    assert set(code_lengths([2**63 - 1] * 1024)) == {10}
    small = np.array([40, 20, 10, 6, 5, 3, 2, 2, 1, 1])
    np.testing.assert_array_equal(code_lengths(small * 2**56), code_lengths(small))
    # Counts that fit are used to the last digit: 2 and 3 are joined before 4.
    assert code_lengths([2**61, 2**60, 4, 3, 2]).tolist() == [1, 2, 3, 4, 4]
    assert code_lengths([2**63 - 1, 1, 0]).tolist() == [1, 2, 2]


@pytest.mark.parametrize("power", [10, -10, -1, 0, 10.0, -10.0, 0.75])
def test_noise_of_huge_counts(power):
    """Whole exponents too, which Python callers may give, and which would wrap round in int64."""
    counts = np.array([2**63 - 1, 2**62, 10**9, 7, 1, 0])
    noise = noise_distribution(counts, power)
    exact = [float(count) ** power if count else 0.0 for count in counts.tolist()]
    np.testing.assert_allclose(noise, np.array(exact) / sum(exact), rtol=1e-12)
    buckets = np.empty(counts.size, np.uint64)
    build_alias(noise, buckets)
    drawn = [int(alias_draw(np.uint64(key * 0x9E37_79B9_7F4A_7C15 % 2**64), 0, buckets)) for key in range(3000)]
    assert 0 <= min(drawn) <= max(drawn) < counts.size
    frequent = np.argmax(noise)
    assert drawn.count(frequent) / 3000 == pytest.approx(noise[frequent], abs=0.05)


def test_noise_without_any_count_is_uniform():
    np.testing.assert_array_equal(noise_distribution(np.zeros(4, np.int64), 0.75), np.full(4, 0.25))


@pytest.mark.parametrize("exponent", [-1, 2, 10])
def test_whole_exponents_of_noise_in_python(exponent):
    sentences = [line.split() for line in TEXTS["normal"].splitlines()]
    vectors = [
        Word2Vec(
            sentences, ns_exponent=power, min_count=1, vector_size=8, workers=1, epochs=1, device="cpu"
        ).wv.vectors
        for power in (exponent, float(exponent))
    ]
    assert np.isfinite(vectors[0]).all()
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("count", [0, 2**62])
def test_given_counts_in_python(objective, count):
    """A vocabulary of words that never occurred, or of counts whose sum does not fit int64."""
    sentences = [line.split() for line in TEXTS["normal"].splitlines()]
    model = Word2Vec(objective=objective, sg=1, min_count=0, sample=0, vector_size=8, workers=1, device="cpu")
    counts = {f"w{number}": count for number in range(30)}
    if objective == "adaptive" and count == 0:
        with pytest.raises(W2VError, match="no pair to learn from"):  # what no cut-offs can be chosen for
            model.build_vocab_from_freq(counts)
        return
    model.build_vocab_from_freq(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train(sentences, total_examples=len(sentences), epochs=1)
    assert model.wv.vectors.shape == (30, 8)
    assert np.isfinite(model.wv.vectors).all()
    assert all(np.isfinite(values).all() for values in model.output_parameters.values())


def test_batches_of_huge_counts_are_those_of_small_ones():
    """Their sum as int64 would be negative, and the share that sub-sampling keeps beyond all bounds."""
    small = np.arange(40, 10, -1)
    for sample in (0, 1e-3):
        config = TrainConfig(objective="full", sample=sample, batch_pairs=2048)
        shapes = [CorpusShape(counts, 10**6, 10**5) for counts in (small, small * 2**57)]
        planned = [
            (*pairs_per_token(config, shape), default_batch_pairs(config, shape), tokens_per_batch(config, shape))
            for shape in shapes
        ]
        assert planned[0] == pytest.approx(planned[1], rel=1e-6)
        assert 0 < planned[1][0] <= 1


def test_a_batch_stays_within_32_bits_whatever_sub_sampling_leaves():
    config = TrainConfig(objective="full", sample=1e-12, batch_pairs=2**31)
    tokens = tokens_per_batch(config, CorpusShape(np.arange(40, 10, -1), 10**11, 10**9))
    assert 2**20 < tokens < 2**30


def test_thresholds_at_the_ends():
    counts = np.array([2**63 - 1, 10**6, 1, 0])
    assert set(keep_thresholds(counts, 0.0)) == {2**32 - 1}
    assert keep_thresholds(counts, 1.0)[0] == 2**32 - 1
    lowest = keep_thresholds(counts, 1e-12)
    assert lowest.dtype == np.uint32
    assert lowest[0] < 2**32 * 2e-6
    assert lowest[1:3].tolist() == [2**32 - 1] * 2  # rarer than 1 in 10^12: kept always


# ---- Vectors of others. ----


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "1e39"])
@pytest.mark.parametrize("command", [["similar"], ["info"], ["convert"]])
def test_texts_with_values_that_are_no_numbers_are_refused(tmp_path, capsys, value, command):
    path = tmp_path / "strange.vec"
    path.write_text(f"3 2\na 1 0\nb 0.5 {value}\nc 0 1\n", "utf-8")
    rest = {"similar": ["a"], "convert": [str(tmp_path / "out.bin")]}.get(command[0], [])
    assert exit_code([*command, str(path), *rest]) == 1
    assert capsys.readouterr().err == f"w2v: {path}, line 3: a value is no finite number\n"
    assert not (tmp_path / "out.bin").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_folder_with_values_that_are_no_numbers_still_ranks_the_rest(older, tmp_path, capsys, value):
    """A row that is no vector is nobody's neighbour before any other; the rest is answered as without it."""
    sound = ask(older, capsys, "w3")
    assert len(sound) == 29
    folder = tmp_path / "strange"
    shutil.copytree(older, folder)
    words = load_model_folder(folder).words
    vectors = np.load(folder / "input_vectors.npy")
    vectors[words.index("w7")] = value
    np.save(folder / "input_vectors.npy", vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ask(folder, capsys, "w3")
    assert [pair for pair in found if pair[0] != "w7"] == [pair for pair in sound if pair[0] != "w7"]
    assert found[-1][0] == "w7"


def ask(model: Path, capsys, word: str) -> list[tuple[str, float | None]]:
    """All the neighbours of a word and their similarities, None for one that is no number."""
    capsys.readouterr()
    assert exit_code(["similar", str(model), word, "-n", "40", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out, parse_constant=lambda constant: pytest.fail(constant))
    return [(answer["neighbour"], answer["similarity"]) for answer in answers]


class PoisonAccumulators(TrainingCallback):
    def __init__(self, name, value):
        self.name, self.value = name, value

    def on_epoch_begin(self, run):
        run._backend.parameters()[self.name][-1] = self.value


@pytest.mark.parametrize("objective", ["class", "adaptive", "full"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_accumulators_that_are_no_numbers_end_a_run(tmp_path, objective, value):
    """An infinite one makes steps of zero: nothing else would show it, and it would be saved and resumed from."""
    (tmp_path / "text").write_text(TEXTS["normal"], "utf-8")
    config = TrainConfig(objective=objective, vector_size=8, epochs=1, threads=1, device="cpu")
    with (
        encode_corpus([tmp_path / "text"], CorpusOptions(min_count=1), use_cache=False) as corpus,
        np.errstate(all="ignore"),
        pytest.raises(TrainingError, match="stopped being finite in epoch 1"),
    ):
        train(config, corpus, callbacks=[PoisonAccumulators("input_accumulators", value)])
