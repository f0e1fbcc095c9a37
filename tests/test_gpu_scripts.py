"""scripts/bench_gpu, bench_cutoffs and gpu_check without a GPU: what they refuse, judge, compare, write and print."""

import importlib.machinery
import importlib.util
import json
import lzma
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from w2v import KeyedVectors
from w2v.config import TrainConfig
from w2v.objectives import make_objective

SCRIPTS = Path(__file__).parent.parent / "scripts"


def load(name, monkeypatch):
    """A script as a module, with its neighbours importable as when it is run."""
    monkeypatch.syspath_prepend(SCRIPTS)
    loader = importlib.machinery.SourceFileLoader(name, str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
    loader.exec_module(module)
    return module


@pytest.fixture
def gpu_check(monkeypatch):
    return load("gpu_check", monkeypatch)


@pytest.fixture
def bench_gpu(monkeypatch):
    return load("bench_gpu", monkeypatch)


@pytest.fixture
def bench_cutoffs(monkeypatch):
    return load("bench_cutoffs", monkeypatch)


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("benchmark")


@pytest.mark.parametrize("command", ["bench_gpu", "gpu_check", "bench_cutoffs --device cuda"])
def test_without_a_gpu_a_script_says_so_in_one_line(command, text):
    script, *options = command.split()
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, text, *options],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{script}: --device cuda: ")
    assert len(done.stderr.splitlines()) == 1


def test_missing_packages_are_one_line(gpu_check, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    monkeypatch.setattr(gpu_check, "NEEDED", ("numpy", "absent_package"))
    assert gpu_check.main() == 1
    assert capsys.readouterr().err == (
        "gpu_check: absent_package must be installed: pip install absent_package\n"
    )  # fmt: skip


@pytest.mark.parametrize("option", [[], ["--pairs"], ["--analogies"]])
def test_a_file_that_is_not_there_is_refused_at_once(gpu_check, monkeypatch, capsys, tmp_path, option):
    monkeypatch.setattr(sys, "argv", ["gpu_check", *option, str(tmp_path / "absent")])
    with pytest.raises(SystemExit):
        gpu_check.main()
    assert capsys.readouterr().err.endswith("absent is no file\n")


PASSED = "....\n========= slowest 5 durations =========\n5 passed, 300 deselected, 1 warning in 7.20s\n"
FAILED = "F.\n=== summary ===\nFAILED a.py::b\n1 failed, 340 passed, 2 skipped in 130.01s (0:02:10)\n"


@pytest.mark.parametrize(
    ("status", "output", "measured", "verdict"),
    [
        (0, PASSED, "5 passed, 1 warning in 7.20s", "ok"),
        (1, FAILED, "1 failed, 340 passed, 2 skipped in 130.01s (0:02:10)", "FAILED"),
        (0, "sss\n3 skipped in 0.10s\n", "3 skipped in 0.10s", "FAILED"),
        (2, "==== 2 errors in 1.00s ====\n", "2 errors in 1.00s", "FAILED"),
        (-11, "Segmentation fault\n", "pytest ends with -11", "FAILED"),
        (None, "..", "stopped after 90 s", "FAILED"),
    ],
)
def test_what_pytest_says_is_judged(gpu_check, status, output, measured, verdict):
    assert gpu_check.judge_tests("a", status, output, 90.0) == gpu_check.Row("a", measured, verdict)


@pytest.mark.parametrize(
    ("status", "output", "measured", "verdict"),
    [
        (0, "========= ERROR SUMMARY: 0 errors\n", "0 errors, exit status 0", "ok"),
        (99, "========= ERROR SUMMARY: 3 errors\n", "3 errors, exit status 99", "FAILED"),
        (1, "Traceback\n========= ERROR SUMMARY: 0 errors\n", "0 errors, exit status 1", "FAILED"),
        (
            0, "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n",
            "0 hazards displayed (0 errors, 0 warnings), exit status 0", "ok",
        ),
        (
            0, "========= RACECHECK SUMMARY: 10 hazards displayed (0 errors, 10 warnings)\n",
            "10 hazards displayed (0 errors, 10 warnings), exit status 0", "FAILED",
        ),
        (0, "nothing\n", "no summary, exit status 0", "FAILED"),
        (None, "", "stopped after 65 s", "FAILED"),
        (1, "= Error: Device not supported.\n", "compute-sanitizer does not support this device here", "not run"),
    ],
)  # fmt: skip
def test_what_compute_sanitizer_says_is_judged(gpu_check, status, output, measured, verdict):
    assert gpu_check.judge_sanitizer("memcheck", status, output, 65.0) == gpu_check.Row("memcheck", measured, verdict)


def test_compute_sanitizer_is_optional(gpu_check, monkeypatch):
    monkeypatch.setattr(gpu_check.shutil, "which", lambda *arguments, **options: None)
    assert gpu_check.sanitize({}, 1.0, "memcheck", "ns", ()).verdict == "not run"


def test_compute_sanitizer_looks_at_all_kernels_or_at_ours(gpu_check, monkeypatch):
    from w2v.kernels import softmax

    seen = []
    monkeypatch.setattr(gpu_check.shutil, "which", lambda *arguments, **options: "/x/compute-sanitizer")
    monkeypatch.setattr(
        gpu_check, "run", lambda command, *rest: seen.append(command) or (0, "ERROR SUMMARY: 0 errors\n")
    )
    rows = gpu_check.run_sanitizer({}, 100.0)
    assert [row.what for row in rows] == [
        "memcheck ns,hs,class,adaptive,full", "racecheck class,adaptive,full", "racecheck ns"
    ]  # fmt: skip
    assert {row.verdict for row in rows} == {"ok"}
    assert [command[command.index("--tool") + 1] for command in seen] == ["memcheck", "racecheck", "racecheck"]
    assert ["--kernel-name" in command for command in seen] == [False, True, False]
    watched = [word.removeprefix("kns=") for word in seen[1] if word.startswith("kns=")]
    assert all(any(part in name for part in watched) for name in softmax.NAMES)
    assert all(command[-2] == "--watched" for command in seen)


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", ["class", "adaptive", "full"])
def test_what_compute_sanitizer_watches_trains(gpu_check, monkeypatch, objective, model):
    pytest.importorskip("numba.cuda")
    import w2v.backends

    monkeypatch.setattr(w2v.backends, "choose_device", lambda device: "cpu")
    said = gpu_check.train_tiny(model, objective, "raw")
    assert 3 < float(said.split()[1].rstrip(",")) < 7
    assert "held out" in said


def test_a_part_is_shown_and_kept(gpu_check, capsys):
    code = "import os; print('one'); os.write(2, b'two\\xff\\n'); raise SystemExit(3)"
    status, output = gpu_check.run([sys.executable, "-c", code], dict(os.environ), 60)
    assert status == 3
    assert sorted(output.split()) == ["one", "two\ufffd"]
    assert output in capsys.readouterr().out


def test_a_part_that_takes_too_long_is_stopped_with_its_children(gpu_check, monkeypatch):
    monkeypatch.setattr(gpu_check, "GRACE", 0.2)
    code = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, lambda *_: print("asked", flush=True))
subprocess.run([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(600)"])
time.sleep(600)
"""
    status, output = gpu_check.run([sys.executable, "-c", code], dict(os.environ), 2)
    assert status is None
    assert "asked" in output


def record(tokens=17_000_000, **changes):
    """What bench_gpu writes where everything just passes; changes: of cases, None to leave one out."""
    rows = {
        case: {"words_per_second": rate, "words_per_second_p10": rate - 1, "words_per_second_p90": rate + 1}
        for case, rate in {
            "skipgram-ns": 500, "skipgram-hs": 501, "cbow-ns": 1499, "cbow-hs": 250.5, "skipgram-ns-300": 200,
            "skipgram-adaptive": 20, "skipgram-full": 37, "skipgram-class": 16,
        }.items()
    }  # fmt: skip
    rows["skipgram-adaptive"]["heldout_nll"] = [7.02, 7.0, 9.0]
    rows["skipgram-full"]["heldout_nll"] = [7.0, 6.993]
    scores = {
        "skipgram-ns": (58.8, 31.2, 39), "skipgram-hs": (57, 27, 38), "cbow-ns": (53, 30, 35),
        "cbow-hs": (54, 28, 25), "skipgram-adaptive": (57, 31, 35), "skipgram-full": (60, 30, 41),
    }  # fmt: skip
    for case, values in scores.items():
        names = ("wordsim353", "simlex999", "questions-words")
        rows[case]["scores"] = {name: [value - 1, value + 1] for name, value in zip(names, values, strict=True)}
    rows["whole run"] = {"seconds": 1.4, "seconds_p10": 1.3, "seconds_p90": 1.6}
    for case, change in changes.items():
        rows[case.replace("_", "-")] = change
    results = [{"case": case, **row} for case, row in rows.items() if row is not None]
    return {"machine": {"gpu": "NVIDIA H200, 139.7 GiB"}, "corpus": {"raw_tokens": tokens}, "results": results}


def test_measurements_stand_beside_floors_and_goals(gpu_check):
    rows = gpu_check.compare(record())
    assert rows[3] == gpu_check.Row("skipgram-ns, M words/s", "500 (499–501)", "ok", "500", "1000")
    verdicts = {row.what: row.verdict for row in rows}
    assert verdicts["skipgram-hs, M words/s"] == verdicts["whole run, s"] == "goal"
    assert verdicts["cbow-ns, M words/s"] == verdicts["skipgram-ns, wordsim353"] == "ok"
    assert verdicts["skipgram-ns, simlex999"] == verdicts["skipgram-ns, questions-words"] == "goal"
    assert verdicts["skipgram-adaptive, M words/s"] == verdicts["skipgram-class, M words/s"] == "ok"
    assert verdicts["skipgram-full, M words/s"] == verdicts["skipgram-full, questions-words"] == "goal"
    assert verdicts["skipgram-adaptive, simlex999"] == "goal"
    assert verdicts["skipgram-adaptive, wordsim353"] == verdicts["skipgram-full, simlex999"] == "ok"
    assert len(rows) == 10 + 18
    assert not {row.verdict for row in rows} & set(gpu_check.BAD)
    row = next(row for row in rows if row.what == "skipgram-ns, wordsim353")
    assert (row.measured, row.floor, row.goal) == ("58.8 (2 seeds)", "58.8", "61.3")


@pytest.mark.parametrize(
    ("adaptive", "full", "measured", "verdict"),
    [
        ([7.02, 7.0], [7.0, 7.0, 5.0], "+0.14 (7.0100 / 7.0000)", "ok"),
        ([7.006], [7.0], "+0.09 (7.0060 / 7.0000)", "goal"),
        ([6.9], [7.0], "-1.43 (6.9000 / 7.0000)", "goal"),
        ([7.07], [7.0], "+1.00 (7.0700 / 7.0000)", "BELOW"),
        ([], [7.0], "not measured", "FAILED"),
    ],
)
def test_held_out_losses_are_compared_seed_by_seed(gpu_check, adaptive, full, measured, verdict):
    results = {"skipgram-adaptive": {"heldout_nll": adaptive}, "skipgram-full": {"heldout_nll": full}}
    row = gpu_check.nats_row(results, True)
    assert row == gpu_check.Row("adaptive over full, % nats/pair", measured, verdict, "0.5", "0.1")


def layouts(chosen=(10.0, 9.0), written=((11.0, 9.5, False), (12.0, 9.1, True)), tokens=17_000_000):
    """What bench_cutoffs writes; chosen: (predicted, measured) milliseconds, written: these and small_head."""
    rows = [(*chosen, False), *written]
    return {
        "corpus": {"raw_tokens": tokens},
        "layouts": [
            {
                "cutoffs": [8000 + number, 30000], "predicted_ms": predicted, "measured_ms": measured,
                "small_head": small,
            }
            for number, (predicted, measured, small) in enumerate(rows)
        ],
    }  # fmt: skip


def test_cutoffs_are_judged_by_prediction_and_by_written_ones(gpu_check):
    rows = gpu_check.compare_cutoffs(layouts())
    assert rows[0] == gpu_check.Row(
        "cut-offs: predicted / measured", "1.11 (8000,30000: 10 / 9 ms)", "ok", "0.75–1.25"
    )  # fmt: skip
    assert rows[1].measured == "0.989 (of 2: 8002,30000, 9.1 ms)"
    assert rows[2].measured == "0.947 (of 1: 8001,30000, 9.5 ms)"
    assert [row.verdict for row in rows] == ["ok"] * 3
    slow = gpu_check.compare_cutoffs(layouts(chosen=(5.0, 9.4)))
    assert [row.verdict for row in slow] == ["BELOW", "BELOW", "ok"]
    assert {row.verdict for row in gpu_check.compare_cutoffs(layouts(tokens=10**6))} == {"not compared"}
    assert gpu_check.compare_cutoffs(layouts(written=()))[1].measured == "there are none for this text"


def test_cutoffs_are_timed_with_the_model_of_the_benchmark_or_a_new_one(gpu_check, monkeypatch, tmp_path):
    seen = []

    def run(command, environment, limit):
        seen.append(command[1:])
        if "--output" in command:
            Path(command[-1]).write_text(json.dumps(layouts()), "utf-8")
        return 0, ""

    monkeypatch.setattr(gpu_check, "run", run)
    found = {"cost_model": {"c": 1}}
    rows = gpu_check.run_cutoffs(tmp_path / "text", tmp_path, {}, found, 100.0)
    assert (len(rows), found["cutoffs"]) == (3, json.loads(json.dumps(layouts())))
    ((script, text, *options),) = seen
    assert (Path(script).name, Path(text).name, options[:2]) == ("bench_cutoffs", "text", ["--device", "cuda"])
    assert json.loads(Path(options[3]).read_text("utf-8")) == {"c": 1}
    assert len(gpu_check.run_cutoffs(tmp_path / "text", tmp_path, {}, {}, 100.0)) == 3
    assert seen[1][:3] == ["-m", "w2v", "calibrate"]
    monkeypatch.setattr(gpu_check, "run", lambda *arguments: (1, ""))
    for found in ({}, {"cost_model": {"c": 1}}):
        (row,) = gpu_check.run_cutoffs(tmp_path / "text", tmp_path, {}, found, 100.0)
        assert row.verdict == "FAILED"
    monkeypatch.setattr(gpu_check, "run", lambda *arguments: (None, ""))
    assert len(gpu_check.run_cutoffs(tmp_path / "text", tmp_path, {}, {"cost_model": {}}, 100.0)) == 3
    (tmp_path / "cutoffs.json").unlink()  # it was stopped in the first round
    (row,) = gpu_check.run_cutoffs(tmp_path / "text", tmp_path, {}, {"cost_model": {}}, 100.0)
    assert row.measured == "stopped after 100 s"


def test_what_misses_its_floor_is_below(gpu_check):
    slow = {"words_per_second": 199.9, "words_per_second_p10": 1, "words_per_second_p90": 2}
    late = {"seconds": 3.1, "seconds_p10": 3, "seconds_p90": 4}
    poor = record()
    row = next(row for row in poor["results"] if row["case"] == "skipgram-ns")
    row["scores"]["questions-words"] = [36.4]
    rows = gpu_check.compare(record(skipgram_ns_300=slow, **{"whole run": late}))
    assert [row.what for row in rows if row.verdict == "BELOW"] == ["skipgram-ns-300, M words/s", "whole run, s"]
    assert [row.what for row in gpu_check.compare(poor) if row.verdict == "BELOW"] == ["skipgram-ns, questions-words"]


def test_what_failed_or_is_absent_is_said(gpu_check):
    found = {**record(cbow_hs={"error": "ValueError: oops"}, cbow_ns=None), "problem": "stopped after 100 s"}
    rows = {row.what: row for row in gpu_check.compare(found)}
    assert rows["benchmark"] == gpu_check.Row("benchmark", "stopped after 100 s", "FAILED")
    assert (rows["cbow-hs, M words/s"].measured, rows["cbow-hs, M words/s"].verdict) == ("ValueError: oops", "FAILED")
    assert (rows["cbow-ns, M words/s"].measured, rows["cbow-ns, M words/s"].verdict) == ("not measured", "FAILED")
    assert rows["cbow-ns, simlex999"].verdict == "not run"
    nothing = gpu_check.compare({"problem": "no text: x"})
    assert [row.verdict for row in nothing] == ["FAILED"] * 11 + ["not run"]
    uncalibrated = record()
    uncalibrated["results"].append({"case": "calibration", "error": "RuntimeError: w2v calibrate ends with 1: x"})
    assert gpu_check.compare(uncalibrated)[0] == gpu_check.Row(
        "calibration", "RuntimeError: w2v calibrate ends with 1: x", "FAILED"
    )  # fmt: skip


def test_short_texts_are_not_held_against_the_floors(gpu_check):
    rows = gpu_check.compare(record(tokens=800_000))
    assert {row.verdict for row in rows} == {"not compared"}


@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        ("NVIDIA H200", "h200"), ("Tesla T4", "t4"), ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"), ("NVIDIA", "unknown"),
    ],
)  # fmt: skip
def test_results_are_named_after_the_gpu(gpu_check, gpu, name):
    assert gpu_check.short_name(gpu) == name


def replace_parts(gpu_check, monkeypatch, tests):
    """Parts that find what they are told, at once."""
    text = SCRIPTS / "gpu_check"
    monkeypatch.setattr(gpu_check, "why_no_device", lambda: None)
    monkeypatch.setattr(gpu_check, "find_text", lambda given, folder: text)
    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [tests])
    monkeypatch.setattr(
        gpu_check, "sanitize", lambda environment, limit, *watched: gpu_check.Row(watched[0], "0", "ok")
    )
    monkeypatch.setattr(gpu_check, "benchmark", lambda *arguments: record())
    monkeypatch.setattr(gpu_check, "run_cutoffs", lambda *arguments: [gpu_check.Row("cut-offs", "1.0", "ok")])
    monkeypatch.setattr(gpu_check, "run_comparison", lambda *arguments: [gpu_check.Row("comparison", "5", "ok")])


def test_the_parts_make_one_record_one_table_and_one_status(gpu_check, monkeypatch, capsys, tmp_path):
    ok, failed = gpu_check.Row("test_a", "5 passed", "ok"), gpu_check.Row("test_a", "1 failed", "FAILED")
    replace_parts(gpu_check, monkeypatch, ok)
    out = tmp_path / "new" / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["/x/gpu_check", "--output", str(out)])
    assert gpu_check.main() == 0
    printed = capsys.readouterr().out
    assert printed.count("written to ") == 5
    lines = printed.splitlines()[-35:]
    assert lines[0].split() == ["measured", "floor", "goal"]
    assert lines[1].split()[0] == "skipgram-adaptive,"
    assert lines[-6].split() == ["cut-offs", "1.0", "ok"]
    assert lines[-5].split() == ["comparison", "5", "ok"]
    assert lines[-4].split() == ["test_a", "5", "passed", "ok"]
    assert [line.split()[0] for line in lines[-3:]] == ["memcheck", "racecheck", "racecheck"]
    column = lines[0].index("measured")
    assert all(line[column - 2 : column] == "  " for line in lines)
    written = json.loads(out.read_text("utf-8"))
    assert written["machine"] == {"gpu": "NVIDIA H200, 139.7 GiB", "command": "scripts/gpu_check --output gpu.json"}
    assert written["checks"][-4].items() >= {"what": "test_a", "measured": "5 passed", "verdict": "ok"}.items()
    assert len(written["checks"]) == 28 + 2 + 4
    assert len(written["results"]) == 9

    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [failed])
    assert gpu_check.main() == 1
    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [ok])
    monkeypatch.setattr(sys, "argv", ["/x/gpu_check", "--output", str(tmp_path)])  # a folder
    assert gpu_check.main() == 1
    assert "not written" in capsys.readouterr().out.splitlines()[-1]


def test_parts_run_alone(gpu_check, monkeypatch, capsys, tmp_path):
    replace_parts(gpu_check, monkeypatch, gpu_check.Row("test_a", "5 passed", "ok"))
    monkeypatch.setattr(gpu_check, "described", lambda: {"gpu": "none"})
    out = ["--output", str(tmp_path / "o.json")]
    for parts, names in (("tests", ["test_a"]), ("tests,cutoffs", ["cut-offs", "test_a"])):
        monkeypatch.setattr(sys, "argv", ["gpu_check", "--parts", parts, *out])
        assert gpu_check.main() == 0
        assert [row["what"] for row in json.loads((tmp_path / "o.json").read_text("utf-8"))["checks"]] == names
    for refused in (["--parts", "tests,other"], ["--quick", "--parts", "sanitizer"]):
        monkeypatch.setattr(sys, "argv", ["gpu_check", *refused])
        with pytest.raises(SystemExit):
            gpu_check.main()


def test_a_comparison_is_judged_by_its_runs_and_their_draws(gpu_check):
    def judged(*draws, wanted=2, limit=60.0):
        runs = [{"status": "done" if draw else "failed", "initial_sha256": draw} for draw in draws]
        found = {"objectives": ["ns"] * wanted, "models": ["skipgram"], "seeds": [1], "runs": runs}
        (row,) = gpu_check.judge_comparison(found, limit)
        return row.measured, row.verdict

    assert judged("a", "a") == ("2 of 2 runs", "ok")
    assert judged("a", None) == ("1 of 2 runs", "FAILED")
    assert judged("a", limit=None) == ("1 of 2 runs, then stopped", "FAILED")
    assert judged("a", "b") == ("2 of 2 runs, from 2 different draws", "FAILED")


def test_the_comparison_is_run_and_kept_beside_the_results(gpu_check, monkeypatch, tmp_path):
    seen = []

    def run(command, environment, limit):
        seen.append(command)
        out = Path(command[command.index("-o") + 1])
        out.mkdir()
        runs = [{"status": "done", "initial_sha256": "a"}]
        record = {"objectives": ["ns"], "models": ["skipgram"], "seeds": [1], "runs": runs}
        (out / "compare.json").write_text(json.dumps(record), encoding="utf-8")
        return 0, ""

    monkeypatch.setattr(gpu_check, "run", run)
    monkeypatch.setattr(gpu_check, "find_sets", lambda arguments: [("--pairs", tmp_path / "p.tsv")])
    arguments = gpu_check.argparse.Namespace(output=tmp_path / "gpu.json", quick=True)
    record = {}
    for _ in range(2):  # what an earlier check left is no obstacle
        (row,) = gpu_check.run_comparison(arguments, tmp_path / "text.txt", {}, record, 60.0)
    assert row.verdict == "ok"
    assert record["comparison"]["objectives"] == ["ns"]
    assert seen[0][1:5] == ["-m", "w2v", "compare", str(tmp_path / "text.txt")]
    assert str(tmp_path / "gpu-comparison") in seen[0]
    assert seen[0][-2:] == ["--pairs", str(tmp_path / "p.tsv")]


def test_without_a_text_the_tests_run_all_the_same(gpu_check, monkeypatch, tmp_path):
    replace_parts(gpu_check, monkeypatch, gpu_check.Row("test_a", "5 passed", "ok"))
    monkeypatch.setattr(gpu_check, "described", lambda: {"gpu": "none"})

    def no_text(given, folder):
        raise OSError("gone")

    monkeypatch.setattr(gpu_check, "find_text", no_text)
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--output", str(tmp_path / "o.json")])
    assert gpu_check.main() == 1
    written = json.loads((tmp_path / "o.json").read_text("utf-8"))
    assert written["problem"] == "no text: gone"
    assert written["checks"][0]["measured"] == "no text: gone"
    assert [row["what"] for row in written["checks"][-4:]] == ["test_a", "memcheck", "racecheck", "racecheck"]


def test_a_part_gets_what_the_earlier_ones_left(gpu_check, monkeypatch, tmp_path):
    limits = {}
    arguments = gpu_check.argparse.Namespace(text=None, minutes=10, parts=list(gpu_check.ENDS))
    monkeypatch.setattr(gpu_check, "find_text", lambda given, folder: folder)
    for name in ("benchmark", "cutoffs", "comparison", "tests", "sanitizer"):
        monkeypatch.setattr(gpu_check, f"run_{name}", lambda *rest, name=name: limits.setdefault(name, rest[-1]))
    list(gpu_check.run_parts(arguments, tmp_path, {}))
    assert limits == pytest.approx({name: 600 * end for name, end in gpu_check.ENDS.items()}, abs=5)
    limits.clear()
    arguments.parts, arguments.minutes = ["tests"], 2
    list(gpu_check.run_parts(arguments, tmp_path, {}))
    assert limits == pytest.approx({"tests": 120}, abs=5)


def test_quick_leaves_compute_sanitizer_out(gpu_check, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(gpu_check, "why_no_device", lambda: None)
    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [])
    monkeypatch.setattr(gpu_check, "run_cutoffs", lambda *arguments: [])
    monkeypatch.setattr(gpu_check, "run", lambda command, environment, limit: seen.append(command) or (1, ""))
    text = tmp_path / "text.txt"
    text.write_text("a b\n", "utf-8")
    monkeypatch.setattr(gpu_check, "described", lambda: {"gpu": "none"})
    arguments = ["--quick", "--pairs", str(text), "--output", str(tmp_path / "o.json")]
    monkeypatch.setattr(sys, "argv", ["gpu_check", str(text), *arguments])
    assert gpu_check.main() == 1
    command, comparison = seen
    assert comparison[1:4] == ["-m", "w2v", "compare"]
    assert comparison[comparison.index("--epochs") + 1] == "2"
    assert command[1:4] == [str(SCRIPTS / "bench_gpu"), str(text), "--runs"]
    assert command[4:7] == ["2", "--seeds", "1"]
    assert command[7:13] == ["--block-runs", "1", "--block-seeds", "1", "--pairs", str(text)]
    assert json.loads((tmp_path / "o.json").read_text("utf-8"))["problem"] == "bench_gpu ends with 1, as said above"


def test_the_tests_run_file_by_file_within_their_time(gpu_check, monkeypatch):
    seen = []

    def run(command, environment, limit):
        seen.append((Path(command[-1]).name, limit))
        return 0, PASSED

    monkeypatch.setattr(gpu_check, "run", run)
    rows = gpu_check.run_tests({}, 200.0)
    assert {"test_devices.py", "test_gpu_training.py"} <= {name for name, _ in seen}
    assert "test_fetch_data.py" not in {name for name, _ in seen}
    assert all(gpu_check.GRACE <= limit <= 200 for _, limit in seen)
    assert {row.verdict for row in rows} == {"ok"}


def test_the_text_and_the_sets_are_found(gpu_check, monkeypatch, tmp_path):
    arguments = gpu_check.argparse.Namespace(pairs=[], analogies=[])
    monkeypatch.delenv("W2V_TEST_CORPORA", raising=False)
    monkeypatch.delenv("W2V_TEST_EVALUATION", raising=False)
    assert gpu_check.find_sets(arguments) == []
    (tmp_path / "en17m.txt.xz").write_bytes(lzma.compress(b"a b c\n"))
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("W2V_TEST_CORPORA", str(tmp_path))
    found = gpu_check.find_text(None, tmp_path / "work")
    assert (found.name, found.read_bytes()) == ("en17m.txt", b"a b c\n")
    assert gpu_check.find_text(found, tmp_path) == found
    for name in ("wordsim353.tsv", "questions-words.txt"):
        (tmp_path / name).touch()
    monkeypatch.setenv("W2V_TEST_EVALUATION", str(tmp_path))
    expected = [("--pairs", tmp_path / "wordsim353.tsv"), ("--analogies", tmp_path / "questions-words.txt")]
    assert gpu_check.find_sets(arguments) == expected
    arguments.analogies = [found]
    assert gpu_check.find_sets(arguments) == [("--analogies", found)]


def test_a_missing_threadpoolctl_gets_a_stand_in(gpu_check, monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        gpu_check.importlib.util, "find_spec", lambda name: None if name == "threadpoolctl" else real(name)
    )
    environment = gpu_check.child_environment(tmp_path)
    code = "import threadpoolctl\nwith threadpoolctl.threadpool_limits(3): print(threadpoolctl.__file__)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parent == tmp_path / "stand-in"


def options(bench_gpu, monkeypatch, *words):
    """bench_gpu's command line."""
    monkeypatch.setattr(sys, "argv", ["bench_gpu", "text", *words])
    return bench_gpu.parse()


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("skipgram-ns", ("skipgram", "ns", 128, "raw", 5, 0.0)),
        ("cbow-hs-300", ("cbow", "hs", 300, "raw", 5, 0.005)),
        ("skipgram-ns-numba", ("skipgram", "ns", 128, "numba", 1, 0.0)),
        ("skipgram-adaptive", ("skipgram", "adaptive", 128, "raw", 5, 0.005)),
        ("cbow-class-64", ("cbow", "class", 64, "raw", 5, 0.005)),
    ],
)
def test_cases_name_configurations(bench_gpu, monkeypatch, case, expected):
    config = bench_gpu.config_of(case, options(bench_gpu, monkeypatch))
    found = config.model, config.objective, config.vector_size, config.kernels, config.epochs, config.heldout
    assert found == expected
    assert (config.device, config.batch_pairs, config.cost_model) == ("cuda", None, None)


def test_options_reach_the_configurations(bench_gpu, monkeypatch, tmp_path):
    model = tmp_path / "cost.json"
    model.touch()
    arguments = options(bench_gpu, monkeypatch, "--heldout", "0.1", "--cost-model", str(model))
    adaptive = bench_gpu.config_of("skipgram-adaptive", arguments, 4096)
    assert (adaptive.heldout, adaptive.cost_model, adaptive.batch_pairs) == (0.1, str(model), 4096)
    assert bench_gpu.config_of("skipgram-full", arguments).cost_model is None
    assert not bench_gpu.calibrates(arguments)
    assert bench_gpu.calibrates(options(bench_gpu, monkeypatch))
    assert not bench_gpu.calibrates(options(bench_gpu, monkeypatch, "--no-calibrate"))
    assert not bench_gpu.calibrates(options(bench_gpu, monkeypatch, "--cases", "skipgram-ns,skipgram-full"))
    with pytest.raises(SystemExit):
        options(bench_gpu, monkeypatch, "--cost-model", str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("case", "runs"),
    [
        ("skipgram-ns", (5, 3, float("inf"))), ("skipgram-ns-numba", (2, 0, float("inf"))),
        ("skipgram-full", (3, 2, 60.0)), ("cbow-adaptive", (1, 1, 60.0)),
    ],
)  # fmt: skip
def test_slow_cases_run_less_often(bench_gpu, monkeypatch, case, runs):
    arguments = options(bench_gpu, monkeypatch, "--pairs", "x")
    config = bench_gpu.config_of(case, arguments)
    assert bench_gpu.plan_runs(case, config, arguments, True) == runs
    assert bench_gpu.plan_runs(case, config, arguments, False)[1] == 0
    assert bench_gpu.plan_runs(case, config, options(bench_gpu, monkeypatch), True)[1] == 0


def text_file(folder):
    """A text of 30 words by Zipf's law, in sentences of 20, and its path."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(30)])[np.minimum(rng.zipf(1.3, 6000) - 1, 29)]
    path = folder / "text.txt"
    path.write_text("".join(" ".join(line) + "\n" for line in words.reshape(-1, 20)), "utf-8")
    return path


@pytest.fixture
def on_cpu(bench_gpu, monkeypatch):
    """bench_gpu with a CPU in the GPU's place, vectors of 8 dims and a memory that shrinks."""
    pytest.importorskip("numba.cuda")
    from w2v.backends import cuda_current

    config_of, left = bench_gpu.config_of, iter(range(2**40, 0, -(2**20)))
    monkeypatch.setattr(
        bench_gpu, "config_of", lambda *rest: bench_gpu.replace(config_of(*rest), device="cpu", vector_size=8)
    )
    monkeypatch.setattr(cuda_current, "free_memory", lambda: next(left))
    pool = types.SimpleNamespace(free_all_blocks=lambda: None)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(get_default_memory_pool=lambda: pool))
    return bench_gpu


def test_softmax_cases_have_losses_and_what_was_chosen(on_cpu, monkeypatch, tmp_path):
    from w2v.corpus import encode_corpus

    corpus = encode_corpus([text_file(tmp_path)])
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("word0\tword1\t9\nword2\tword3\t1\nword4\tword5\t2\n", "utf-8")
    arguments = options(on_cpu, monkeypatch, "--pairs", str(pairs), "--heldout", "0.05")
    row = on_cpu.measure("skipgram-adaptive", corpus, arguments)
    assert (row["runs"], len(row["heldout_nll"]), len(row["heldout_unigram_nll"])) == (3, 3, 3)
    assert 0 < row["heldout_nll"][0] < 2 * np.log(30)
    assert len(row["scores"]["pairs"]) == 2
    assert (row["batch_pairs"], row["cost_model"], row["operands"]) == (1024, "built-in", "float32")
    assert 0 < row["cutoffs"][0] < 30
    assert row["memory_mib"] > 0
    full = on_cpu.measure("skipgram-full", corpus, arguments, scored=False, batch_pairs=2048)
    assert (full["batch_pairs"], full["scores"], "cutoffs" in full) == (2048, {}, False)


def test_a_case_that_takes_too_long_stops_after_a_run(on_cpu, monkeypatch, tmp_path):
    from w2v.corpus import encode_corpus

    corpus = encode_corpus([text_file(tmp_path)])
    arguments = options(on_cpu, monkeypatch, "--case-seconds", "0", "--heldout", "0.05")
    row = on_cpu.measure("skipgram-class", corpus, arguments)
    assert row["runs"] == len(row["heldout_nll"]) == 1
    assert row["notes"][-1] == "stopped after 1 runs: 0 s were over"


def test_a_measured_cost_model_is_kept_and_used(bench_gpu, monkeypatch, tmp_path):
    from w2v.cost import builtin

    seen = []

    def run_w2v(words, environment):
        seen.append(words)
        builtin("cuda").to_json(words[2])

    monkeypatch.setattr(bench_gpu, "run_w2v", run_w2v)
    arguments = options(bench_gpu, monkeypatch)
    row = bench_gpu.guarded("calibration", lambda: bench_gpu.calibrate(arguments, tmp_path))
    assert seen[0][:2] == ["calibrate", "-o"]
    assert seen[0][3:] == ["--device", "cuda", "--vector-size", "128"]
    assert (row["case"], row["blocks"], row["device"]) == ("calibration", 0, "cuda (NVIDIA H200)")
    assert bench_gpu.config_of("skipgram-adaptive", arguments).cost_model == str(tmp_path / "cost.json")


def test_a_command_that_fails_says_why(bench_gpu):
    bench_gpu.run_w2v(["--version"], os.environ)
    with pytest.raises(RuntimeError, match=r"w2v calibrate ends with 2: (.|\n)*give -o COST.json"):
        bench_gpu.run_w2v(["calibrate"], os.environ)


def test_variants_sweep_the_cases_that_are_named(bench_gpu, monkeypatch):
    seen = []
    monkeypatch.setattr(bench_gpu, "measure", lambda case, *rest, **sizes: seen.append((case, sizes)) or {"runs": 0})
    names = [name for name, _ in bench_gpu.variants(None, options(bench_gpu, monkeypatch))]
    assert names[:2] == ["skipgram-adaptive batch_pairs=65536", "skipgram-adaptive batch_pairs=131072"]
    assert {name.split()[0] for name in names} == {*bench_gpu.SWEPT_CASES, *bench_gpu.SWEPT_BLOCK_CASES}
    arguments = options(bench_gpu, monkeypatch, "--cases", "skipgram-full")
    (*_, rows) = bench_gpu.sweep(None, arguments)
    assert [row["case"] for row in rows] == [
        f"skipgram-full batch_pairs={2**power}" for power in range(16, 21)
    ]  # fmt: skip
    assert seen == [("skipgram-full", {"batch_pairs": 2**power}) for power in range(16, 21)]


def test_a_case_that_fails_is_a_row(bench_gpu, capsys):
    def broken():
        raise ValueError("first line\nsecond")

    rows = [bench_gpu.guarded("a", broken), bench_gpu.guarded("b", lambda: bench_gpu.spread("seconds", [3.0, 1, 2]))]
    assert rows[0] == {"case": "a", "error": "ValueError: first line"}
    assert rows[1] == {"case": "b", "seconds": 2, "seconds_p10": 1.2, "seconds_p90": 2.8}
    rows.append({
        "case": "c", "words_per_second": 700.5, "words_per_second_p10": 690.0, "words_per_second_p90": 712.25,
        "scores": {"sims": [60.0, 62.0]}, "group": 6, "registers": 96, "heldout_nll": [7.0, 7.5],
    })  # fmt: skip
    capsys.readouterr()
    bench_gpu.print_table(rows)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:7] == ["case", "M words/s or s", "p10", "p90", "nats/pair", "sims", "group"]
    assert lines[1] == ["a", "ValueError: first line"]
    assert lines[2][:4] == ["b", "2", "1.2", "2.8"]
    assert lines[3][:7] == ["c", "700.5", "690", "712.25", "7.2500", "61.0 ± 1.4", "6"]


def test_variants_change_the_kernel_and_leave_no_trace(bench_gpu):
    pytest.importorskip("numba.cuda")
    from w2v.kernels import window

    from w2v.backends import cuda, cuda_steps, in_flight

    h200 = window.Multiprocessor(132, 232_448, 233_472)
    noise = {"size": 128, "window": 5, "negative": 5, "group": 6, "rows": 10_000, "workers": 1024}
    path = {**noise, "negative": 0, "in_turn": True}
    config = TrainConfig(objective="hs")
    objective = make_objective(config, np.full(100, 100))

    def chosen():
        scales = in_flight.scales(cuda.contributions(config, objective), 1000)
        rows = scales.inputs[0], scales.outputs[-1]
        return window.plan(h200, **noise), window.plan(h200, **path), cuda_steps.chunk_size(10**9, 100), *rows

    before = chosen()
    with bench_gpu.changed(group=4):
        assert chosen()[0].group == 4
    with bench_gpu.changed(per_unit=8):
        assert chosen()[0].workers_per_unit == chosen()[1].workers_per_unit == 8
    with bench_gpu.changed(hot=15):
        assert chosen()[1].hot == 15
    with bench_gpu.changed(chunk=128):
        assert chosen()[2] == 128
    with bench_gpu.changed(tau=in_flight.TAU / 4):
        assert chosen()[3:] == pytest.approx((before[3] / 4, before[4]))
    with bench_gpu.changed(output_tau=objective.unseen_contributions / 4):
        assert chosen()[3:] == pytest.approx((before[3], before[4] / 4))
    with bench_gpu.changed(per_unit=16, hot=127), pytest.raises(ValueError, match="does not fit"):
        chosen()
    assert chosen() == before


def test_scores_are_named_after_their_files(benchmark, tmp_path):
    vectors = KeyedVectors.from_arrays(
        ["a", "b", "c"], np.array([[1, 0], [1, 0.2], [0, 1]], np.float32), np.array([3, 2, 1])
    )
    pairs = tmp_path / "some.tsv"
    pairs.write_text("a\tb\t9\na\tc\t1\nb\tc\t2\na\tzzz\t5\n", "utf-8")
    ((name, (value, covered)),) = benchmark.score(vectors, [pairs], []).items()
    assert (name, round(value), covered) == ("some", 100, "3 of 4")


def test_the_driver_is_described_where_nvidia_smi_answers(benchmark, monkeypatch, tmp_path):
    import w2v.backends

    notes = [{"name": "cpu", "note": "x"}, {"name": "cuda", "note": "NVIDIA H200, 139.7 GiB"}]
    monkeypatch.setattr(w2v.backends, "describe_devices", lambda: notes)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(benchmark.describe_gpu().values()) == ["NVIDIA H200, 139.7 GiB", "nvidia-smi does not answer"]
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho '580.65.06, 1980 MHz, 700.00 W'\n", "utf-8")
    fake.chmod(0o755)
    assert list(benchmark.describe_gpu().values())[1] == "580.65.06, 1980 MHz, 700.00 W"


def test_written_cutoffs_that_do_not_fit_are_left_out(bench_cutoffs, monkeypatch, capsys, tmp_path):
    text, out = text_file(tmp_path), tmp_path / "new" / "cutoffs.json"
    words = ["--device", "cpu", "--vector-size", "8", "--cutoffs", "20", "--cutoffs", "2,8", "--cutoffs", "40"]
    monkeypatch.setattr(sys, "argv", ["bench_cutoffs", str(text), *words, "--rounds", "1", "--output", str(out)])
    assert bench_cutoffs.main() == 0
    printed = capsys.readouterr().out
    assert "left out: --cutoffs 40 must stay below the 30 words of the vocabulary" in printed
    written = json.loads(out.read_text("utf-8"))
    chosen, *others = written["layouts"]
    assert (chosen["chosen"], chosen["small_head"]) == (True, False)
    assert [(layout["cutoffs"], layout["small_head"]) for layout in others] == [([20], False), ([2, 8], True)]
    for layout in written["layouts"]:
        assert layout["measured_ms"] == pytest.approx(
            sum(block["measured_ms"] for block in layout["blocks"]), abs=0.01
        )
        assert len(layout["blocks"]) == len(layout["cutoffs"]) + 1
    assert (written["pairs"], written["head_floor"]) == (1024, 3)
    assert printed.splitlines()[-2].startswith("the chosen cut-offs are ")


def test_layouts_take_turns_and_their_best_round_counts(bench_cutoffs, monkeypatch, capsys):
    times = iter([[0.004, 0.001], [0.002, 0.002], [0.003, 0.001], [0.005, 0.005]])
    seen = []

    def step_seconds(config, corpus, batches):
        seen.append((config.cutoffs, batches))
        return next(times)

    monkeypatch.setattr(bench_cutoffs, "step_seconds", step_seconds)
    blocks = [{"name": "head"}, {"name": "tail 1"}]
    found = [
        {"cutoffs": [cutoff], "chosen": cutoff == 10, "small_head": cutoff == 5, "predicted_ms": 4.4,
         "blocks": [dict(block) for block in blocks]}
        for cutoff in (10, 5)
    ]  # fmt: skip
    config = TrainConfig(objective="adaptive")
    rounds = bench_cutoffs.time_layouts(found, config, None, bench_cutoffs.argparse.Namespace(rounds=2, batches=3))
    assert list(rounds) == [1, 2]
    assert seen == [((10,), 3), ((5,), 3)] * 2
    assert [layout["measured_ms"] for layout in found] == [4.0, 4.0]
    assert [layout["rounds_ms"] for layout in found] == [[5.0, 4.0], [4.0, 10.0]]
    assert [block["measured_ms"] for block in found[0]["blocks"]] == [3.0, 1.0]
    lines = bench_cutoffs.verdicts(found, {"head_floor": 6})
    assert lines[:2] == ["predicted / measured of the chosen: 1.10", "rounds of a layout differ by up to 150.0 %"]
    assert lines[2] == (
        "the chosen cut-offs are at least as fast as all written ones: 1.000 of the time of 5, the fastest of them"
    )
    assert lines[3] == "written ones with a head of 6 words or more: there are none for this text"
    found[0]["measured_ms"] = 4.1
    assert "SLOWER than all written ones: 1.025 of" in bench_cutoffs.verdicts(found, {"head_floor": 6})[2]
    capsys.readouterr()
    bench_cutoffs.print_table(found)
    assert capsys.readouterr().out.splitlines()[1:3] == [
        "5\t4.4\t4\t1.10\tsmall head", "10\t4.4\t4.1\t1.07\tchosen"
    ]  # fmt: skip


def test_written_cutoffs_are_a_dozen(bench_cutoffs):
    assert len({TrainConfig(objective="adaptive", cutoffs=text).cutoffs for text in bench_cutoffs.WRITTEN}) == 12
