"""``w2v compare``: runs side by side, their record, what interrupts and refuses it, and the sums over seeds."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from w2v.cli import cli
from w2v.cli.compare import _command_line
from w2v.comparison import launch, session
from w2v.comparison.hashes import sha256_of_array, sha256_of_draw
from w2v.comparison.launch import launch as launch_run
from w2v.comparison.machine import busy_line, peak_host_bytes
from w2v.comparison.plan import EvaluationFile, Plan, RunSpec, check_points, default_points
from w2v.comparison.record import check_same, dump, load_record
from w2v.comparison.scores import Scorer, files_of_folder, name_files
from w2v.comparison.summary import (
    default_targets,
    equal_seconds,
    mean_sd,
    score_at,
    seconds_to,
    summarise,
)
from w2v.comparison.tables import align, people_tables, runs_table, summary_table
from w2v.comparison.words import counted, epochs_span, epochs_text
from w2v.comparison.worker import blank_entry, finish_entry
from w2v.config import TrainConfig
from w2v.corpus import EncodedCorpus, Vocabulary
from w2v.errors import ConfigError, EvaluationError, FormatError, OutputError
from w2v.vectors import KeyedVectors

WORDS = 60
OBJECTIVES = ["ns", "hs", "class", "adaptive", "full"]
FAST = ["--vector-size", "12", "--epochs", "2", "--threads", "1", "--min-count", "1", "--device", "cpu"]


def write_corpus(folder):
    """Lines on one of two topics, and files to score by: words of a topic are alike."""
    rng = np.random.default_rng(0)
    topics = np.array([[f"{name}{number}" for number in range(WORDS // 2)] for name in ("left", "right")])
    lines = [" ".join(rng.choice(topics[line % 2], 10)) for line in range(500)]
    text = folder / "text.txt"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = folder / "pairs.tsv"
    rows = [f"left{number}\tleft{number + 1}\t9\nleft{number}\tright{number}\t1" for number in range(20)]
    pairs.write_text("\n".join([*rows, "absent\tleft0\t5"]) + "\n", encoding="utf-8")
    questions = folder / "questions.txt"
    questions.write_text(": sides\nleft0 right0 left1 right1\nleft2 right2 left3 right3\n", encoding="utf-8")
    return text, pairs, questions


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path)


def invoke(*arguments):
    return CliRunner().invoke(cli, ["compare", *map(str, arguments)])


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """All objectives on a small text: the folder, and what the command said."""
    folder = tmp_path_factory.mktemp("compared")
    text, pairs, questions = write_corpus(folder)
    environment = {**os.environ, "W2V_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "w2v", "compare", text, "-o", folder / "out", *FAST, "--heldout", "0.1"]
    files = ["--pairs", pairs, "--analogies", questions, "--points", "0.5,1", "--target", "pairs=1"]
    result = subprocess.run(
        [*map(str, [*command, *files, "--batch-pairs", "300", "--classes", "5", "--cutoffs", "10,30"])],
        capture_output=True, text=True, env=environment, timeout=300, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder / "out", result, environment


def test_all_objectives_begin_from_one_draw_on_one_corpus(compared):
    record = load_record(compared[0])
    assert [run["name"] for run in record["runs"]] == [f"skipgram-{name}-1" for name in OBJECTIVES]
    assert {run["status"] for run in record["runs"]} == {"done"}
    assert len({run["initial_sha256"] for run in record["runs"]}) == 1
    assert len({run["vectors_sha256"] for run in record["runs"]}) == 5
    assert len({run["words"] for run in record["runs"]}) == 1
    corpus = record["corpus"]
    assert {run["heldout_sha256"] for run in record["runs"]} == {corpus["heldout_sha256"]}
    assert corpus["heldout_tokens"] == 10 * corpus["heldout_sentences"] > 0
    assert record["runs"][0]["words"] == 2 * (5000 - corpus["heldout_tokens"])
    assert all(len(value) == 64 for value in (corpus["vocabulary_sha256"], corpus["heldout_sha256"]))
    assert not corpus["cached"]
    assert record["finished"] >= record["created"]
    assert "/" not in record["command"].replace("…/", "")
    assert record["machine"]["versions"]["numpy"] == np.__version__


def test_what_a_run_records(compared):
    record = load_record(compared[0])
    assert [(item["name"], item["covered"], item["total"]) for item in record["evaluation"]] == [
        ("pairs", 40, 41),
        ("questions", 2, 2),
    ]
    for run in record["runs"]:
        seconds = run["seconds"]
        assert seconds["train"] > 0
        assert seconds["evaluate"] > 0
        assert seconds["encode"] == record["corpus"]["seconds"]["encode"] > 0
        assert seconds["total"] >= sum(value for name, value in seconds.items() if name != "total") * 0.999
        assert run["words_per_second"] == pytest.approx(run["words"] / seconds["train"])
        assert run["pairs_per_second"] == pytest.approx(run["pairs"] / seconds["train"])
        assert 30e6 < run["peak_host_bytes"] < 2e9
        assert run["peak_device_bytes"] is None
        assert [round(point["epochs"], 1) for point in run["points"]] == [0.5, 1.0, 2.0]
        assert run["points"][-1]["words"] == run["words"]
        assert run["points"][-1]["seconds"] <= seconds["train"]
        assert run["points"][-1]["heldout_nll"] == run["heldout_nll"]
        normalised = run["objective"] != "ns"
        assert (run["heldout_nll"] is not None) == normalised
        assert not normalised or 3 < run["heldout_nll"] < run["heldout_unigram_nll"] + 0.1
    own = {run["objective"]: run["config"] for run in record["runs"]}
    assert [own[name]["batch_pairs"] for name in OBJECTIVES] == [None, None, 300, 300, 300]
    assert (own["class"]["classes"], own["adaptive"]["classes"]) == (5, None)
    assert [own[name]["alpha"] for name in OBJECTIVES] == [0.04, 0.0375, 0.2, 0.2, 0.2]


def test_what_the_command_prints(compared):
    out, result, _ = compared
    record = load_record(out)
    header, *rows = (line.split("\t") for line in result.stdout.splitlines())
    assert [row[0] for row in rows] == [f"skipgram-{name}" for name in OBJECTIVES]
    assert "pairs (40 of 41)" in header
    assert "questions (2 of 2)" in header
    nats, loss = header.index("nats_per_pair"), header.index("ns_loss")
    assert [bool(row[nats]) for row in rows] == [False, True, True, True, True]
    assert [bool(row[loss]) for row in rows] == [True, False, False, False, False]
    assert float(rows[1][nats]) == pytest.approx(record["summary"][1]["heldout_nll"]["mean"], rel=1e-5)
    for number, name in enumerate(OBJECTIVES, 1):
        assert f"{number}/5 skipgram-{name} seed 1: " in result.stderr
    assert "epoch" not in result.stderr.replace("epochs", "")
    assert record["targets"]["pairs"] == 1
    assert {"compare.json", "compare.csv", "points.csv", "report.html"} <= {path.name for path in out.iterdir()}


def test_csv_files_say_what_json_says(compared):
    out = compared[0]
    record = load_record(out)
    header, rows = read_csv(out / "compare.csv")
    expected_header, expected = runs_table(record)
    assert header == list(expected_header)
    assert rows == [["" if cell is None else str(cell) for cell in row] for row in expected]
    for row, run in zip(rows, record["runs"], strict=True):
        found = dict(zip(header, row, strict=True))
        assert float(found["train_seconds"]) == run["seconds"]["train"]
        assert float(found["pairs"]) in (run["pairs"], run["points"][-1]["scores"]["pairs"])
        assert bool(found["ns_loss"]) == (run["objective"] == "ns") == (not found["loss"])
    header, rows = read_csv(out / "points.csv")
    points = [(run["name"], point) for run in record["runs"] for point in run["points"]]
    assert [(row[0], float(row[header.index("seconds")])) for row in rows] == [
        (name, point["seconds"]) for name, point in points
    ]


def test_summary_of_the_record_is_what_its_runs_come_to(compared):
    record = load_record(compared[0])
    assert record["summary"] == json.loads(dump(summarise(record["runs"], record["targets"])))


def test_resuming_what_is_complete_writes_tables_and_report_anew(compared):
    out, result, environment = compared
    before = load_record(out)
    for name in ("compare.csv", "report.html"):
        (out / name).unlink()
    text = out.parent / "text.txt"
    command = [
        sys.executable,
        "-m",
        "w2v",
        "compare",
        text,
        "-o",
        out,
        *FAST,
        "--heldout",
        "0.1",
        "--resume",
        "--json",
    ]
    files = ["--pairs", out.parent / "pairs.tsv", "--analogies", out.parent / "questions.txt", "--points", "0.5,1"]
    again = subprocess.run(
        [*map(str, [*command, *files, "--batch-pairs", "300", "--classes", "5", "--cutoffs", "10,30"])],
        capture_output=True, text=True, env=environment, timeout=100, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "5 of 5 runs done already: table and report are written anew" in again.stderr
    after = load_record(out)
    assert after["runs"] == before["runs"]
    assert after["corpus"] == before["corpus"]
    assert after["finished"] == before["finished"]
    assert json.loads(again.stdout) == after["summary"] == before["summary"]
    assert (out / "compare.csv").is_file()
    assert (out / "report.html").is_file()


# --- runs that end badly ---


def spec_for(folder, **options):
    """A run on a corpus that does not have to be there."""
    values = {"system": "w2v", "model": "skipgram", "objective": "ns", "seed": 1, "points": (1.0,), "corpus": folder}
    return RunSpec(**{**values, "config": TrainConfig(epochs=1, threads=1, device="cpu"), **options})


def test_a_run_is_told_everything(tmp_path):
    spec = spec_for(
        tmp_path / "corpus",
        config=TrainConfig(objective="adaptive", cutoffs="3,9", seed=2**64 - 1, heldout=0.1),
        evaluation=(EvaluationFile("ä", "pairs", Path("ä.tsv")),),
        points=(0.25, 1.0),
    )
    assert RunSpec.from_json(spec.to_json()) == spec


def test_a_run_that_cannot_be_done_is_a_line(tmp_path):
    entry = launch_run(spec_for(tmp_path / "absent"), tmp_path)
    assert entry["status"] == "failed"
    assert "absent" in entry["error"]
    assert "\n" not in entry["error"]
    assert (entry["name"], entry["points"]) == ("skipgram-ns-1", [])


def test_the_worker_by_hand(tmp_path):
    spec, result = tmp_path / "spec.json", tmp_path / "result.json"
    spec.write_text(spec_for(tmp_path / "absent").to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "w2v.comparison.worker", spec, result]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, cwd=Path(__file__).parent.parent, timeout=100)
    assert json.loads(result.read_text("utf-8"))["status"] == "failed"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_killed_run_is_a_line(tmp_path, monkeypatch):
    started = []
    start = subprocess.Popen

    def watched(*arguments, **options):
        started.append(start(*arguments, **options))
        threading.Timer(0.2, started[0].kill).start()
        return started[0]

    monkeypatch.setattr(launch.subprocess, "Popen", watched)
    entry = launch_run(spec_for(tmp_path / "absent"), tmp_path)
    assert entry["status"] == "failed"
    assert entry["error"] == "its process was ended by SIGKILL: perhaps for want of memory"
    assert started[0].poll() is not None


def fake_launch(calls, fail=()):
    """In the place of a process: an entry at once."""

    def run(spec, folder):
        calls.append(spec)
        entry = blank_entry(spec)
        if spec.name in fail:
            return {**entry, "status": "failed", "error": "it broke"}
        points = [
            {"epochs": point, "words": int(100 * point), "seconds": point * len(calls),
             "scores": {file.name: 10 * point for file in spec.evaluation}, "heldout_nll": None}
            for point in spec.points
        ]  # fmt: skip
        found = {
            "words": 200,
            "kept_words": 150,
            "pairs": 900,
            "loss": [2.0, 1.5],
            "initial_sha256": "a",
            "points": points,
        }
        return finish_entry(spec, {**entry, **found, "seconds": {"train": 2.0 * len(calls)}}, 3.0)

    return run


@pytest.fixture
def calls(monkeypatch):
    """The runs that were asked for; none is really done, and no report is drawn."""
    found = []
    monkeypatch.setattr(session, "launch", fake_launch(found))
    monkeypatch.setattr(session, "write_report", lambda record, folder: [])
    return found


def test_what_failed_is_run_again(corpus, tmp_path, monkeypatch, calls):
    text, pairs, _ = corpus
    out = tmp_path / "out"
    monkeypatch.setattr(session, "launch", fake_launch(calls, fail=["skipgram-hs-1"]))
    options = [text, "-o", out, *FAST, "--objectives", "ns,hs", "--seeds", "2", "--pairs", pairs]
    result = invoke(*options)
    assert result.exit_code == 1
    assert str(result.exception).startswith("1 of 4 runs failed (skipgram-hs-1)")
    assert "--resume runs them again with the same settings; for other settings choose another folder" in str(
        result.exception
    )
    assert [spec.name for spec in calls] == ["skipgram-ns-1", "skipgram-hs-1", "skipgram-ns-2", "skipgram-hs-2"]
    assert "2/4 skipgram-hs seed 1: failed: it broke" in result.stderr
    record = load_record(out)
    assert [case["seeds"] for case in record["summary"]] == [2, 1]
    header, rows = read_csv(out / "compare.csv")
    assert [row[header.index("error")] for row in rows] == ["", "it broke", "", ""]
    assert "skipgram-hs (1 of 2 seeds)" in people_tables(record)

    calls.clear()
    monkeypatch.setattr(session, "launch", fake_launch(calls))
    result = invoke(*options, "--resume")
    assert result.exit_code == 0, result.output
    assert [spec.name for spec in calls] == ["skipgram-hs-1"]
    names = [run["name"] for run in load_record(out)["runs"]]
    assert names == ["skipgram-ns-1", "skipgram-hs-1", "skipgram-ns-2", "skipgram-hs-2"]


def test_every_run_failing_is_an_error_and_no_table(corpus, tmp_path):
    out = tmp_path / "out"
    result = invoke(corpus[0], "-o", out, *FAST, "--objectives", "hs", "--sample", "1e-9")
    assert result.exit_code == 1
    assert result.stdout == ""
    (run,) = load_record(out)["runs"]
    assert "--sample 0" in run["error"]
    assert load_record(out)["summary"] == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_comparison_keeps_what_it_has_and_goes_on(corpus, tmp_path, number):
    text, pairs, _ = corpus
    out = tmp_path / "out"
    options = [text, "-o", out, *FAST, "--objectives", "hs,ns", "--pairs", pairs]
    running = subprocess.Popen(
        [sys.executable, "-m", "w2v", "compare", *map(str, options)],
        stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=Path(__file__).parent.parent,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        for line in running.stderr:
            if line.startswith("1/2 "):
                break
        time.sleep(0.3)  # the second process is on its way
        running.send_signal(number)
        rest = running.stderr.read()
        running.wait(60)
        wait_for_group(running.pid)
    finally:
        running.kill()
    if number == signal.SIGTERM:
        assert running.returncode == 143
        assert f"1 of 2 runs done, in {out}/compare.json: continue with --resume" in rest
        assert "Traceback" not in rest
        assert len(load_record(out)["runs"]) == 1
        return
    (first,) = load_record(out)["runs"]
    refused = invoke(*options)
    assert refused.exit_code == 1
    assert "--resume" in str(refused.exception)
    assert "vector-size was 12 and is 13" in str(invoke(*options, "--resume", "--vector-size", "13").exception)
    result = invoke(*options, "--resume")
    assert result.exit_code == 0, result.output
    assert "1 of 2 runs done already: 1 to do" in result.stderr
    runs = load_record(out)["runs"]
    assert [run["name"] for run in runs] == ["skipgram-hs-1", "skipgram-ns-1"]
    assert runs[0] == first
    assert runs[1]["initial_sha256"] == first["initial_sha256"]
    assert runs[1]["seconds"]["encode"] == first["seconds"]["encode"] > 0  # not those of the cache
    # What the killed comparison left is gone, and it left nothing elsewhere.
    assert not [path.name for path in [*out.iterdir(), *tmp_path.iterdir()] if path.name.startswith((".run", "w2v-"))]


def wait_for_group(group):
    """Until no process of the group is left."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process of the interrupted comparison is still there")


# --- what is refused, before any run ---


REFUSED = [
    (["--pairs", "absent.tsv"], 1, "no such file: absent.tsv"),
    (["--pairs", "{text}"], 1, "expected two words and a number"),
    (["--analogies", "foreign.txt"], 1, "none of its 1 questions"),
    (["--pairs", "foreign.tsv"], 1, "0 of 2 pairs are in the vocabulary"),
    (["--evaluation", "empty"], 1, "no evaluation files"),
    (["--evaluation", "absent"], 1, "no such folder: absent"),
    (["--evaluation", "{text}"], 1, "text.txt is no folder"),
    (["--pairs", "empty"], 1, "cannot read empty: a folder, a pipe or a device"),
    (["--objectives", "adaptive", "--against", "torch", "--no-shortlist"], 2, "leave out --against torch"),
    (["--objectives", "ns,magic"], 2, "'magic' is unknown"),
    (["--objectives", ""], 2, "is unknown"),
    (["--models", "glove"], 2, "'glove' is unknown"),
    (["--seeds", "0"], 2, "--seeds"),
    (["--vector-size", "0"], 2, "--vector-size 0 is out of range"),
    (["--points", "0.5,3"], 2, "--points 3 is out of range"),
    (["--points", "half"], 2, "no list of numbers"),
    (["--target", "pairs"], 2, "'pairs' is not understood"),
    (["--target", "other=5"], 2, "--target other: no such score"),
    (["--objectives", "ns,hs", "--classes", "5"], 2, "--classes is for class: none of --objectives"),
    (["--objectives", "hs", "--negative", "7"], 2, "--negative is for ns"),
    (["--cbow-sum"], 2, "--cbow-sum is for --models cbow"),
    (["--objectives", "class", "--classes", "61"], 2, "60 words"),
    (["--objectives", "adaptive", "--cutoffs", "10,60"], 2, "below the 60 words"),
    (["--objectives", "adaptive", "--cost-model", "absent.json"], 1, "absent.json"),
    (["--objectives", "hs", "--against", "torch"], 2, "--against torch is for --objectives adaptive"),
    (["--heldout", "1e-9"], 1, "keeps back no sentence"),
    (["--max-final-vocab", "1"], 1, "leaves one word"),
    (["--min-count", "100000"], 1, "min-count"),
    (["-o", "{text}"], 1, "is a file: give a folder"),
    (["-o", "{text}/below"], 1, "is no folder"),
    (["-o", "."], 1, "holds other files"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_refusals_are_one_line_and_nothing_is_written(
    corpus, tmp_path, monkeypatch, capsys, calls, arguments, code, message
):
    from w2v.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign.txt").write_text(": capitals\nParis France Rome Italy\n", encoding="utf-8")
    (tmp_path / "foreign.tsv").write_text("cat\tdog\t8\ncup\tmug\t9\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    text = str(corpus[0])
    with pytest.raises(SystemExit) as status:
        main(["compare", text, "-o", "out", *FAST, *(argument.format(text=text) for argument in arguments)])
    captured = capsys.readouterr()
    assert status.value.code == code, captured.err
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert message in last
    assert last.startswith(("w2v: ", "Error: "))
    assert not calls
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(corpus, tmp_path, calls):
    (tmp_path / "locked").mkdir(mode=0o500)
    result = invoke(corpus[0], "-o", tmp_path / "locked" / "out", *FAST)
    assert result.exit_code == 1
    assert "no permission" in str(result.exception)


def test_a_folder_that_cannot_be_written_is_refused(corpus, tmp_path, monkeypatch, calls):
    monkeypatch.setattr("w2v.atomic.os.access", lambda path, mode: False)
    result = invoke(corpus[0], "-o", tmp_path / "out", *FAST)
    assert isinstance(result.exception, OutputError)
    assert "no permission" in str(result.exception)


def test_a_result_inside_the_corpus_is_refused(tmp_path, calls):
    folder = tmp_path / "texts"
    folder.mkdir()
    write_corpus(folder)
    assert "is inside the corpus" in invoke(folder, "-o", folder / "out", *FAST).output


def test_a_package_that_is_not_there(corpus, tmp_path, monkeypatch, calls):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke(corpus[0], "-o", tmp_path / "out", *FAST, "--against", "gensim")
    assert "--against gensim needs the package 'gensim': pip install 'w2v[bench]'" in str(result.exception)


def test_resuming_names_what_differs(corpus, tmp_path, calls):
    text, pairs, questions = corpus
    out = tmp_path / "out"
    options = [text, "-o", out, *FAST, "--objectives", "ns", "--pairs", pairs]
    assert invoke(*options).exit_code == 0
    whole = (out / "compare.json").read_bytes()
    for more, message in (
        (["--seeds", "2"], "--seeds was 1 and is 1,2"),
        (["--objectives", "ns,hs"], "--objectives was ns and is ns,hs"),
        (["--window", "3"], "--window was 5 and is 3"),
        (["--alpha", "0.1"], "--alpha was the default and is 0.1"),
        (["--analogies", questions], "other evaluation files: questions"),
        (["--points", "1"], "--points was 0.25,0.5,0.75,1,2 and is 1,2"),
    ):
        result = invoke(*options, *more, "--resume")
        assert result.exit_code == 1, message
        assert message in str(result.exception)
    text.write_text(text.read_text("utf-8") + "left1 left2 left3\n", encoding="utf-8")
    assert "the corpus was another one, of 5,000 tokens" in str(invoke(*options, "--resume").exception)
    assert (out / "compare.json").read_bytes() == whole
    (out / "compare.json").write_text("{}", encoding="utf-8")
    assert "is no record of a comparison" in str(invoke(*options, "--resume").exception)


def test_resuming_on_another_system_is_a_note(corpus, tmp_path, calls):
    options = [corpus[0], "-o", tmp_path / "out", *FAST, "--objectives", "ns"]
    assert invoke(*options).exit_code == 0
    record = load_record(tmp_path / "out")
    system = record["machine"]["system"]
    record["machine"].update(system="CP/M", driver="1.2")
    (tmp_path / "out" / "compare.json").write_text(dump(record), encoding="utf-8")
    assert invoke(*options, "--resume").exit_code == 0
    record = load_record(tmp_path / "out")
    assert f"continued with another system: CP/M → {system}" in record["notes"]
    assert any(note.startswith("continued with another driver: 1.2 → ") for note in record["notes"])
    assert record["machine"]["system"] == system


def _without(*path):
    def spoil(record):
        part = record
        for name in path[:-1]:
            part = part[name]
        del part[path[-1]]

    return spoil


def _with(value, *path):
    def spoil(record):
        part = record
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = value

    return spoil


EDITED = [
    (lambda record: [record.pop(name) for name in list(record) if name not in ("format", "version")],
     "created is missing"),
    (_without("targets_given"), "targets_given is missing"),
    (_without("corpus", "seconds", "encode"), "corpus.seconds.encode is missing"),
    (_without("machine", "processor"), "machine.processor is missing"),
    (_with({}, "corpus", "heldout_sha256s"), "corpus.heldout_sha256s has no seed 1"),
    (_with("all", "notes"), "notes is not understood"),
    (_with([7], "notes"), "notes[0] is not understood"),
    (_with("skipgram-magic-1", "runs", 0, "name"), "the run 'skipgram-magic-1' is not planned"),
    (_with("hs", "runs", 0, "objective"), "the run 'skipgram-ns-1' is not planned"),
    (lambda record: record["runs"].append(record["runs"][0]), "the run 'skipgram-ns-1' is not planned"),
    (_without("runs", 0, "status"), "runs[0].status is missing"),
    (_without("runs", 0, "seconds", "train"), "runs[0].seconds.train is missing"),
    (_with("quick", "runs", 0, "words_per_second"), "runs[0].words_per_second is not understood"),
    (_with([], "runs", 0, "points"), "runs[0].points is empty"),
    (_without("runs", 0, "points", 1, "scores", "pairs"), "other scores than the evaluation files"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "message"), EDITED, ids=[message for _, message in EDITED])
def test_an_incomplete_or_edited_record_is_one_line(corpus, tmp_path, calls, spoil, message):
    options = [corpus[0], "-o", tmp_path / "out", *FAST, "--objectives", "ns", "--pairs", corpus[1]]
    assert invoke(*options).exit_code == 0
    path = tmp_path / "out" / "compare.json"
    record = json.loads(path.read_text("utf-8"))
    spoil(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    error = invoke(*options, "--resume").exception
    assert isinstance(error, FormatError), repr(error)
    assert str(error) == f"{path} is incomplete or was edited ({message}): choose another folder" or (
        message in str(error) and "\n" not in str(error)
    )


def test_resuming_an_empty_folder_begins(corpus, tmp_path, calls):
    assert invoke(corpus[0], "-o", tmp_path / "out", *FAST, "--objectives", "ns", "--resume").exit_code == 0
    assert len(calls) == 1


def test_one_long_line_goes_without_likelihoods(tmp_path, calls):
    text = tmp_path / "line.txt"
    text.write_text("a b c d " * 100, encoding="utf-8")
    result = invoke(text, "-o", tmp_path / "out", *FAST, "--objectives", "hs", "--no-cache")
    assert result.exit_code == 0, result.output
    assert (
        "no likelihoods: --heldout 0.005 keeps back no sentence of two words; --heldout 0 silences this"
        in result.stderr
    )
    assert "no scores without evaluation files: scripts/fetch_data" in result.stderr
    assert calls[0].config.heldout == 0
    record = load_record(tmp_path / "out")
    assert record["corpus"]["heldout_sha256"] is None
    assert len(record["notes"]) >= 2
    people_tables(record)


# --- the plan ---


def test_options_go_to_the_objectives_that_have_them():
    options = {"classes": 7, "negative": 9, "batch_pairs": 64, "cutoffs": (5, 9), "cbow_sum": True, "window": 3}
    plan = Plan(tuple(OBJECTIVES), ("skipgram", "cbow"), (4,), (1.0,), options)
    found = {(model, name): plan.config(model, name, 4) for model in plan.models for name in OBJECTIVES}
    assert [found["skipgram", name].negative for name in OBJECTIVES] == [9, 5, 5, 5, 5]
    assert [found["cbow", name].classes for name in OBJECTIVES] == [None, None, 7, None, None]
    assert [found["cbow", name].cutoffs for name in OBJECTIVES] == ["auto", "auto", "auto", (5, 9), "auto"]
    assert {config.cbow_sum for (model, _), config in found.items() if model == "cbow"} == {True}
    assert {config.cbow_sum for (model, _), config in found.items() if model == "skipgram"} == {False}
    assert {(config.window, config.seed) for config in found.values()} == {(3, 4)}


def test_order_of_the_runs():
    plan = Plan(("ns", "adaptive"), ("skipgram", "cbow"), (1, 2), (1.0,), {}, ("gensim", "torch"))
    cases = list(plan.cases())
    assert cases[:6] == [
        ("w2v", "skipgram", "ns", 1),
        ("w2v", "skipgram", "adaptive", 1),
        ("w2v", "cbow", "ns", 1),
        ("w2v", "cbow", "adaptive", 1),
        ("gensim", "skipgram", "ns", 1),
        ("gensim", "cbow", "ns", 1),
    ]
    assert len(cases) == 16
    assert {seed for *_, seed in cases[8:]} == {2}


def test_pytorch_is_refused_cut_offs_that_it_cannot_have():
    for options in ({"shortlist": False}, {"cutoffs": ()}):
        Plan(("adaptive",), ("skipgram",), (1,), (1.0,), options)
        with pytest.raises(ConfigError, match="leave out --against torch"):
            Plan(("adaptive",), ("skipgram",), (1,), (1.0,), options, ("torch",))


def test_points():
    assert default_points(2) == (0.25, 0.5, 0.75, 1, 2)
    assert check_points([1, 0.1, 0.1], 3) == (0.1, 1, 3)
    with pytest.raises(ConfigError, match="--points nan"):
        check_points([math.nan], 3)


# --- hashes and scores ---


def test_a_draw_is_known_at_any_scale():
    values = np.random.default_rng(1).normal(size=(300, 7)).astype(np.float32)
    assert sha256_of_draw(values) == sha256_of_draw(values * np.float32(0.001))
    assert sha256_of_draw(values) != sha256_of_draw(values[::-1])
    assert sha256_of_array(values) == sha256_of_array(values.copy()) != sha256_of_array(values * 2)


def test_vectors_that_are_all_equal_have_no_score(corpus):
    words = [f"{side}{number}" for side in ("left", "right") for number in range(30)]
    vectors = KeyedVectors.from_arrays(words, np.ones((60, 3), np.float32), np.ones(60, np.int64))
    scorer = Scorer(name_files([corpus[1]], []), 100)
    assert scorer(vectors) == {"pairs": None}


def test_coverage_counts_words_and_names_are_unique(corpus, tmp_path):
    text, pairs, questions = corpus
    other = tmp_path / "other"
    other.mkdir()
    (other / "pairs.txt").write_text(questions.read_text("utf-8"), encoding="utf-8")
    files = name_files([pairs], [questions, other / "pairs.txt"])
    assert [file.name for file in files] == ["pairs", "questions", "pairs-2"]
    words = [f"{side}{number}" for side in ("left", "right") for number in range(2)]
    vocabulary = Vocabulary(words, [4, 3, 2, 1])
    found = Scorer(files, 100).coverage(vocabulary)
    assert [(item["covered"], item["total"]) for item in found] == [(3, 41), (1, 2), (1, 2)]
    with pytest.raises(EvaluationError, match="none of its 2 questions"):
        Scorer(files, 3).coverage(vocabulary)


@pytest.mark.skipif(os.name == "nt", reason="pipes with a name")
def test_what_is_no_file_is_no_evaluation(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    os.mkfifo(tmp_path / "pipe.tsv")
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(EvaluationError, match="has no evaluation files"):
        files_of_folder(tmp_path)
    with pytest.raises(EvaluationError, match="a pipe or a device"):
        Scorer(name_files([tmp_path / "pipe.tsv"], []), 100).coverage(Vocabulary(["a", "b"], [2, 1]))
    (tmp_path / "text.txt").write_text("words", encoding="utf-8")
    (tmp_path / "none.txt").write_text("", encoding="utf-8")
    (tmp_path / "b.txt").write_text(": section\n", encoding="utf-8")
    (tmp_path / "a.tsv").write_text("", encoding="utf-8")
    assert files_of_folder(tmp_path) == ([tmp_path / "a.tsv"], [tmp_path / "b.txt"])


def test_a_busy_machine_is_said(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (7.0, 1.0, 1.0), raising=False)
    monkeypatch.setattr("w2v.comparison.machine.available_cores", lambda: 4)
    assert busy_line() == "the machine is busy (load 7.0 on 4 cores): times will be longer than they need be"
    for load, cores, busy in ((1.9, 4, False), (3.0, 4, False), (3.1, 4, True), (1.0, 2, False), (1.6, 2, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 9.0, 9.0), raising=False)
        monkeypatch.setattr("w2v.comparison.machine.available_cores", lambda cores=cores: cores)
        assert bool(busy_line()) == busy, (load, cores)


def test_a_busy_machine_is_said_once(corpus, tmp_path, monkeypatch, calls):
    loads = iter([7.0, 8.0])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 0.0, 0.0), raising=False)
    monkeypatch.setattr("w2v.comparison.machine.available_cores", lambda: 4)
    options = [corpus[0], "-o", tmp_path / "out", *FAST, "--objectives", "ns"]
    assert "load 7.0 on 4 cores" in invoke(*options).stderr
    again = invoke(*options, "--resume")
    assert again.exit_code == 0
    assert "the machine is busy" not in again.stderr
    assert "1 of 1 run done already" in again.stderr
    assert len([note for note in load_record(tmp_path / "out")["notes"] if "is busy" in note]) == 1


def test_the_peak_is_this_process_s_own():
    code = "from w2v.comparison.machine import peak_host_bytes; print(peak_host_bytes())"
    room = bytearray(600_000_000)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 10e6 < int(found.stdout) < 400e6 < len(room) < peak_host_bytes()


# --- sums over seeds, by hand ---


def run_of(objective, seed, points, *, train=None, nll=None, system="w2v", model="skipgram", loss=2.0):
    """An entry of "runs": points as (epochs, seconds, score)."""
    seconds = points[-1][1] if train is None else train
    return {
        "name": f"{model}-{objective}-{seed}", "system": system, "model": model, "objective": objective, "seed": seed,
        "status": "done", "error": None, "config": {"alpha": 0.1}, "device": "cpu", "threads": 1,
        "seconds": {"read": 1.0, "encode": 2.0, "upload": 0.0, "compile": 0.5, "train": seconds, "evaluate": 0.1,
                    "total": seconds + 3.6},
        "words_per_second": 1e6 * seed, "kept_words_per_second": 5e5, "pairs_per_second": None, "words": 10,
        "kept_words": 5, "pairs": None, "peak_host_bytes": 100 * seed, "peak_device_bytes": None, "loss": [3.0, loss],
        "heldout_nll": nll, "heldout_unigram_nll": None if nll is None else 8.0,
        "points": [{"epochs": epochs, "words": 1, "seconds": at, "scores": {"ws": score}, "heldout_nll": nll}
                   for epochs, at, score in points],
    }  # fmt: skip


RUNS = [
    run_of("ns", 1, [(0.5, 1.0, 10.0), (1, 2.0, 40.0), (2, 4.0, 60.0)]),
    run_of("ns", 2, [(0.5, 1.0, 30.0), (1, 3.0, 50.0), (2, 6.0, 64.0)]),
    run_of("full", 1, [(0.5, 4.0, 55.0), (1, 8.0, 70.0), (2, 20.0, 80.0)], nll=7.0),
    run_of("full", 2, [(0.5, 7.0, 30.0), (1, 8.0, None), (2, 24.0, 84.0)], nll=7.5),
    run_of("hs", 1, [(0.5, 0.5, 20.0)], system="gensim"),
]


def test_means_and_deviations():
    assert mean_sd([1, 3]) == {"mean": 2.0, "sd": pytest.approx(2**0.5)}
    assert mean_sd([4.0, None]) == {"mean": 4.0, "sd": None}
    assert mean_sd([None]) is None


def test_summary_of_a_record_by_hand():
    ns, full, gensim = summarise(RUNS, {"ws": 50.0})
    assert [case["name"] for case in (ns, full, gensim)] == ["skipgram-ns", "skipgram-full", "gensim skipgram-hs"]
    assert [case["seeds"] for case in (ns, full, gensim)] == [2, 2, 1]
    assert ns["train_seconds"] == {"mean": 5.0, "sd": pytest.approx(2**0.5)}
    assert ns["words_per_second"]["mean"] == 1.5e6
    assert ns["pairs_per_second"] is None
    assert (ns["peak_host_bytes"], ns["peak_device_bytes"]) == (200, None)
    assert ns["seconds"]["total"] == pytest.approx(8.6)
    assert ns["scores"]["ws"] == {"mean": 62.0, "sd": pytest.approx(8**0.5)}
    assert (ns["normalised"], ns["heldout_nll"], ns["perplexity"]) == (False, None, None)
    assert full["normalised"]
    assert full["heldout_nll"]["mean"] == 7.25
    assert full["perplexity"] == pytest.approx(math.exp(7.25))
    assert [point["scores"]["ws"] and point["scores"]["ws"]["mean"] for point in full["points"]] == [42.5, 70.0, 82.0]
    assert [point["seconds"]["mean"] for point in ns["points"]] == [1.0, 2.5, 5.0]
    # Nothing is interpolated: seed 1 has 50 first at its last point, seed 2 in the middle.
    assert ns["seconds_to"]["ws"] == {"target": 50.0, "mean": (4.0 + 3.0) / 2, "reached": 2}
    assert full["seconds_to"]["ws"] == {"target": 50.0, "mean": (4.0 + 24.0) / 2, "reached": 2}
    assert gensim["seconds_to"]["ws"] == {"target": 50.0, "mean": None, "reached": 0}
    # ns is through with both of its seeds after 6 s, when one seed of full has no score yet.
    assert ns["score_at"] == {"seconds": 6.0, "scores": {"ws": {**ns["scores"]["ws"], "epochs": [2, 2]}}}
    assert full["score_at"] == {"seconds": 6.0, "scores": {"ws": None}}
    assert gensim["score_at"]["scores"]["ws"] == {"mean": 20.0, "sd": None, "epochs": [0.5]}
    assert [case["ns_loss"] and case["ns_loss"]["mean"] for case in (ns, full, gensim)] == [2.0, None, None]
    assert all("loss" not in case for case in (ns, full, gensim))


def test_equal_time_is_a_time_of_each_model():
    skipgram = [
        run_of("ns", 1, [(1, 5.0, 40.0), (2, 10.0, 60.0)]),
        run_of("hs", 1, [(1, 5.25, 45.0), (2, 10.5, 66.0)]),
    ]
    cbow = [run_of("ns", 1, [(1, 1.0, 30.0), (2, 2.0, 50.0)], model="cbow"),
            run_of("full", 1, [(0.5, 1.5, 35.0), (1, 3.0, 70.0)], model="cbow"),
            run_of("ns", 1, [(1, 2.0, 31.0)], model="cbow", system="gensim")]  # fmt: skip
    assert equal_seconds([*skipgram, *cbow]) == {"skipgram": 10.0, "cbow": 2.0}
    found = {case["name"]: case["score_at"] for case in summarise([*skipgram, *cbow], {})}
    scores = {name: at["scores"]["ws"] for name, at in found.items()}
    assert {name: (found[name]["seconds"], at["mean"], at["epochs"]) for name, at in scores.items()} == {
        "skipgram-ns": (10.0, 60.0, [2]), "skipgram-hs": (10.0, 45.0, [1]), "cbow-ns": (2.0, 50.0, [2]),
        "cbow-full": (2.0, 35.0, [0.5]), "gensim cbow-ns": (2.0, 31.0, [1]),
    }  # fmt: skip
    text = people_tables({**record_of([*skipgram, *cbow]), "models": ["skipgram", "cbow"], "seeds": [1]})
    parts = dict(part.split("\n", 1) for part in text.split("\n\n"))
    table = parts["Scores after 10.0 s of training, the time of the fastest of skipgram"].splitlines()
    assert [line.split() for line in table[1:]] == [["skipgram-ns", "2", "60.0"], ["skipgram-hs", "1", "45.0"]]
    assert "Scores after 2.00 s of training, the time of the fastest of cbow" in parts
    # A model that w2v has no finished run of has no such time.
    (alone,) = summarise(cbow[2:], {})
    assert alone["score_at"] is None


def test_default_targets_are_within_the_reach_of_all_and_equal_time_is_that_of_w2v():
    last = {case["name"]: case["scores"]["ws"]["mean"] for case in summarise(RUNS, {})}
    assert min(last, key=last.get) == "gensim skipgram-hs"
    assert default_targets(RUNS, ["ws", "other"]) == {"ws": pytest.approx(0.95 * min(last.values()))}
    assert equal_seconds(RUNS) == {"skipgram": 6.0}
    assert equal_seconds(RUNS[-1:]) == {}
    assert default_targets([run_of("ns", 1, [(1, 1.0, -3.0)])], ["ws"]) == {}
    assert default_targets([run_of("ns", 1, [(1, 1.0, None)])], ["ws"]) == {}


def test_names_add_up_and_folders_of_the_command_are_marked(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["w2v", "compare", "/a/b.txt", "-o", "out", "--pairs=/x/ws.tsv", "--seed", "2"])
    assert _command_line() == "w2v compare …/b.txt -o out --pairs=…/ws.tsv --seed 2"
    options = ["--objectives", "ns", "--objectives", "hs,ns", "--epochs", "1"]
    result = invoke(corpus[0], "-o", tmp_path / "out", *FAST, *options, "--resume")
    assert result.exit_code == 0, result.output
    assert "there is nothing to continue in" in result.stderr
    assert load_record(tmp_path / "out")["objectives"] == ["ns", "hs"]


def test_failed_runs_count_for_nothing():
    failed = {**RUNS[0], "status": "failed", "points": [], "seconds": {}}
    assert summarise([failed], {}) == []
    (case,) = summarise([failed, RUNS[1]], {})
    assert case["seeds"] == 1


def test_points_that_a_seed_does_not_have_are_left_out():
    runs = [run_of("ns", 1, [(0.5, 1.0, 10.0), (1, 2.0, 40.0)]), run_of("ns", 2, [(1.01, 3.0, 50.0)])]
    (case,) = summarise(runs, {})
    assert [point["scores"]["ws"]["mean"] for point in case["points"]] == [45.0]


scores = st.one_of(st.none(), st.floats(-100, 100))
curves = st.lists(st.tuples(st.floats(0.01, 5), scores), min_size=1, max_size=8).map(
    lambda steps: [
        (number, sum(step for step, _ in steps[: number + 1]), score) for number, (_, score) in enumerate(steps)
    ]
)


@given(st.lists(curves, min_size=1, max_size=4), st.floats(-100, 100), st.floats(0, 30))
def test_time_and_score_come_from_points_that_were_scored(all_curves, target, seconds):
    runs = [run_of("ns", seed, points) for seed, points in enumerate(all_curves, 1)]
    found = seconds_to(runs, "ws", target)
    times = [[at for _, at, score in points if score is not None and score >= target] for points in all_curves]
    firsts = [min(reached) for reached in times if reached]
    assert found["reached"] == len(firsts)
    assert found["mean"] == (pytest.approx(np.mean(firsts)) if firsts else None)
    at = score_at(runs, "ws", seconds)
    last = [[score for _, when, score in points if when <= seconds] for points in all_curves]
    if any(not part or part[-1] is None for part in last):
        assert at is None
    else:
        assert at["mean"] == pytest.approx(np.mean([part[-1] for part in last]))


# --- tables ---


def record_of(runs):
    evaluation = [{"name": "ws", "kind": "pairs", "file": "ws.tsv", "sha256": "0", "covered": 3, "total": 4}]
    targets = {"ws": 50.0}
    return {
        "evaluation": evaluation, "runs": runs, "summary": summarise(runs, targets), "targets": targets,
        "corpus": {"cached": True}, "targets_given": targets, "models": ["skipgram"], "seeds": [1, 2],
        "points": [0.5, 1, 2],
    }  # fmt: skip


def test_tables_for_people():
    text = people_tables(record_of(RUNS))
    parts = dict(part.split("\n", 1) for part in text.split("\n\n"))
    quality = parts["Quality after 2 epochs"].splitlines()
    assert quality[0].split("  ")[-1] == "ns loss"
    assert "ws (3 of 4)" in quality[0]
    columns = [quality[0].index("nats/pair") + len("nats/pair"), quality[0].index("ns loss")]
    ns = next(line for line in quality if line.startswith("skipgram-ns"))
    assert ns[: columns[0]].split() == ["skipgram-ns", "62.0", "±", "2.8"]
    assert ns[columns[0] :].split() == ["2.000", "±", "0.000"]
    full = next(line for line in quality if line.startswith("skipgram-full"))
    assert "7.250 ± 0.354" in full[: columns[0]]
    assert full[columns[1] :] == ""
    assert any(line.split() == ["unigram", "8.000", "2,981"] for line in quality)
    times = parts["Seconds of training to reach a score"].splitlines()
    assert times[-1].split()[-1] == "never"
    assert "none yet" in parts["Scores after 6.00 s of training, the time of the fastest"]
    assert "device MB" not in text
    assert "Seconds (the text was encoded before, and came from the cache)" in parts
    speed = parts["Speed of training"].splitlines()
    assert "5.00 ± 1.41" in speed[1]
    assert "22.0 ± 2.8" in speed[2]
    assert next(line for line in speed if line.startswith("skipgram-ns")).split()[1:5] == [
        "1.50",
        "±",
        "0.71",
        "0.500",
    ]


def test_the_loss_of_ns_is_in_no_column_of_likelihood():
    for header, rows in (summary_table(record_of(RUNS)), runs_table(record_of(RUNS))):
        for row in rows:
            found = dict(zip(header, row, strict=True))
            name = found.get("case", found.get("objective"))
            likelihoods = [
                found[key] for key in ("nats_per_pair", "heldout_nll", "perplexity", "loss") if key in found
            ]
            if name.endswith("ns"):
                assert found["ns_loss"] == 2.0
                assert likelihoods == [None] * len(likelihoods)
            else:
                assert found["ns_loss"] is None


def test_folders_are_no_part_of_the_command(monkeypatch):
    words = ["/usr/bin/w2v", "compare", "../a/text.txt", "--pairs=/home/x/ws.tsv", "-o", "out/", "--alpha", "0.1"]
    monkeypatch.setattr(sys, "argv", words)
    assert _command_line() == "w2v compare …/text.txt --pairs=…/ws.tsv -o out --alpha 0.1"


def test_seconds_to_a_score_say_how_many_seeds_reached_it():
    header, (ns, full, gensim) = summary_table(record_of([*RUNS, run_of("hs", 2, [(1, 3.0, 55.0)], system="gensim")]))
    column = header.index("seconds to ws")
    assert header[column + 1] == "seeds that reached ws"
    assert [row[column + 1] for row in (ns, full, gensim)] == [2, 2, 1]
    assert gensim[1] == 2
    assert gensim[column] == 3.0


def test_numbers_of_things():
    assert (counted(1, "run"), counted(0, "run"), counted(1200, "run")) == ("1 run", "0 runs", "1,200 runs")
    said = [epochs_text(value) for value in (1, 1.0, 0.25, 0.2657, 12.752, 1000.0, 0.001, 0.999)]
    assert said == [
        "1 epoch", "1 epoch", "0.25 epochs", "0.27 epochs", "12.75 epochs", "1000 epochs", "0.001 epochs", "1 epoch",
    ]  # fmt: skip
    assert (epochs_span([0.5, 1, 0.5]), epochs_span([0.251, 0.252]), epochs_span([])) == ("0.5–1", "0.25", "")
    assert "Quality after 1 epoch\n" in people_tables({**record_of(RUNS), "points": [0.5, 1.0]})


def test_cells_cannot_command_the_terminal():
    assert "\x1b" not in align(["", "\x1b[31m"], [["a", "\x1b[2J"]])


def test_wide_characters_line_up():
    lines = align(["", "점수", "b"], [["이름", "1", "2"], ["x", "22222", "3"]]).splitlines()
    assert lines == ["       점수  b", "이름      1  2", "x     22222  3"]


def test_json_has_no_bytes_that_are_no_text(tmp_path):
    (tmp_path / "file").write_text(
        dump({"caf\udce9": ["語\ud83d", "\U0001f600", Path("\udcff.txt")]}), encoding="utf-8"
    )
    found = json.loads((tmp_path / "file").read_text("utf-8"))
    assert found == {"caf\ufffd": ["語\ufffd", "\U0001f600", "\ufffd.txt"]}


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes")
@pytest.mark.parametrize("resume", [False, True])
def test_file_names_that_are_no_text(corpus, tmp_path, calls, resume):
    text, pairs, _ = (path.rename(path.with_name(f"{path.stem}\udcff.tsv")) for path in corpus)
    out = tmp_path / os.fsdecode(b"e5\xff")
    options = [text, "-o", out, *FAST, "--objectives", "ns", "--pairs", pairs, "--target", f"{pairs.stem}=5"]
    for more in ([], ["--resume"])[: 1 + resume]:
        result = invoke(*options, *more)
        assert result.exit_code == 0, repr(result.exception)
        assert "pairs\ufffd (40 of 41)" in result.stdout
    record = load_record(out)
    assert record["corpus"]["inputs"] == ["text\ufffd.tsv"]
    assert record["targets"] == {"pairs\ufffd": 5.0}
    assert set(record["runs"][0]["points"][0]["scores"]) == {"pairs\ufffd"}
    assert RunSpec.from_json(calls[0].to_json()).evaluation[0].path == pairs
    assert "pairs\ufffd" in (out / "compare.csv").read_text("utf-8")


def test_a_run_on_a_corpus_whose_name_is_no_text(tmp_path):
    entry = launch_run(spec_for(tmp_path / "absent\udcff"), tmp_path)
    assert "absent\ufffd" in entry["error"]


def test_json_has_no_number_that_is_not_finite():
    value = {"a": [math.nan, math.inf, 1.5], "b": (np.float32(2.0), Path("x")), "c": np.int64(3)}
    assert json.loads(dump(value)) == {"a": [None, None, 1.5], "b": [2.0, "x"], "c": 3}


def test_records_that_are_the_same_pass(compared):
    record = load_record(compared[0])
    check_same(record, json.loads(dump(record)))
    machine = record["machine"]
    memory = machine["memory_bytes"]
    for changed, message in (
        ({"device": "cuda"}, "the device was cpu and is cuda"),
        ({"processor": "an abacus"}, "the processor was .* and is an abacus"),
        ({"memory_bytes": memory // 2}, "the memory was .* GB and is .* GB"),
    ):
        with pytest.raises(OutputError, match=message):
            check_same(record, {**record, "machine": {**machine, **changed}})
    # Another kernel keeps a little more of it for itself.
    check_same(record, {**record, "machine": {**machine, "memory_bytes": int(0.995 * memory)}})


def test_an_encoded_corpus_is_handed_on_whole(compared):
    (folder,) = (compared[0].parent / "cache").glob("corpus-*")
    with EncodedCorpus.open(folder) as corpus:
        assert corpus.fingerprint == load_record(compared[0])["corpus"]["fingerprint"]
