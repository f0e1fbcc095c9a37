"""scripts/bench_gpu and scripts/gpu_check without a GPU: what they refuse, judge, compare, write and print."""

import importlib.machinery
import importlib.util
import json
import lzma
import os
import subprocess
import sys
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
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("benchmark")


@pytest.mark.parametrize("script", ["bench_gpu", "gpu_check"])
def test_without_a_gpu_a_script_says_so_in_one_line(script, text):
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, text],
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
    assert gpu_check.sanitize({}, 1.0, "memcheck", "ns").verdict == "not run"


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
            "skipgram-ns": 500, "skipgram-hs": 501, "cbow-ns": 1499, "cbow-hs": 250.5, "skipgram-ns-300": 200
        }.items()
    }  # fmt: skip
    scores = {
        "skipgram-ns": (58.8, 31.2, 39), "skipgram-hs": (57, 27, 38), "cbow-ns": (53, 30, 35), "cbow-hs": (54, 28, 25)
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
    assert rows[0] == gpu_check.Row("skipgram-ns, M words/s", "500 (499–501)", "ok", "500", "1000")
    verdicts = {row.what: row.verdict for row in rows}
    assert verdicts["skipgram-hs, M words/s"] == verdicts["whole run, s"] == "goal"
    assert verdicts["cbow-ns, M words/s"] == verdicts["skipgram-ns, wordsim353"] == "ok"
    assert verdicts["skipgram-ns, simlex999"] == verdicts["skipgram-ns, questions-words"] == "goal"
    assert len(rows) == 6 + 12
    assert not {row.verdict for row in rows} & set(gpu_check.BAD)
    row = next(row for row in rows if row.what == "skipgram-ns, wordsim353")
    assert (row.measured, row.floor, row.goal) == ("58.8 (2 seeds)", "58.8", "61.3")


def test_what_misses_its_floor_is_below(gpu_check):
    slow = {"words_per_second": 199.9, "words_per_second_p10": 1, "words_per_second_p90": 2}
    late = {"seconds": 3.1, "seconds_p10": 3, "seconds_p90": 4}
    poor = record()
    poor["results"][0]["scores"]["questions-words"] = [36.4]
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
    assert [row.verdict for row in nothing] == ["FAILED"] * 7 + ["not run"]


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


def test_the_parts_make_one_record_one_table_and_one_status(gpu_check, monkeypatch, capsys, tmp_path):
    ok, failed = gpu_check.Row("test_a", "5 passed", "ok"), gpu_check.Row("test_a", "1 failed", "FAILED")
    monkeypatch.setattr(gpu_check, "why_no_device", lambda: None)
    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [ok])
    monkeypatch.setattr(gpu_check, "sanitize", lambda environment, limit, tool, _: gpu_check.Row(tool, "0", "ok"))
    monkeypatch.setattr(gpu_check, "benchmark", lambda *arguments: record())
    out = tmp_path / "new" / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["/x/gpu_check", "--output", str(out)])
    assert gpu_check.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-22].split() == ["measured", "floor", "goal"]
    assert lines[-21].split() == ["test_a", "5", "passed", "ok"]
    assert [line.split()[0] for line in lines[-20:-18]] == ["memcheck", "racecheck"]
    column = lines[-22].index("measured")
    assert all(line[column - 2 : column] == "  " for line in lines[-22:])
    written = json.loads(out.read_text("utf-8"))
    assert written["machine"] == {"gpu": "NVIDIA H200, 139.7 GiB", "command": "scripts/gpu_check --output gpu.json"}
    assert written["checks"][0].items() >= {"what": "test_a", "measured": "5 passed", "verdict": "ok"}.items()
    assert len(written["checks"]) == 3 + 18
    assert len(written["results"]) == 6

    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [failed])
    assert gpu_check.main() == 1
    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [ok])
    monkeypatch.setattr(sys, "argv", ["/x/gpu_check", "--output", str(tmp_path)])  # a folder
    assert gpu_check.main() == 1
    assert "not written" in capsys.readouterr().out.splitlines()[-1]


def test_quick_leaves_compute_sanitizer_out(gpu_check, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(gpu_check, "why_no_device", lambda: None)
    monkeypatch.setattr(gpu_check, "run_tests", lambda environment, limit: [])
    monkeypatch.setattr(gpu_check, "run", lambda command, environment, limit: seen.append(command) or (1, ""))
    text = tmp_path / "text.txt"
    text.write_text("a b\n", "utf-8")
    monkeypatch.setattr(gpu_check, "described", lambda: {"gpu": "none"})
    arguments = ["--quick", "--pairs", str(text), "--output", str(tmp_path / "o.json")]
    monkeypatch.setattr(sys, "argv", ["gpu_check", str(text), *arguments])
    assert gpu_check.main() == 1
    (command,) = seen
    assert command[1:4] == [str(SCRIPTS / "bench_gpu"), str(text), "--runs"]
    assert command[4:9] == ["2", "--seeds", "1", "--pairs", str(text)]
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


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("skipgram-ns", ("skipgram", "ns", 128, "raw", 5)),
        ("cbow-hs-300", ("cbow", "hs", 300, "raw", 5)),
        ("skipgram-ns-numba", ("skipgram", "ns", 128, "numba", 1)),
    ],
)
def test_cases_name_configurations(bench_gpu, case, expected):
    config = bench_gpu.config_of(case)
    assert (config.model, config.objective, config.vector_size, config.kernels, config.epochs) == expected
    assert config.device == "cuda"


def test_a_case_that_fails_is_a_row(bench_gpu, capsys):
    def broken():
        raise ValueError("first line\nsecond")

    rows = [bench_gpu.guarded("a", broken), bench_gpu.guarded("b", lambda: bench_gpu.spread("seconds", [3.0, 1, 2]))]
    assert rows[0] == {"case": "a", "error": "ValueError: first line"}
    assert rows[1] == {"case": "b", "seconds": 2, "seconds_p10": 1.2, "seconds_p90": 2.8}
    rows.append({
        "case": "c", "words_per_second": 700.5, "words_per_second_p10": 690.0, "words_per_second_p90": 712.25,
        "scores": {"sims": [60.0, 62.0]}, "group": 6, "registers": 96,
    })  # fmt: skip
    capsys.readouterr()
    bench_gpu.print_table(rows)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:6] == ["case", "M words/s or s", "p10", "p90", "sims", "group"]
    assert lines[1] == ["a", "ValueError: first line"]
    assert lines[2][:4] == ["b", "2", "1.2", "2.8"]
    assert lines[3][:6] == ["c", "700.5", "690", "712.25", "61.0 ± 1.4", "6"]


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
