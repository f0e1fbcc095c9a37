"""Checkpoints: a run that was stopped, however, goes on and ends as if it had never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import run
from test_training_run import OBJECTIVES, Watch, config_for, small_corpus

import w2v.training.checkpoint as checkpoint_module
from w2v.cli.train import train as train_command
from w2v.corpus import EncodedCorpus, Vocabulary
from w2v.errors import ConfigError, FormatError, OutputError, TrainingError
from w2v.training import Checkpoints, MetricsFile, TrainingCallback, train
from w2v.training.checkpoint import STATE, CheckpointFolder
from w2v.training.checkpoints import checkpoint_path
from w2v.training.same_run import different_options
from w2v.vectors.folder import load_model_folder

SAME = ("loss", "pairs", "kept_words")


@pytest.fixture(scope="module")
def corpus() -> EncodedCorpus:
    return small_corpus()


class Stopper:
    """Interruptions of a test: one is noted at the ``after``-th question whether there was."""

    def __init__(self, after: int) -> None:
        self.after, self.held = after, 0

    def hold(self) -> None:
        self.held += 1

    def release(self) -> None:
        self.held = 0

    @property
    def noted(self) -> bool:
        self.after -= self.held
        return self.after <= 0

    def exception(self, message: str) -> BaseException:
        return KeyboardInterrupt(message)


def train_in_parts(config, corpus, out: Path, stops: list[int], **options):
    """Train with interruptions, each after so many looks, resuming every time; the finished model."""
    for stop in stops:
        with (
            pytest.raises(
                KeyboardInterrupt, match=r"the checkpoint in .* has \d\.\d\d of 2 epochs: go on with --resume"
            ),
            Checkpoints(out, resume=True, interruptions=Stopper(stop)) as checkpoints,
        ):
            train(config, corpus, checkpoints=checkpoints)
    with Checkpoints(out, resume=True, **options) as checkpoints:
        model = train(config, corpus, checkpoints=checkpoints)
        checkpoints.remove()
    return model


def assert_same_model(found, known) -> None:
    np.testing.assert_array_equal(found.input_vectors, known.input_vectors)
    assert found.output_parameters.keys() == known.output_parameters.keys()
    for name, array in known.output_parameters.items():
        np.testing.assert_array_equal(found.output_parameters[name], array, err_msg=name)
    for name in SAME:
        assert found.training[name] == known.training[name], name
    assert found.training["heldout_nll"] == known.training["heldout_nll"]
    assert found.config == known.config


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_run_in_parts_is_the_run_in_one_go(corpus, tmp_path, objective, model):
    options = {} if objective in ("ns", "hs") else {"batch_pairs": 150}
    heldout = {} if objective == "ns" else {"heldout": 0.1}
    config = config_for(objective=objective, model=model, **options, **heldout)
    known = train(config, corpus)
    found = train_in_parts(config, corpus, tmp_path / "out", [3, 2, 9, 5])
    assert_same_model(found, known)
    assert list(tmp_path.iterdir()) == []


def test_what_was_chosen_for_the_corpus_stays(corpus, tmp_path):
    config = config_for(objective="adaptive")
    known = train(config, corpus)
    found = train_in_parts(config, corpus, tmp_path / "out", [1])
    assert_same_model(found, known)
    assert found.config.cutoffs == known.config.cutoffs != "auto"
    assert found.asked.cutoffs == "auto"


def test_threads_train_every_word_once_in_parts(corpus, tmp_path):
    config = config_for(threads=3)
    found = train_in_parts(config, corpus, tmp_path / "out", [5, 9])
    known = train(config_for(threads=1), corpus)
    for name in ("pairs", "kept_words"):
        assert found.training[name] == known.training[name]
    assert found.training["loss"][-1] == pytest.approx(known.training["loss"][-1], rel=0.05)


def test_checkpoints_come_with_time_and_older_ones_go(corpus, tmp_path):
    seen = []

    class Look(TrainingCallback):
        def on_report(self, run):
            seen.append(sorted(path.name for path in (tmp_path / "out.checkpoint").iterdir()))

    with Checkpoints(tmp_path / "out", minutes=1e-9) as checkpoints:
        known = train(config_for(), corpus, callbacks=[Look()], checkpoints=checkpoints)
        left = sorted(path.name for path in (tmp_path / "out.checkpoint").iterdir())
    assert len(left) == 2
    assert left[1] == "lock"
    assert int(left[0]) > 20
    assert all(len(names) == 2 for names in seen[1:])
    # The run did not end as far as its folder knows: it can be resumed, and has nothing left to train.
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        found = train(config_for(), corpus, checkpoints=checkpoints)
    assert_same_model(found, known)


def test_seconds_of_all_parts_count(corpus, tmp_path):
    stopper = Stopper(20)
    with pytest.raises(KeyboardInterrupt), Checkpoints(tmp_path / "out", interruptions=stopper) as checkpoints:
        train(config_for(), corpus, checkpoints=checkpoints)
    state = tmp_path / "out.checkpoint" / "000001" / STATE
    record = json.loads(state.read_text())
    record["seconds"] |= {"train": 1000.0, "total": 2000.0}
    write_record(state, record)
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        training = train(config_for(), corpus, checkpoints=checkpoints).training
    assert training["seconds"]["train"] > 1000
    assert training["seconds"]["total"] > 2000
    assert training["words_per_second"] == pytest.approx(2 * corpus.tokens / training["seconds"]["train"])


def test_callbacks_of_a_run_that_goes_on(corpus, tmp_path):
    first, second = (Watch(points=(0.2, 0.5, 1, 1.9)) for _ in range(2))
    stopper = Stopper(20)
    with pytest.raises(KeyboardInterrupt), Checkpoints(tmp_path / "out", interruptions=stopper) as checkpoints:
        train(config_for(), corpus, callbacks=[first], checkpoints=checkpoints)
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        train(config_for(), corpus, callbacks=[second], checkpoints=checkpoints)
    events = [*first.events, *second.events]
    assert events.count("begin") == 2
    assert [event for event in events if event.startswith("e")] == ["epoch 0", "end 0", "epoch 1", "end 1"]
    assert events.count("point") == 4
    assert events[-1] == "done"


def test_metrics_go_on_in_the_same_file(corpus, tmp_path):
    path = tmp_path / "metrics.jsonl"
    for resume, stop in ((False, 20), (True, 10**9)):
        with Checkpoints(tmp_path / "out", resume=resume, interruptions=Stopper(stop)) as checkpoints:
            metrics = MetricsFile(path, seconds=0)
            try:
                train(config_for(), corpus, callbacks=[metrics], checkpoints=checkpoints)
            except KeyboardInterrupt:
                assert stop == 20
            finally:
                metrics.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert events[0] == "begin"
    assert events.count("resume") == events.count("end") == 1
    assert events.count("epoch") == 2
    assert 0 < lines[events.index("resume")]["epochs"] < 2
    words = [line["words"] for line in lines if line["event"] == "report"]
    assert words == sorted(words)
    assert words[-1] == lines[-1]["words"] == 2 * corpus.tokens


def write_record(path: Path, record: dict) -> None:
    """As a stranger would, who knows how the checksum is made."""
    record.pop("checksum", None)
    path.write_text(json.dumps({**record, "checksum": checkpoint_module._checksum(record)}))


# ---- What is refused. ----


def stopped(corpus, out: Path, **options) -> None:
    with pytest.raises(KeyboardInterrupt), Checkpoints(out, interruptions=Stopper(20)) as checkpoints:
        train(config_for(**options), corpus, checkpoints=checkpoints)


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"epochs": 3}, "--epochs was 2 and is 3"),
        ({"alpha": 0.05}, "--alpha was not given and is 0.05"),
        ({"objective": "hs"}, "--objective was ns and is hs"),
        ({"model": "cbow", "cbow_sum": True}, "--model was skipgram and is cbow, --cbow-sum was off and is on"),
        ({"seed": 2, "vector_size": 11}, "--vector-size was 10 and is 11, --seed was 1 and is 2"),
        ({"objective": "adaptive", "shortlist": False}, "--no-shortlist was off and is on"),
        ({"objective": "adaptive", "cutoffs": (5, 20)}, "--cutoffs was auto and is 5,20"),
    ],
)
def test_other_options_are_named(corpus, tmp_path, now, message):
    stopped(corpus, tmp_path / "out")
    before = contents(tmp_path)
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        with pytest.raises(TrainingError, match="is the checkpoint of another run: ") as caught:
            checkpoints.require_same_options(config_for(**now))
        assert message in str(caught.value)
        with pytest.raises(TrainingError, match="is the checkpoint of another run: "):
            train(config_for(**now), corpus, checkpoints=checkpoints)
    assert contents(tmp_path) == before


def test_where_and_how_fast_is_free(corpus, tmp_path):
    stopped(corpus, tmp_path / "out")
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        model = train(config_for(threads=2, device="auto", kernels="numba"), corpus, checkpoints=checkpoints)
    assert (model.config.threads, model.config.kernels) == (2, "numba")


def test_another_corpus_and_another_vocabulary_are_named(corpus, tmp_path):
    stopped(corpus, tmp_path / "out")
    longer = small_corpus(500)
    counts = corpus.vocabulary.counts.copy()
    counts[0] += 1
    recounted = EncodedCorpus(
        corpus.ids, Vocabulary(corpus.vocabulary.words, counts), corpus.tokens, corpus.sentences, 0, 0, "0" * 32
    )
    object.__setattr__(longer, "fingerprint", "1" * 32)
    for other, message in (
        (longer, rf"the corpus differs \(it had {corpus.tokens:,} tokens and has {longer.tokens:,}\)"),
        (recounted, "the vocabulary differs: give the same again"),
    ):
        with (
            Checkpoints(tmp_path / "out", resume=True) as checkpoints,
            pytest.raises(TrainingError, match=message),
        ):
            train(config_for(), other, checkpoints=checkpoints)


def test_a_checkpoint_is_never_overwritten_unasked(corpus, tmp_path):
    stopped(corpus, tmp_path / "out")
    before = contents(tmp_path)
    with (
        pytest.raises(OutputError, match="did not end: go on with --resume, or remove it"),
        Checkpoints(tmp_path / "out"),
    ):
        raise AssertionError("it was entered")
    assert contents(tmp_path) == before


def test_two_runs_to_one_output(corpus, tmp_path):
    folder = tmp_path / "out.checkpoint"
    with Checkpoints(tmp_path / "out", warn=print) as first:
        (folder / ".000001.tmp").mkdir()  # as while it writes
        for _ in range(2):
            with (
                pytest.raises(OutputError, match="another run is training to this output"),
                Checkpoints(tmp_path / "out", resume=True),
            ):
                raise AssertionError("it was entered")
            assert sorted(path.name for path in folder.iterdir()) == [".000001.tmp", "lock"]
        train(config_for(), corpus, checkpoints=first)
        with pytest.raises(OutputError), first.keeping():
            raise OutputError("the disk is full")
        assert (folder / "000001").is_dir()
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        checkpoints.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_on_a_file_that_went_meanwhile_is_none(tmp_path, monkeypatch):
    """Between opening the lock and locking it, the run that had it ends, and removes it."""
    calls = []
    flock = checkpoint_module.fcntl.flock

    def late(file, how):
        calls.append(how)
        if len(calls) == 1:
            (tmp_path / "out.checkpoint" / "lock").unlink()
        flock(file, how)

    monkeypatch.setattr(checkpoint_module.fcntl, "flock", late)
    with Checkpoints(tmp_path / "out"):
        assert len(calls) == 2
        assert [path.name for path in (tmp_path / "out.checkpoint").iterdir()] == ["lock"]
        monkeypatch.undo()
        with pytest.raises(OutputError, match="another run is training"), Checkpoints(tmp_path / "out"):
            raise AssertionError("it was entered")


def test_checkpoints_that_are_not_entered_are_refused(corpus, tmp_path):
    stopped(corpus, tmp_path / "out")
    before = contents(tmp_path)
    with pytest.raises(RuntimeError, match="are used as a context"):
        train(config_for(), corpus, checkpoints=Checkpoints(tmp_path / "out", resume=True))
    assert contents(tmp_path) == before


def test_folders_that_were_made_for_nothing_go(tmp_path):
    with Checkpoints(tmp_path / "one" / "two" / "out"):
        assert (tmp_path / "one" / "two" / "out.checkpoint" / "lock").exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("output", "expected"), [("out", "out.checkpoint"), ("out/", "out.checkpoint")])
def test_where_checkpoints_are(tmp_path, monkeypatch, output, expected):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_path(output) == Path(expected)
    assert checkpoint_path(".") == tmp_path.with_name(f"{tmp_path.name}.checkpoint")
    assert checkpoint_path("..") == tmp_path.parent.with_name(f"{tmp_path.parent.name}.checkpoint")


def test_numbers_that_differ_little_are_shown_in_full():
    found = different_options(config_for(alpha=0.025), config_for(alpha=0.02500001))
    assert found == ["--alpha was 0.025 and is 0.02500001"]


def test_a_version_that_differs_is_told(corpus, tmp_path):
    stopped(corpus, tmp_path / "out")
    path = tmp_path / "out.checkpoint" / "000001" / STATE
    record = json.loads(path.read_text())
    write_record(path, {**record, "w2v_version": "9.9"})
    said = []
    with Checkpoints(tmp_path / "out", resume=True, say=said.append) as checkpoints:
        train(config_for(), corpus, checkpoints=checkpoints)
    assert any("w2v 9.9 trained them" in line for line in said)


def test_other_files_are_left_alone(tmp_path):
    folder = tmp_path / "out.checkpoint"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"mine\.txt is no checkpoint: move it away"), Checkpoints(tmp_path / "out"):
        raise AssertionError("it was entered")
    assert contents(tmp_path) == {"out.checkpoint/mine.txt": b"mine"}
    folder = tmp_path / "file.checkpoint"
    folder.write_text("mine")
    with pytest.raises(OutputError, match="is not a folder"), Checkpoints(tmp_path / "file"):
        raise AssertionError("it was entered")


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_minutes_are_positive(tmp_path, minutes):
    with pytest.raises(ConfigError, match="--checkpoint-minutes .* is out of range"):
        Checkpoints(tmp_path / "out", minutes)


# ---- What goes wrong. ----


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.mark.parametrize("stage", ["write_array", "sync_folder", "rename"])
def test_a_checkpoint_that_cannot_be_written_ends_no_training(corpus, tmp_path, monkeypatch, stage):
    """The disk is full from the third one on: the second one stays whole, and the run goes on."""
    place = os if stage == "rename" else checkpoint_module
    working, calls, warnings = getattr(place, stage), [], []

    def full(*arguments):
        names = [path.name for path in (tmp_path / "out.checkpoint").iterdir()]
        if "000002" in names and any(name.startswith(".") for name in names):
            calls.append(names)
            raise OSError(28, "No space left on device")
        return working(*arguments)

    monkeypatch.setattr(place, stage, full)
    with Checkpoints(tmp_path / "out", minutes=1e-9, warn=warnings.append) as checkpoints:
        found = train(config_for(), corpus, checkpoints=checkpoints)
    assert_same_model(found, train(config_for(), corpus))
    assert len(calls) == len(warnings) > 3
    assert "cannot write a checkpoint to" in warnings[0]
    assert "No space left on device: training goes on" in warnings[0]
    assert sorted(path.name for path in (tmp_path / "out.checkpoint").iterdir()) == ["000002", "lock"]
    monkeypatch.undo()
    assert CheckpointFolder(tmp_path / "out.checkpoint").latest().parameters().keys() == {
        "input_vectors", "output_vectors"
    }  # fmt: skip


def test_an_interruption_without_room_says_what_is_left(corpus, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_module, "write_array", full)
    with (
        pytest.raises(KeyboardInterrupt, match="No space left on device; there is no checkpoint"),
        Checkpoints(tmp_path / "out", interruptions=Stopper(20)) as checkpoints,
    ):
        train(config_for(), corpus, checkpoints=checkpoints)
    assert list(tmp_path.iterdir()) == []


def fail_after_training(corpus, checkpoints, failure, models) -> None:
    models.append(train(config_for(), corpus, checkpoints=checkpoints))
    raise failure


@pytest.mark.parametrize("failure", [OutputError("the disk is full"), KeyboardInterrupt()])
def test_what_fails_after_training_costs_no_training(corpus, tmp_path, failure):
    warnings, models = [], []
    with (
        pytest.raises(type(failure)) as caught,
        Checkpoints(tmp_path / "out", warn=warnings.append) as checkpoints,
    ):
        fail_after_training(corpus, checkpoints, failure, models)
    (known,) = models
    told = str(caught.value) if isinstance(failure, KeyboardInterrupt) else warnings[0]
    assert told.endswith("has 2.00 of 2 epochs: go on with --resume")
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        assert_same_model(train(config_for(), corpus, checkpoints=checkpoints), known)


def test_parameters_that_are_not_finite_are_not_saved(corpus, tmp_path):
    with (
        pytest.raises(TrainingError, match="stopped being finite"),
        Checkpoints(tmp_path / "out", minutes=1e-9) as checkpoints,
    ):
        train(config_for(alpha=10.0, epochs=40, negative=20), corpus, checkpoints=checkpoints)
    latest = CheckpointFolder(tmp_path / "out.checkpoint").latest()
    assert latest is None or all(np.isfinite(array).all() for array in latest.parameters().values())


def test_a_second_interruption_tells_what_is_left(corpus, tmp_path):
    """It comes while training goes on, and does not wait for a checkpoint; the first one of an epoch ago is there."""

    class Impatient(TrainingCallback):
        def on_epoch_end(self, run):
            if run.epoch == 1:
                raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt, match=r"has [01]\.\d\d of 2 epochs: go on with --resume"),
        Checkpoints(tmp_path / "out", minutes=1e-9) as checkpoints,
    ):
        train(config_for(), corpus, callbacks=[Impatient()], checkpoints=checkpoints)


def test_an_interruption_at_the_very_end_is_not_lost(corpus, tmp_path):
    """It is noted when nothing is left to train, while the handlers are given back."""

    class Late(Stopper):
        def release(self):
            if self.held:
                self.after = 0
            super().release()

    with (
        pytest.raises(KeyboardInterrupt, match=r"has 2\.00 of 2 epochs"),
        Checkpoints(tmp_path / "out", interruptions=Late(10**9)) as checkpoints,
    ):
        train(config_for(), corpus, checkpoints=checkpoints)


def test_a_kill_while_a_checkpoint_is_removed_leaves_none_that_is_damaged(corpus, tmp_path, monkeypatch):
    stopped(corpus, tmp_path / "out")
    folder = tmp_path / "out.checkpoint"

    def dying(path, **options):
        for entry in sorted(Path(path).iterdir())[:1]:
            entry.unlink()
        raise SystemExit

    with Checkpoints(tmp_path / "out", resume=True) as checkpoints:
        monkeypatch.setattr(checkpoint_module.shutil, "rmtree", dying)
        with pytest.raises(SystemExit):
            checkpoints.remove()
        monkeypatch.undo()
        assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["lock"]
    with Checkpoints(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleaned_up(corpus, tmp_path):
    """Killed while the second one was written, and while the first one was removed."""
    config = config_for()
    known = train(config, corpus)
    stopped(corpus, tmp_path / "out")
    folder = tmp_path / "out.checkpoint"
    (folder / ".000002.tmp").mkdir()
    (folder / ".000002.tmp" / "input_vectors.npy").write_bytes(b"half")
    (folder / "000000").mkdir()
    with Checkpoints(tmp_path / "out", minutes=1e-9, resume=True) as checkpoints:
        found = train(config, corpus, checkpoints=checkpoints)
        assert not (folder / "000000").exists()
        checkpoints.remove()
    assert_same_model(found, known)
    assert list(tmp_path.iterdir()) == []


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("name", ["input_vectors.npy", "output_vectors.npy"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_is_not_resumed(corpus, tmp_path, name, damage):
    stopped(corpus, tmp_path / "out")
    path = tmp_path / "out.checkpoint" / "000001" / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(flip(data, 1000) if damage == "flip" else data[:-1])
    with Checkpoints(tmp_path / "out", resume=True) as checkpoints, pytest.raises(FormatError, match=name):
        train(config_for(), corpus, checkpoints=checkpoints)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("epochs"), "is damaged"),
        (lambda record: record.update(format="something"), "is damaged"),
        (lambda record: record.update(format_version=2), "was written by another version of w2v"),
        (lambda record: record["epoch"].update(position=-5), "is damaged"),
        (lambda record: record["epoch"].update(position="0"), "is damaged"),
        (lambda record: record["epoch"].update(position=10**15), "is damaged"),
        (lambda record: record["epochs"].extend(record["epochs"] or [record["epoch"]] * 9), "is damaged"),
        (lambda record: record["asked"].update(vector_size="ten"), "is damaged"),
        (lambda record: record["arrays"].update({"../input": record["arrays"]["input_vectors"]}), "is damaged"),
        (lambda record: record["arrays"].pop("output_vectors"), "does not have this model's parameters"),
        (lambda record: record.update(seconds=None), "is damaged"),
    ],
)
def test_a_record_that_cannot_be_is_not_resumed(corpus, tmp_path, change, message):
    stopped(corpus, tmp_path / "out")
    path = tmp_path / "out.checkpoint" / "000001" / STATE
    record = json.loads(path.read_text())
    change(record)
    write_record(path, record)
    with (
        pytest.raises(FormatError, match=message),
        Checkpoints(tmp_path / "out", resume=True) as checkpoints,
    ):
        train(config_for(), corpus, checkpoints=checkpoints)


def test_a_number_that_changed_is_noticed(corpus, tmp_path):
    stopped(corpus, tmp_path / "out")
    path = tmp_path / "out.checkpoint" / "000001" / STATE
    text = path.read_text()
    path.write_text(text.replace('"seed": 1', '"seed": 3', 1))
    assert path.read_text() != text
    with pytest.raises(FormatError, match="its checksum is wrong"), Checkpoints(tmp_path / "out", resume=True):
        raise AssertionError("it was entered")


# ---- The command. ----

KILLS = int(os.environ.get("W2V_TEST_KILLS", "1"))
EPOCHS_TO_KILL = {"ns": 6, "hs": 4, "class": 1, "adaptive": 1, "full": 1}


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Enough to train for a second or two."""
    rng = np.random.default_rng(7)
    words = np.char.add("word", (rng.zipf(1.3, 600_000) % 20_000).astype(str))
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(" ".join(line) for line in words.reshape(-1, 20)) + "\n")
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    return {**os.environ, "W2V_CACHE": str(tmp_path_factory.mktemp("cache"))}


def command(text: Path, out: Path, *more: str) -> list[str]:
    options = ["--device", "cpu", "--threads", "1", "--epochs", "4", "--checkpoint-minutes", "0.002"]
    return [sys.executable, "-m", "w2v", "train", str(text), "-o", str(out), *options, *more]


def trained(text: Path, out: Path, environment: dict[str, str], *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(text, out, *more), env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def killed_while_it_trains(
    arguments: list[str], environment: dict[str, str], number: int, metrics: Path, later: float
) -> tuple[int, str]:
    """Send a signal so many seconds after the run began to train; exit code and what was said."""
    before = metrics.stat().st_size if metrics.exists() else 0
    # A shell that runs this in the background has had Ctrl-C ignored, which children inherit.
    process = subprocess.Popen(
        arguments, env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size > before):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(later)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, said


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_killed_at_random_moments_it_always_ends_with_the_same_vectors(text, tmp_path, environment, objective):
    """W2V_TEST_KILLS kills of each objective: the moments are random, what comes of them is not."""
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    known, out, metrics = tmp_path / "known", tmp_path / "out", tmp_path / "metrics"
    batches = [] if objective in ("ns", "hs") else ["--batch-pairs", "2000", "--vector-size", "20"]
    options = ["--objective", objective, *batches, "--epochs", str(EPOCHS_TO_KILL[objective])]
    assert trained(text, known, environment, *options).returncode == 0
    resumed = saved = 0
    for _ in range(KILLS):
        number = rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        arguments = command(text, out, *options, "--resume", "--metrics-jsonl", str(metrics))
        code, said = killed_while_it_trains(arguments, environment, number, metrics, rng.uniform(0, 0.5))
        resumed += "resumed from" in said
        saved += any((tmp_path / "out.checkpoint").glob("[0-9]*"))
        assert code in (0, -number, 128 + number), (seed, code, said)
        assert "Traceback" not in said, (seed, said)
    done = trained(text, out, environment, *options, "--resume")
    assert done.returncode == 0, (seed, done.stderr)
    assert saved == 0 or "resumed from" in done.stderr or resumed, (seed, done.stderr)
    for name in sorted(path.name for path in known.glob("*.npy")):
        assert (out / name).read_bytes() == (known / name).read_bytes(), (seed, name)
    found, expected = (json.loads((folder / "training.json").read_text()) for folder in (out, known))
    for name in SAME:
        assert found[name] == expected[name], (seed, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["known", "metrics", "out"], seed


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_saves_a_checkpoint(text, tmp_path, environment, number, expected):
    out = tmp_path / "out.bin"
    slow = ["--epochs", "400", "--checkpoint-minutes", "60"]
    process = subprocess.Popen(
        command(text, out, *slow, "--metrics-jsonl", str(tmp_path / "metrics")), env=environment,
        stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    metrics = tmp_path / "metrics"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and '"report"' in metrics.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == expected, said
    assert "w2v: interrupted: the checkpoint in" in said.splitlines()[-1]
    assert "of 400 epochs: go on with --resume" in said.splitlines()[-1]
    assert not out.exists()
    assert (tmp_path / "out.bin.checkpoint" / "000001").is_dir()


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("W2V_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.txt"
    path.write_text("one two three four five six\nseven one two three\n" * 40)
    return path


def command_in_process(*arguments: object, error: type[Exception] | None = None):
    return run(train_command, *arguments, "--device", "cpu", "--threads", 1, error=error)


@pytest.mark.parametrize("name", ["model", "model.bin"])
def test_resuming_a_finished_run(tiny, tmp_path, name):
    out = tmp_path / name
    first = command_in_process(tiny, "-o", out, "--resume")
    assert f"no checkpoint in {out}.checkpoint yet: training from the beginning" in first.stderr
    before = {path: path.read_bytes() for path in tmp_path.rglob("model*") if path.is_file()}
    again = command_in_process(tiny, "-o", out, "--resume")
    alone = "there, and no run to it was left unfinished" if name.endswith(".bin") else "finished"
    assert again.stderr.splitlines()[-1].startswith(f"{out} is {alone}: there is nothing to resume")
    assert {path: path.read_bytes() for path in before} == before
    command_in_process(tiny, "-o", out)  # without --resume it is trained anew


def test_resuming_where_another_model_is(tiny, tmp_path):
    out = tmp_path / "model"
    command_in_process(tiny, "-o", out)
    result = command_in_process(tiny, "-o", out, "--epochs", 7, "--resume", error=TrainingError)
    assert "is a finished model of another run: --epochs was 5 and is 7: leave out --resume" in str(result.exception)
    tiny.write_text(tiny.read_text() + "eight nine one two\n" * 5)
    result = command_in_process(tiny, "-o", out, "--resume", error=TrainingError)
    assert "the vocabulary differs (it had 7 words and has 9), the corpus differs" in str(result.exception)


def test_a_run_that_fails_leaves_no_folder(tiny, tmp_path):
    command_in_process(tiny, "-o", tmp_path / "model", "--min-count", 1000, error=Exception)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("model")) == []


def test_a_file_of_vectors_does_not_tell_which_run_wrote_it(tiny, tmp_path):
    out = tmp_path / "old.txt"
    out.write_text("2 2\nsomeone 1 2\nelse 3 4\n")
    result = command_in_process(tiny, "-o", out, "--objective", "hs", "--resume")
    assert "no run to it was left unfinished: there is nothing to resume" in result.stderr.splitlines()[-1]
    # As after a kill before the first checkpoint.
    (tmp_path / "old.txt.checkpoint").mkdir()
    (tmp_path / "old.txt.checkpoint" / "lock").touch()
    result = command_in_process(tiny, "-o", out, "--objective", "hs", "--resume")
    assert "training from the beginning" in result.stderr
    assert out.read_text().startswith("7 100\n")
    assert not (tmp_path / "old.txt.checkpoint").exists()


def test_a_run_killed_before_its_first_checkpoint_begins_again_beside_an_older_model(tiny, tmp_path):
    out = tmp_path / "model"
    command_in_process(tiny, "-o", out)
    (tmp_path / "model.checkpoint").mkdir()
    (tmp_path / "model.checkpoint" / "lock").touch()
    result = command_in_process(tiny, "-o", out, "--epochs", 7, "--resume")
    assert "training from the beginning" in result.stderr
    assert load_model_folder(out).config["epochs"] == 7


@pytest.mark.parametrize("damage", [{"asked": [1]}, {"corpus": [1]}, {"asked": {"epochs": "many"}}, {"asked": 5}])
def test_resuming_where_a_damaged_model_is(tiny, tmp_path, damage):
    out = tmp_path / "model"
    command_in_process(tiny, "-o", out)
    path = out / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    result = command_in_process(tiny, "-o", out, "--resume", error=FormatError)
    assert "its config.json is damaged: leave out --resume" in str(result.exception)


def test_output_beside_the_text_can_be_resumed(tiny, tmp_path, monkeypatch):
    """Checkpoints are no text, nor does the folder's content differ by them."""
    folder = tmp_path / "texts"
    folder.mkdir()
    tiny.rename(folder / "tiny.txt")
    saves = []
    write = CheckpointFolder.write

    def interrupted(self, *arguments):
        write(self, *arguments)
        saves.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointFolder, "write", interrupted)
    options = ("--checkpoint-minutes", "1e-9", "--min-count", 1)
    command_in_process(folder, "-o", folder / "model", *options, error=SystemExit)
    assert len(saves) == 1
    monkeypatch.undo()
    monkeypatch.setenv("W2V_CACHE", str(tmp_path / "cache"))
    result = command_in_process(folder, "-o", folder / "model", *options, "--resume")
    assert "resumed from" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["model", "tiny.txt"]


def test_the_present_folder_as_output(tiny, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    command_in_process(tiny, "-o", ".")
    assert load_model_folder(here).config["epochs"] == 5
    assert not (tmp_path / "here.checkpoint").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_kernels_are_compiled(text, tmp_path, environment, number):
    """With nothing compiled yet, as a new user has it: LLVM's callbacks would swallow the exception."""
    compiled = tmp_path / "compiled"
    process = subprocess.Popen(
        command(text, tmp_path / "out", "--objective", "hs"),
        env={**environment, "NUMBA_CACHE_DIR": str(compiled)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and not list(compiled.rglob("*.nbc")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 2))
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 128 + number, said
    assert said.splitlines()[-1].startswith("w2v: interrupted")
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert not (tmp_path / "out").exists()


def test_an_interruption_while_the_model_is_written_waits_for_it(tiny, tmp_path, monkeypatch, request):
    """It would leave temporary names; the second one does not wait."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    from w2v.training.driver import TrainedModel

    save, out = TrainedModel.save, tmp_path / "model"

    def interrupted(self, path, signals=1):
        for _ in range(signals):
            signal.raise_signal(signal.SIGINT)
        save(self, path)

    monkeypatch.setattr(TrainedModel, "save", interrupted)
    result = command_in_process(tiny, "-o", out)
    assert result.stderr.splitlines()[-1].startswith(f"saved to {out}")
    assert not (tmp_path / "model.checkpoint").exists()
    monkeypatch.setattr(TrainedModel, "save", lambda self, path: interrupted(self, path, 2))
    command_in_process(tiny, "-o", tmp_path / "second", error=SystemExit)
    assert not (tmp_path / "second").exists()
    assert (tmp_path / "second.checkpoint" / "000001").is_dir()


ENDING = """
import atexit, os, signal, sys
from w2v.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)
atexit.register(os.kill, os.getpid(), int(sys.argv.pop()))
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["train"], 2)])
def test_an_interruption_as_the_process_ends_changes_nothing(arguments, code, number):
    """All is done by then: it would only be printed, as a traceback."""
    command = [sys.executable, "-c", ENDING, *arguments, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_killed_run_left_beside_the_output_goes_when_the_next_one_begins(tmp_path):
    """Not only when that one ends: it may be stopped, too, and what is left be large."""
    for name in (".out.tmp-01234567", ".out.old-89abcdef", ".other.tmp-01234567"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "out").mkdir()
    with Checkpoints(tmp_path / "out"):
        assert {path.name for path in tmp_path.glob(".o*")} == {".other.tmp-01234567"}
