"""scripts/soak: that it counts what holds, and that what does not hold is a failure."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2v.vectors import KeyedVectors, save_vectors

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

import soak_commands  # noqa: E402
from soak_checks import (  # noqa: E402
    fingerprint,
    require_clean,
    require_clean_folder,
    require_like_model,
    require_same_model,
    require_sound,
    require_unchanged,
    same_vectors,
)
from soak_commands import BrokenError, Commands, Ended  # noqa: E402
from soak_damage import KINDS, damage  # noqa: E402
from soak_kills import check_stopped, is_there, kill_loop  # noqa: E402
from soak_ledger import Ledger, write_record  # noqa: E402
from soak_memory import growth  # noqa: E402
from soak_mixed import OPERATIONS, again, mixed  # noqa: E402
from soak_place import Operation, Settings, Workplace  # noqa: E402

sys.path.remove(str(SCRIPTS))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a soak sends signals")


@pytest.fixture
def model(tmp_path):
    """A model folder as a run leaves it, of 40 words."""
    path = tmp_path / "model"
    path.mkdir()
    rng = np.random.default_rng(0)
    for name in ("input_vectors", "output_vectors"):
        np.save(path / f"{name}.npy", rng.standard_normal((40, 6), dtype=np.float32))
    (path / "vocabulary.tsv").write_text("".join(f"w{row}\t{99 - row}\n" for row in range(40)))
    record = {"loss": [3.0, 2.5], "pairs": 70, "kept_words": 50, "heldout_nll": None, "seconds": {"train": 1.0}}
    (path / "training.json").write_text(json.dumps(record))
    (path / "config.json").write_text(json.dumps({"epochs": 2, "vector_size": 6}))
    return path


class Untrained(Workplace):
    """A place whose good model was not trained."""

    def _train_good(self):
        self.package = self.folder
        self.good.mkdir()
        (self.good / "vectors").write_text("1 2 3\n")
        self.good_files = {self.good: fingerprint(self.good)}
        self.texts_before = fingerprint(self.texts)
        self.words = ["a", "b", "c"]


@pytest.fixture
def place(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("a b c a b\n" * 20)
    folder = tmp_path / "soak"
    folder.mkdir()
    return Untrained(folder, corpus, Settings(seed=3), Ledger(folder / "log.tsv"))


def faked(work: Operation, code: str) -> Operation:
    """Let the operation start a program of Python in the place of w2v."""
    work.commands.program = (sys.executable, "-c", code)
    return work


# --- damage ---


@pytest.mark.parametrize("data", [b"", b"x", bytes(200), b"40 6\n" + bytes(range(256)) * 20])
def test_damaged_files_differ_or_are_gone(tmp_path, data):
    path, seen = tmp_path / "file", set()
    for seed in range(80):
        path.write_bytes(data)
        seen.add(damage(path, random.Random(seed)).split(f" {path.name}")[0])
        assert not path.exists() or path.read_bytes() != data
    assert {"add to", "delete"} <= seen <= set(KINDS)
    assert data == b"" or len(seen) > 5


def test_damage_is_the_same_for_a_seed(tmp_path):
    found = []
    for name in ("one", "two"):
        path = tmp_path / name / "file"
        path.parent.mkdir()
        path.write_bytes(bytes(1000))
        found.append((damage(path, random.Random(7)), path.exists() and path.read_bytes()))
    assert found[0] == found[1]


# --- how commands end ---


def ended(code: int, stderr: str, sent: signal.Signals | None = None) -> Ended:
    return Ended(["w2v", "train"], code, "", stderr, 1.0, sent)


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (0, ""),
        (1, "w2v: warning: a\nw2v: it is damaged: remove it\n"),
        (1, "2,223 words kept\nw2v: it is damaged: remove it\n"),
        (2, "Usage: w2v train\nTry\n\nError: Invalid value for '--alpha'\n"),
    ],
)
def test_good_ends_pass(code, stderr):
    found = ended(code, stderr)
    assert found.check(0, 1, 2) is found


@pytest.mark.parametrize(
    ("code", "stderr", "message"),
    [
        (3, "", "expected exit code 0 or 1"),
        (-signal.SIGSEGV, "", "expected exit code"),
        (0, "Traceback (most recent call last):\n", "Traceback"),
        (0, "/x.py:3: RuntimeWarning: overflow\n", "Warning:"),
        (1, "", "no error of one line"),
        (1, "w2v: one\nw2v: two\n", "no error of one line"),
        (1, "w2v: one\nsomething else\n", "no error of one line"),
        (1, "Usage: w2v\nError: x\n", "no error of one line"),
    ],
)
def test_bad_ends_are_broken(code, stderr, message):
    with pytest.raises(BrokenError, match=message):
        ended(code, stderr).check(0, 1)


def test_words_that_are_not_said_are_broken():
    assert ended(1, "w2v: --seed was 1 and is 2\n").says("--seed", "was 1")
    with pytest.raises(BrokenError, match="'--epochs' is not on stderr"):
        ended(1, "w2v: --seed was 1 and is 2\n").says("--seed", "--epochs")


def test_only_a_signal_before_the_command_began_excuses_a_traceback():
    importing = 'Traceback\n File "w2v/cli/__init__.py", line 9, in <module>\nKeyboardInterrupt\n'
    running = 'Traceback\n File "w2v/cli/__init__.py", line 58, in main\n    cli.main()\nKeyboardInterrupt\n'
    assert ended(-signal.SIGINT, importing, signal.SIGINT).early
    assert ended(-signal.SIGTERM, "", signal.SIGTERM).early
    assert not ended(-signal.SIGINT, running, signal.SIGINT).early
    assert not ended(-signal.SIGINT, importing).early
    assert not ended(-signal.SIGKILL, "", signal.SIGKILL).early
    assert not ended(130, "w2v: interrupted\n", signal.SIGINT).early
    saved = ended(-signal.SIGTERM, "saved to out (2.0 s in all)\n", signal.SIGTERM)
    assert (saved.early, saved.late) == (False, True)
    trace = 'saved to out\n File "w2v/cli/__init__.py", line 58, in main\n'
    assert not ended(-signal.SIGTERM, trace, signal.SIGTERM).late


def test_a_command_that_hangs_is_killed_and_broken(tmp_path):
    running = Commands(tmp_path, {}, program=(sys.executable, "-c", "import time; time.sleep(60)")).start()
    with pytest.raises(BrokenError, match="still running after 0.3 s"):
        running.wait(0.3)
    assert not running.alive()


def test_commands_are_stopped_at_their_moment_and_others_end_by_themselves(tmp_path, monkeypatch):
    code = "import pathlib, time; pathlib.Path('ready').touch(); time.sleep(60)"
    commands = Commands(tmp_path, {}, program=(sys.executable, "-c", code))
    found = commands.start("a", "b c").stop_when(lambda passed: is_there(tmp_path, "rea*"), signal.SIGTERM)
    assert (found.code, found.sent) == (-signal.SIGTERM, signal.SIGTERM)
    assert commands.done == ["w2v a 'b c'"]
    commands.program = (sys.executable, "-c", "print(7)")
    found = commands.start().stop_when(lambda passed: False, signal.SIGKILL)
    assert (found.code, found.sent, found.stdout) == (0, None, "7\n")
    monkeypatch.setattr(soak_commands, "LONGEST", 0.2)
    commands.program = (sys.executable, "-c", code)
    with pytest.raises(BrokenError, match="still running"):
        commands.start().stop_when(lambda passed: False, signal.SIGKILL)


def test_files_may_be_limited(tmp_path):
    code = "open('file', 'wb', buffering=0).write(bytes(5000)) < 5000 and exit(9)"
    commands = Commands(tmp_path, {}, limit=1024, program=(sys.executable, "-c", code))
    assert commands.run().code == 9
    commands.limit = None
    assert commands.run().code == 0


# --- what must hold ---


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("output_vectors.npy", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("vocabulary.tsv", lambda data: data.replace(b"w3\t", b"x3\t")),
        ("training.json", lambda data: data.replace(b"2.5", b"2.500001")),
        ("training.json", lambda data: data.replace(b"70", b"71")),
        ("output_vectors.npy", None),
    ],
)
def test_models_that_differ_are_broken(model, name, change):
    other = Path(shutil.copytree(model, model.with_name("other")))
    require_same_model(model, other)
    if change is None:
        (other / name).unlink()
    else:
        (other / name).write_bytes(change((other / name).read_bytes()))
    with pytest.raises(BrokenError, match=str(other)):
        require_same_model(model, other)


def test_models_of_several_threads_may_differ_by_a_band(model):
    other = Path(shutil.copytree(model, model.with_name("other")))
    path = other / "training.json"
    path.write_text(path.read_text().replace("2.5", "2.51"))
    require_like_model(model, other)
    path.write_text(path.read_text().replace("2.51", "NaN"))
    with pytest.raises(BrokenError, match="the loss"):
        require_like_model(model, other)
    shutil.copy(model / "training.json", path)
    np.save(other / "input_vectors.npy", np.ones((40, 6), np.float32))
    with pytest.raises(BrokenError, match="cosine"):
        require_like_model(model, other)


def test_unsound_models_are_broken(model):
    require_sound(model)
    vectors = np.load(model / "input_vectors.npy")
    vectors[7, 2] = np.nan
    np.save(model / "input_vectors.npy", vectors)
    with pytest.raises(BrokenError, match="not all finite"):
        require_sound(model)


def test_changes_are_found_by_name(model):
    before = fingerprint(model)
    require_unchanged(model, before)
    (model / "config.json").write_text("{}")
    (model / "new").touch()
    with pytest.raises(BrokenError, match=r"config\.json, new"):
        require_unchanged(model, before)
    shutil.rmtree(model)
    with pytest.raises(BrokenError, match="changed"):
        require_unchanged(model, before)


def test_what_is_left_behind_is_found(tmp_path):
    output = tmp_path / "out"
    (tmp_path / ".other.tmp-01234567").touch()
    require_clean(output)
    checkpoints = tmp_path / "out.checkpoint"
    checkpoints.mkdir()
    require_clean(output, finished=False)
    with pytest.raises(BrokenError, match=r"out\.checkpoint"):
        require_clean(output)
    (checkpoints / ".000003.tmp").mkdir()
    with pytest.raises(BrokenError, match=r"\.000003\.tmp"):
        require_clean(output, finished=False)
    shutil.rmtree(checkpoints)
    (tmp_path / ".out.tmp-01234567").touch()
    with pytest.raises(BrokenError, match="tmp-01234567"):
        require_clean(output)
    with pytest.raises(BrokenError, match="tmp-01234567"):
        require_clean_folder(tmp_path, ".out*")


def test_vectors_are_compared_across_formats(tmp_path):
    rows = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    for name in ("a.bin", "b.txt"):
        save_vectors(tmp_path / name, KeyedVectors.from_arrays(list("vwxyz"), rows))
    rows[4, 1] += 0.01
    save_vectors(tmp_path / "c.bin", KeyedVectors.from_arrays(list("vwxyz"), rows))
    same_vectors(tmp_path / "a.bin", tmp_path / "b.txt", exactly=False)
    with pytest.raises(BrokenError, match="other numbers"):
        same_vectors(tmp_path / "b.txt", tmp_path / "c.bin", exactly=False)


def test_memory_that_grows_is_seen_and_its_beginning_is_not():
    flat = [5, 90, *[100] * 48]
    assert growth(flat) == 0
    assert growth([size + 7 * epoch for epoch, size in enumerate(flat)]) == 7 * 38


# --- operations ---


def test_an_operation_that_holds_is_counted_and_leaves_nothing(place):
    def fine(work):
        work.fault("SIGKILL", "at noon")
        work.outcome("survived it")
        faked(work, "print('hello')").run("info").check(0)

    place.operate("fine", 4, fine)
    row = place.ledger.rows["fine"]
    assert (row.run, row.faults, row.survived, row.failures) == (1, 1, 1, 0)
    assert place.ledger.faults == {"SIGKILL": 1}
    assert not (place.folder / "fine-4").exists()
    assert "fine:4\tok\t" in place.ledger.log.read_text()


def _traceback(work):
    faked(work, "raise SystemExit(1 / 0)").run("similar", "m").check(0, 1)


def _changes_good(work):
    (work.place.good / "vectors").write_text("1 2 4\n")


def _changes_text(work):
    work.place.small.write_text("")


def _leaves_temporary(work):
    (work.temporary / "w2v-corpus-1").mkdir()


def _raises(work):
    raise KeyError("surprise")


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (_traceback, "Traceback"),
        (_changes_good, "good changed: vectors"),
        (_changes_text, "texts changed: small.txt"),
        (_leaves_temporary, "w2v-corpus-1"),
        (_raises, "KeyError"),
    ],
)
def test_an_operation_that_does_not_hold_is_a_failure_and_the_next_one_comes(place, operation, message):
    def broken(work):
        work.fault("first")
        work.fault("second")
        operation(work)

    place.operate("broken", 0, broken)
    row = place.ledger.rows["broken"]
    assert (row.run, row.faults, row.survived, row.failures) == (1, 2, 1, 1)
    (failure,) = place.ledger.failures
    assert message in failure.message
    assert message in (place.folder / "broken-0" / "commands.txt").read_text()
    assert "FAILED" in place.ledger.log.read_text()
    place.good_files, place.texts_before = {}, fingerprint(place.texts)
    place.operate("fine", 1, lambda work: None)
    assert place.ledger.rows["fine"].failures == 0
    assert place.ledger.total().run == 2


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (ended(1, "w2v: no\n", signal.SIGTERM), "expected exit code 143"),
        (ended(143, "bye\n", signal.SIGTERM), "'w2v: interrupted' is not on stderr"),
        (ended(143, "w2v: interrupted: the checkpoint in x has 1 of 2\n", signal.SIGTERM), "holds 0 checkpoints"),
        (ended(-signal.SIGKILL, " in main\n", signal.SIGINT), "expected exit code 130"),
    ],
)
def test_a_run_that_ends_otherwise_than_its_signal_says_is_broken(place, end, message):
    (place.folder / "x").mkdir()
    with pytest.raises(BrokenError, match=message):
        check_stopped(Operation(place, place.folder / "x", random.Random(0)), end)


def test_too_few_kills_are_a_failure(place, monkeypatch):
    monkeypatch.setattr("soak_kills.make_reference", lambda *kind: None)
    monkeypatch.setattr("soak_kills.kill_round", lambda work, *kind: None)
    kill_loop(place, [("ns", "skipgram")], 2)
    assert place.ledger.failures[-1].message == "0 runs were killed, and 2 were to be"


def test_a_round_without_its_reference_is_a_failure(place, monkeypatch):
    monkeypatch.setattr("soak_kills.make_reference", lambda *kind: None)
    kill_loop(place, [("hs", "cbow")], 1)
    assert place.ledger.rows["kill-one-thread"].failures == place.ledger.rows["kill-one-thread"].run > 0
    assert place.ledger.failures[0].message == "there is no reference run of hs cbow with 1 threads"


def test_the_order_follows_from_the_seed(place, monkeypatch):
    orders = []
    for _ in range(2):
        done = []
        monkeypatch.setattr(place, "operate", lambda name, number, operation, done=done: done.append(name))
        clock = iter(range(100))
        monkeypatch.setattr("soak_mixed.time.monotonic", lambda clock=clock: next(clock))
        mixed(place, 60)
        orders.append(done)
    assert orders[0] == orders[1]
    assert len(orders[0]) == 61
    assert len(set(orders[0])) > 12
    with pytest.raises(ValueError, match="give NAME:NUMBER"):
        again(place, "nothing")
    again(place, "convert:7")
    assert orders[1][-1] == "convert"
    assert "convert" in OPERATIONS


def test_the_whole_script_counts_kills_and_writes_its_record(tmp_path):
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 121)
    words = rng.choice(120, (700, 12), p=shares / shares.sum())
    corpus, output = tmp_path / "corpus.txt", tmp_path / "soak.json"
    corpus.write_text("\n".join(" ".join(f"w{word}" for word in line) for line in words) + "\n")
    done = subprocess.run(
        [
            *(sys.executable, SCRIPTS / "soak", "--minutes", "0", "--kills", "1", "--fuzz-cases", "0", "--no-memory"),
            *("--run-seconds", "0.2", "--corpus", corpus, "--output", output, "--keep", tmp_path / "kept"),
            *("--seed", "3"),
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(output.read_text())
    assert record["operations"]["kill-one-thread"]["survived"] >= 1
    assert record["total"]["failures"] == 0
    assert sum(record["faults"].values()) == record["total"]["faults"] == record["total"]["survived"]
    assert "kill-one-thread" in done.stdout
    assert "0 failures" in done.stdout
    page = output.with_suffix(".md").read_text()
    assert "| kill-one-thread | " in page
    assert "- processor: " in page


def test_a_page_tells_of_failures(tmp_path, place):
    place.operate("broken", 0, _raises)
    record = {"machine": {"processor": "x"}, **place.ledger.record(), "fuzz": {"printed": "reader  cases\nbin  9"}}
    write_record(tmp_path / "r.json", record)
    page = (tmp_path / "r.md").read_text()
    assert "- broken:0: KeyError: 'surprise'" in page
    assert "reader  cases" in page
    assert json.loads((tmp_path / "r.json").read_text())["failures"][0]["operation"] == "broken"
