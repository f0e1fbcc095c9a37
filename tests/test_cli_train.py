"""``w2v train`` end to end: what it writes, prints and refuses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from w2v import KeyedVectors, __version__
from w2v.cli import cli
from w2v.vectors.folder import load_model_folder

FAST = ["--vector-size", "16", "--epochs", "2", "--threads", "1", "--min-count", "1"]


@pytest.fixture
def text(tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(60)])
    weights = 1.0 / np.arange(1, 61)
    lines = [" ".join(rng.choice(words, 12, p=weights / weights.sum())) for _ in range(800)]
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def invoke(*arguments, **options):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def process(*arguments, **environment):
    command = [sys.executable, "-m", "w2v", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=300)


@pytest.mark.parametrize("objective", ["ns", "hs"])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_model_folder(text, tmp_path, objective, model):
    out = tmp_path / "model"
    result = invoke("train", text, "-o", out, *FAST, "--objective", objective, "--model", model, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert any("written to the cache" in line for line in lines)
    assert lines[-1].startswith(f"saved to {out}")
    folder = load_model_folder(out)
    rows = 60 if objective == "ns" else 59
    assert folder.input_vectors.shape == (60, 16)
    assert folder.output_parameters["output_vectors"].shape == (rows, 16)
    assert folder.config["objective"] == objective
    assert folder.config["w2v_version"] == __version__
    assert folder.config["alpha"] > folder.config["min_alpha"] > 0
    assert len(folder.config["corpus"]["fingerprint"]) == 32
    record = folder.training
    phases = {"read", "encode", "upload", "compile", "train", "evaluate", "save", "total"}
    assert set(record["seconds"]) == phases
    assert all(isinstance(seconds, float) for seconds in record["seconds"].values())
    assert record["seconds"]["total"] >= record["seconds"]["train"] > 0
    assert record["seconds"]["save"] > 0
    assert len(record["loss"]) == 2
    assert 0 < record["loss"][1] < record["loss"][0]
    assert record["words_per_second"] == pytest.approx(2 * 9600 / record["seconds"]["train"])
    assert 0 < record["kept_words"] <= 2 * 9600
    assert record["pairs"] > 0
    assert record["heldout_nll"] is record["heldout_unigram_nll"] is None
    assert record["corpus"]["heldout_sentences"] == record["corpus"]["heldout_tokens"] == 0
    assert "held" not in result.stderr
    assert record["device"] == "cpu"
    assert (out / "README.md").read_text(encoding="utf-8").startswith("# ")


# Options, and the shapes of the output parameters for 60 words and 32 dimensions.
BLOCK_SOFTMAXES = {
    "full": ([], {"output_vectors": (60, 32), "output_accumulators": (60,)}),
    "class": (
        ["--classes", "6"],
        {
            "class_vectors": (6, 32),
            "class_accumulators": (6,),
            "output_vectors": (60, 32),
            "output_accumulators": (60,),
        },
    ),
    "adaptive": (
        ["--cutoffs", "10,30"],
        {
            "head_vectors": (12, 32),
            "head_accumulators": (12,),
            "tail_1_projection": (32, 16),
            "tail_1_projection_accumulators": (32,),
            "tail_1_vectors": (20, 16),
            "tail_1_accumulators": (20,),
            "tail_2_projection": (32, 16),
            "tail_2_projection_accumulators": (32,),
            "tail_2_vectors": (30, 16),
            "tail_2_accumulators": (30,),
        },
    ),
}


@pytest.fixture
def two_topics(tmp_path):
    """800 lines of 12 words, each with words of even or of odd number only, out of 60."""
    rng = np.random.default_rng(2)
    weights = 1.0 / np.arange(1, 31)
    draws = rng.choice(30, (800, 12), p=weights / weights.sum()) * 2 + rng.integers(0, 2, (800, 1))
    path = tmp_path / "topics.txt"
    path.write_text("\n".join(" ".join(f"word{word}" for word in line) for line in draws), encoding="utf-8")
    return path


@pytest.mark.parametrize("objective", BLOCK_SOFTMAXES)
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_model_folder_of_block_softmax(two_topics, tmp_path, objective, model):
    out = tmp_path / "model"
    options, shapes = BLOCK_SOFTMAXES[objective]
    result = invoke(
        "train", two_topics, "-o", out, *FAST, "--vector-size", "32", "--objective", objective, "--model", model,
        "--heldout", "0.1", "--sample", "0", "--batch-pairs", "256", "--device", "cpu", *options,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    shapes = {"input_vectors": (60, 32), "input_accumulators": (60,), **shapes}
    others = {"config.json", "vocabulary.tsv", "training.json", "README.md"}
    assert {path.name for path in out.iterdir()} == {f"{name}.npy" for name in shapes} | others
    folder = load_model_folder(out)
    arrays = {"input_vectors": folder.input_vectors, **folder.output_parameters}
    assert {name: values.shape for name, values in arrays.items()} == shapes
    assert {values.dtype for values in arrays.values()} == {np.dtype(np.float32)}
    # Everything was learned from: nothing is still at zero as a whole, and accumulators hold sums of squares.
    assert all(np.abs(values).max() > 0 for values in arrays.values())
    assert all(values.min() >= 0 for name, values in arrays.items() if name.endswith("accumulators"))
    config = folder.config
    assert (config["objective"], config["model"], config["heldout"]) == (objective, model, 0.1)
    assert config["batch_pairs"] == 256
    assert config["cutoffs"] == ([10, 30] if objective == "adaptive" else "auto")
    check_record(folder.training, result.stderr, model)


def check_record(record, said, model):
    """The training record of a run with a tenth held out, and what the run said of it."""
    assert set(record["seconds"]) == {"read", "encode", "upload", "compile", "train", "evaluate", "save", "total"}
    assert len(record["loss"]) == 2
    assert 0 < record["loss"][1] < record["loss"][0]
    tokens = record["corpus"]["tokens"] - record["corpus"]["heldout_tokens"]
    assert record["words_per_second"] == pytest.approx(2 * tokens / record["seconds"]["train"])
    # A window for every word, and several pairs in each.
    assert record["kept_words"] == 2 * tokens
    assert record["pairs"] == 2 * tokens if model == "cbow" else record["pairs"] > 6 * tokens
    assert record["device"] == "cpu"
    nll, unigram = record["heldout_nll"], record["heldout_unigram_nll"]
    # Which topic a line has is log 2 nats: most of that is learned, and there is no more.
    assert 3 < unigram < np.log(60)
    assert 0.4 < unigram - nll < 0.75
    (line,) = (line for line in said.splitlines() if "held" in line)
    assert line.startswith(f"held-out sentences: {nll:.3f} nats per pair, perplexity {np.exp(nll):.3g} (unigram: ")


def test_automatic_cutoffs_are_announced_and_recorded(text, tmp_path):
    out = tmp_path / "model"
    options = [*FAST, "--objective", "adaptive", "--clusters", "3", "--device", "cpu"]
    result = invoke("train", text, "-o", out, *options)
    assert result.exit_code == 0, result.output
    config = load_model_folder(out).config
    first, second = config["cutoffs"]
    assert 0 < first < second < 60
    assert config["clusters"] is None
    assert any(f"{first},{second}" in line for line in result.stderr.splitlines()), result.stderr


@pytest.mark.parametrize("objective", BLOCK_SOFTMAXES)
def test_block_softmax_on_one_thread_is_reproducible(text, tmp_path, objective):
    found = []
    for name in "ab":
        assert invoke("train", text, "-o", tmp_path / name, *FAST, "--objective", objective).exit_code == 0
        found.append((tmp_path / name / "input_vectors.npy").read_bytes())
    assert found[0] == found[1]


@pytest.mark.parametrize("suffix", [".bin", ".txt", ".vec", ".safetensors"])
def test_vectors_alone(text, tmp_path, suffix):
    out = tmp_path / f"vectors{suffix}"
    assert invoke("train", text, "-o", out, *FAST, "--quiet").exit_code == 0
    assert invoke("train", text, "-o", tmp_path / "model", *FAST, "--quiet").exit_code == 0
    vectors = KeyedVectors.load(out)
    model = KeyedVectors.load(tmp_path / "model")
    assert vectors.index_to_key == model.index_to_key
    np.testing.assert_allclose(vectors.vectors, model.vectors, rtol=1e-5)


def test_quiet_says_nothing_and_a_cached_corpus_is_announced(text, tmp_path):
    result = invoke("train", text, "-o", tmp_path / "a", *FAST, "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    result = invoke("train", text, "-o", tmp_path / "b", *FAST)
    assert "reused from the cache" in result.stderr
    result = invoke("train", text, "-o", tmp_path / "c", *FAST, "--min-count", "2")
    assert "written to the cache" in result.stderr
    first, second = (load_model_folder(tmp_path / name) for name in "ab")
    np.testing.assert_array_equal(first.input_vectors, second.input_vectors)


def test_no_cache_leaves_nothing(text, tmp_path):
    result = invoke("train", text, "-o", tmp_path / "model", *FAST, "--no-cache")
    assert result.exit_code == 0
    assert not (tmp_path / "cache").exists()


def test_standard_input_and_folders(text, tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    lines = text.read_bytes().splitlines(keepends=True)
    (folder / "a.txt").write_bytes(b"".join(lines[:300]))
    (folder / "inner" / "b.txt").write_bytes(b"".join(lines[300:]))
    assert invoke("train", folder, "-o", tmp_path / "from-folder", *FAST).exit_code == 0
    assert invoke("train", "-", "-o", tmp_path / "from-stdin", *FAST, input=text.read_bytes()).exit_code == 0
    assert invoke("train", text, "-o", tmp_path / "from-file", *FAST).exit_code == 0
    expected = load_model_folder(tmp_path / "from-file").input_vectors
    for name in ("from-folder", "from-stdin"):
        np.testing.assert_array_equal(load_model_folder(tmp_path / name).input_vectors, expected)


def test_word2vec_c_spellings(text, tmp_path):
    old = [
        "-size",
        "12",
        "-window",
        "3",
        "-sample",
        "0.01",
        "-negative",
        "4",
        "-threads",
        "1",
        "-iter",
        "2",
        "-min-count",
        "2",
        "-alpha",
        "0.03",
    ]
    result = invoke("train", text, "-output", tmp_path / "old", *old)
    assert result.exit_code == 0, result.output
    config = load_model_folder(tmp_path / "old").config
    names = ("vector_size", "window", "sample", "negative", "threads", "epochs", "min_count", "alpha")
    assert [config[name] for name in names] == [12, 3, 0.01, 4, 1, 2, 2, 0.03]


def test_progress_bar_on_request(text, tmp_path):
    result = process("train", text, "-o", tmp_path / "model", *FAST, "--epochs", "3", "--progress")
    assert result.returncode == 0
    assert result.stdout == ""
    for expected in ("epoch 3/3", "100%", "w/s", "loss ", "alpha ", "<"):
        assert expected in result.stderr
    assert "%|" not in process("train", text, "-o", tmp_path / "model", *FAST).stderr


@pytest.mark.parametrize("objective", ["ns", "hs"])
def test_likelihood_of_kept_back_sentences(text, tmp_path, objective):
    out = tmp_path / "model"
    result = invoke("train", text, "-o", out, *FAST, "--objective", objective, "--heldout", "0.1", "--progress")
    assert result.exit_code == 0, result.output
    record = json.loads((out / "training.json").read_text("utf-8"))
    sentences, tokens = record["corpus"]["heldout_sentences"], record["corpus"]["heldout_tokens"]
    assert tokens == 12 * sentences
    assert 50 < sentences < 110
    assert record["words_per_second"] == pytest.approx(2 * (9600 - tokens) / record["seconds"]["train"])
    assert "epoch 2/2: 100%" in result.stderr
    (line,) = (line for line in result.stderr.splitlines() if "held" in line)
    rows = dict(row.split("\t") for row in invoke("info", out).stdout.splitlines())
    if objective == "ns":
        assert line.startswith(f"{sentences} sentences were held out; ns has no likelihood")
        assert record["heldout_nll"] is record["heldout_unigram_nll"] is None
        assert "training.heldout_nll" not in rows
        return
    nll, unigram = record["heldout_nll"], record["heldout_unigram_nll"]
    assert 3 < unigram < np.log(60)
    assert 3 < nll < np.log(60)
    assert line == (
        f"held-out sentences: {nll:.3f} nats per pair, perplexity {np.exp(nll):.3g} "
        f"(unigram: {unigram:.3f}, {np.exp(unigram):.3g})"
    )
    assert float(rows["training.heldout_nll"]) == pytest.approx(nll, rel=1e-5)
    assert float(rows["training.heldout_unigram_nll"]) == pytest.approx(unigram, rel=1e-5)
    assert invoke("train", text, "-o", out, *FAST, "--heldout", "0.1", "--quiet").output == ""


def test_saved_vocabulary(text, tmp_path):
    vocabulary = tmp_path / "vocabulary.tsv"
    assert invoke("vocab", text, "-o", vocabulary, "--min-count", "60").exit_code == 0
    assert invoke("train", text, "-o", tmp_path / "model", *FAST, "--vocab", vocabulary).exit_code == 0
    words = [line.split("\t")[0] for line in vocabulary.read_text(encoding="utf-8").splitlines()]
    assert load_model_folder(tmp_path / "model").words == words
    assert 2 < len(words) < 60


def test_one_thread_is_reproducible_whatever_the_hash_seed(text, tmp_path):
    found = []
    for seed in ("1", "77"):
        out = tmp_path / f"model{seed}"
        assert process("train", text, "-o", out, *FAST, "--no-cache", PYTHONHASHSEED=seed).returncode == 0
        found.append((out / "input_vectors.npy").read_bytes())
    assert found[0] == found[1]


ADAPTIVE = ["{text}", "-o", "out", "--min-count", "1", "--objective", "adaptive", "--device", "cpu"]
FAILURES = [
    (["absent.txt", "-o", "out"], 1, "absent.txt"),
    (["{text}", "-o", "out", "--min-count", "100000"], 1, "min-count"),
    (["{text}", "-o", "out", "--vector-size", "0"], 2, "--vector-size 0 is out of range"),
    (["{text}", "-o", "out", "--alpha", "nan"], 2, "--alpha"),
    (["{text}", "-o", "out", "--min-alpha", "1"], 2, "--min-alpha 1 is above"),
    (["{text}", "-o", "{text}/below"], 1, "text.txt"),
    (["{text}", "-o", "out", "--vocab", "absent.tsv"], 1, "absent.tsv"),
    (["{text}", "-o", "out", "--sample", "1e-9"], 1, "--sample 0"),
    (["{text}", "-o", "out", "--alpha", "10", "--model", "cbow", "--cbow-sum", "--epochs", "40"], 1, "lower --alpha"),
    (["{text}", "-o", "out", "--objective", "magic"], 2, "magic"),
    (["{text}", "-o", "out", "--heldout", "0.6"], 2, "--heldout 0.6 is out of range"),
    (["{text}", "-o", "out", "--heldout", "1e-9"], 1, "keeps back no sentence of two words: raise it"),
    (["{text}", "-o", "out", "--window", "0"], 2, "--window 0 is out of range"),
    (["{text}", "-o", "out", "--threads", "4611686018427387904"], 2, "--threads"),
    (["{text}", "-o", "out", "--objective", "hs", "--negatives-per-pair"], 2, "--negatives-per-pair"),
    (["{text}", "-o", "{text}"], 2, "text.txt"),
    (["{text}"], 2, "--output"),
    (["-o", "out"], 2, "CORPUS"),
    (["{text}", "-o", "out", "--threads", "0"], 2, "--threads"),
    ([*ADAPTIVE, "--cutoffs", "30,10"], 2, "--cutoffs 30,10 must rise"),
    ([*ADAPTIVE, "--cutoffs", "10,10"], 2, "--cutoffs 10,10 must rise"),
    ([*ADAPTIVE, "--cutoffs", "0,10"], 2, "begin above 0"),
    ([*ADAPTIVE, "--cutoffs", "ten"], 2, "--cutoffs 'ten' is not understood"),
    ([*ADAPTIVE, "--cutoffs", "10,60"], 2, "--cutoffs 10,60 must stay below the 60 words"),
    ([*ADAPTIVE, "--clusters", "1"], 2, "--clusters 1 is out of range"),
    ([*ADAPTIVE, "--clusters", "3", "--cutoffs", "10,30"], 2, "give it or --cutoffs"),
    ([*ADAPTIVE, "--div-value", "0.5"], 2, "--div-value"),
    ([*ADAPTIVE, "--classes", "5"], 2, "--classes is for --objective class, not adaptive"),
    ([*ADAPTIVE, "--cost-model", "absent.json"], 1, "absent.json"),
    (["{text}", "-o", "out", "--objective", "class", "--min-count", "1", "--classes", "61"], 2, "the 60 words"),
    (["{text}", "-o", "out", "--objective", "class", "--classes", "0"], 2, "--classes 0 is out of range"),
    (["{text}", "-o", "out", "--objective", "class", "--no-shortlist"], 2, "--no-shortlist is for"),
    (["{text}", "-o", "out", "--objective", "full", "--cutoffs", "10"], 2, "--cutoffs is for --objective adaptive"),
    (["{text}", "-o", "out", "--objective", "full", "--batch-pairs", "0"], 2, "--batch-pairs 0 is out of range"),
    (
        ["{text}", "-o", "out", "--objective", "hs", "--batch-pairs", "99"],
        2,
        "--batch-pairs is for --objective class",
    ),
    (["{text}", "-o", "out", "--output-bias", "none"], 2, "--output-bias is for --objective class"),
    (["{text}", "-o", "out", "--objective", "full", "--output-bias", "other"], 2, "other"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), FAILURES, ids=lambda value: str(value)[:50])
def test_failures_are_one_line(text, tmp_path, monkeypatch, capsys, arguments, code, message):
    from w2v.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_code:
        main(["train", *[argument.format(text=text) for argument in arguments]])
    captured = capsys.readouterr()
    assert exit_code.value.code == code
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert message in last
    assert last.startswith(("w2v: ", "Error: "))
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_a_failed_run_leaves_the_old_model(text, tmp_path):
    out = tmp_path / "model"
    assert invoke("train", text, "-o", out, *FAST).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = invoke("train", text, "-o", out, *FAST, "--alpha", "10", "--model", "cbow", "--cbow-sum")
    assert result.exit_code == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert invoke("train", text, "-o", out, *FAST, "--seed", "2").exit_code == 0
    assert json.loads((out / "config.json").read_text())["seed"] == 2


def test_a_folder_of_others_is_not_replaced(text, tmp_path):
    out = tmp_path / "holiday"
    out.mkdir()
    (out / "photo.jpg").write_bytes(b"precious")
    result = invoke("train", text, "-o", out, *FAST)
    assert result.exit_code == 1
    assert (out / "photo.jpg").read_bytes() == b"precious"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_training_leaves_a_checkpoint_and_nothing_else(text, tmp_path, number, code):
    out = tmp_path / "model"
    command = [sys.executable, "-m", "w2v", "train", str(text), "-o", str(out), *FAST, "--epochs", "1000000"]
    running = subprocess.Popen(
        [*command, "--progress"], stderr=subprocess.PIPE, text=True, bufsize=1, cwd=tmp_path, start_new_session=True
    )
    try:
        read = ""
        deadline = time.monotonic() + 120
        while "epoch 2" not in read and time.monotonic() < deadline:
            read += running.stderr.read(40)
        running.send_signal(number)
        _, rest = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == code
    assert "Traceback" not in rest
    assert rest.splitlines()[-1].startswith(f"w2v: interrupted: the checkpoint in {out}.checkpoint has ")
    assert {path.name for path in tmp_path.iterdir()} <= {"text.txt", "cache", "model.checkpoint"}


def test_every_command_has_help_and_is_in_the_readme():
    readme = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
    for name, command in cli.commands.items():
        assert command.help, name
        assert f"w2v {name}" in readme, name
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"
        assert invoke(name, "--help").exit_code == 0


def test_metrics_and_event_files(text, tmp_path):
    pytest.importorskip("tensorboard")
    metrics, events, out = tmp_path / "metrics.jsonl", tmp_path / "events", tmp_path / "model"
    result = invoke("train", text, "-o", out, *FAST, "--metrics-jsonl", metrics, "--tensorboard", events)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    assert [line["event"] for line in lines if line["event"] != "report"] == ["begin", "epoch", "epoch", "end"]
    assert [line["loss"] for line in lines if line["event"] == "epoch"] == load_model_folder(out).training["loss"]
    assert any(entry.name.startswith("events.out") for entry in events.iterdir())


@pytest.mark.parametrize("option", ["--metrics-jsonl", "--tensorboard"])
def test_logs_that_cannot_be_written_are_refused_before_training(text, tmp_path, option):
    out = tmp_path / "model"
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    result = invoke("train", text, "-o", out, *FAST, option, blocked / "log")
    assert result.exit_code == 1
    assert "is no folder" in str(result.exception)
    assert not out.exists()


def test_metrics_never_replace_an_input(text, tmp_path):
    result = invoke("train", text, "-o", tmp_path / "model", *FAST, "--metrics-jsonl", text)
    assert result.exit_code == 2
    assert "would replace the input" in result.stderr


@pytest.mark.parametrize("option", ["--metrics-jsonl", "--tensorboard"])
@pytest.mark.parametrize("place", ["", "log"])
def test_logs_in_the_model_are_refused_before_training(text, tmp_path, option, place):
    out = tmp_path / "model"
    result = invoke("train", text, "-o", out, *FAST, option, out / place)
    assert result.exit_code == 2
    assert "inside it: choose another place" in result.stderr
    assert not out.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_log_on_a_full_disk_does_not_cost_the_model(text, tmp_path):
    out = tmp_path / "model"
    result = process("train", text, "-o", out, *FAST, "--device", "cpu", "--metrics-jsonl", "/dev/full")
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "/dev/full" in line]
    assert said == ["w2v: warning: cannot write /dev/full: No space left on device: training goes on without metrics"]
    assert load_model_folder(out).training["loss"]
