"""``w2v calibrate`` with timers that know the answer, and the figures."""

import csv
import io
import json
import sys
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from cost_cases import KnownTimer, known_model

from w2v.cli import cli, main
from w2v.cli.calibrate import calibrate
from w2v.config import TrainConfig
from w2v.corpus import encode_corpus
from w2v.cost import CostModel, Step, builtin
from w2v.cost.figures import draw_all
from w2v.cost.measure import grid
from w2v.cost.zipf import zipf_shares
from w2v.errors import ConfigError, CorpusError, FormatError, MissingExtraError, OutputError, TrainingError

FIGURES = ["block_cost.png", "clusters.png", "head_size.png"]


class Asked:
    """What the command asked the timing module for."""

    def __init__(self):
        self.timers, self.explained = [], []


@pytest.fixture
def asked(monkeypatch):
    """The timing module replaced: blocks take what ``known_model`` says, a corpus's blocks 1 ms, 2 ms, …"""
    record = Asked()

    def make_block_timer(device, threads):
        record.timers.append((device, threads))
        return KnownTimer(known_model(f"{device} (known, 1 thread)"))

    def explain_timings(config, corpus):
        record.explained.append((config, len(corpus.vocabulary)))
        tails = len(config.cutoffs) + (0 if config.shortlist else 1)
        return [(number + 1) / 1000 for number in range(tails + 1)]

    module = ModuleType("w2v.backends.block_timing")
    module.make_block_timer, module.explain_timings = make_block_timer, explain_timings
    monkeypatch.setitem(sys.modules, "w2v.backends.block_timing", module)
    return record


@pytest.fixture
def corpus(tmp_path):
    """200 words whose counts fall as 600 / rank, in lines of 30."""
    words = [f"w{rank}" for rank in range(1, 201) for _ in range(600 // rank)]
    words = [words[place * 7919 % len(words)] for place in range(len(words))]
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(" ".join(words[start : start + 30]) for start in range(0, len(words), 30)) + "\n")
    return path


@pytest.fixture
def cost_file(tmp_path):
    path = tmp_path / "known.json"
    known_model().to_json(path)
    return path


def run(*arguments):
    result = CliRunner().invoke(calibrate, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def table(result):
    return list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))


def is_png(path):
    content = path.read_bytes()
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82") and len(content) > 10_000


def test_measures_fits_saves_and_prints_the_coefficients(asked, tmp_path):
    out = tmp_path / "cost.json"
    out.write_text("old")
    result = run("-o", out, "--device", "cpu", "--threads", 1, "--vector-size", 64)
    assert asked.timers == [("cpu", 1)]
    model = CostModel.from_json(out)
    assert model.device == "cpu (known, 1 thread)"
    assert model.reference_size == 64
    assert [(m.columns, m.inputs, m.size) for m in model.measurements] == grid(64, "cpu")
    assert model.reference_slope == pytest.approx(known_model().slope(64), rel=0.02)
    assert {"w2v", "python", "numpy", "numba"} <= set(model.versions)
    printed = {row["quantity"]: row["value"] for row in table(result)}
    assert float(printed["c"]) == pytest.approx(2e-5, rel=0.05)
    assert float(printed["lambda"]) == pytest.approx(model.reference_slope, rel=1e-5)
    assert float(printed["k0"]) * float(printed["B0"]) == pytest.approx(model.threshold, rel=1e-4)
    assert printed["blocks"] == str(len(model.measurements))
    assert {"error_median", "error_p90", "alpha", "beta", "gamma", "delta", "device"} <= set(printed)
    assert f"{len(model.measurements)} blocks timed" in result.stderr
    assert "saved to" in result.stderr
    assert "calibrate again" not in result.stderr


def test_says_so_where_the_timings_fit_badly(asked, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    monkeypatch.setattr(KnownTimer, "block_seconds", lambda self, *shape: 10 ** rng.uniform(-4, -1))
    result = run("-o", tmp_path / "cost.json", "--device", "cpu")
    assert result.stderr.splitlines()[-1] == "the timings fit badly: let nothing else run, and calibrate again"


def test_prints_json(cost_file):
    result = run("--cost-model", cost_file, "--device", "cpu", "--json")
    rows = {row["quantity"]: row for row in json.loads(result.stdout)}
    assert rows["c"] == {"quantity": "c", "value": 2e-5, "unit": "seconds per block"}
    assert rows["error_median"]["value"] is None
    assert f"{cost_file}, measured on cpu (known)" in result.stderr


def test_explains_a_corpus_with_an_earlier_model(asked, corpus, cost_file):
    result = run("--cost-model", cost_file, "--explain", corpus, "--device", "cpu", "--clusters", 4, "-size", 48)
    assert asked.timers == []
    ((config, words),) = asked.explained
    assert words == 120  # of the others there are fewer than five
    assert (config.objective, config.device, config.vector_size) == ("adaptive", "cpu", 48)
    assert len(config.cutoffs) == 3
    assert config.batch_pairs > 0
    rows = table(result)
    assert [row["block"] for row in rows] == ["head", "tail 1", "tail 2", "tail 3", "total"]
    assert [float(row["measured_ms"]) for row in rows] == [1, 2, 3, 4, 10]
    assert [int(row["last"]) for row in rows] == [*config.cutoffs, words, words]
    assert [int(row["first"]) for row in rows] == [1, *(cutoff + 1 for cutoff in config.cutoffs), 1]
    assert [int(row["dims"]) for row in rows[:-1]] == [48, 24, 16, 16]
    assert float(rows[0]["share"]) == 1
    predicted = [float(row["predicted_ms"]) for row in rows]
    assert sum(predicted[:-1]) == pytest.approx(predicted[-1], rel=1e-4)
    assert f"predicted / measured: {predicted[-1] / 10:.2f}" in result.stderr
    assert f"--cutoffs {','.join(map(str, config.cutoffs))}: 4 clusters" in result.stderr
    assert "the head of --cutoffs auto has" in result.stderr


def test_the_summary_names_the_group_that_keeps_to_the_floor(asked, corpus, cost_file):
    common = ("--cost-model", cost_file, "--explain", corpus, "--device", "cpu")
    assert "for quality the head of --cutoffs auto has 12 words at least" in run(*common).stderr
    assert (
        "for quality the first tail of --cutoffs auto has 12 words at least" in run(*common, "--no-shortlist").stderr
    )


def test_every_option_has_a_help():
    assert [option.name for option in calibrate.params if not getattr(option, "help", None)] == []


def lines_of_one_word(path, others):
    """A text of 3,000 lines without pairs, and then others."""
    path.write_text("\n".join([f"w{number % 7}" for number in range(3000)] + others) + "\n")
    return path


def small_batches(corpus, cost_file):
    """Arguments that cut a text into batches of about two pairs, and time them on the CPU."""
    return (
        "--cost-model", cost_file, "--explain", corpus, "--device", "cpu", "--threads", 1, "--min-count", 1,
        "--sample", 0, "--batch-pairs", 2, "--cutoffs", 2, "-size", 8, "--no-cache",
    )  # fmt: skip


def test_batches_without_pairs_are_not_timed(tmp_path, cost_file):
    corpus = lines_of_one_word(tmp_path / "text.txt", ["a b c d"] * 50)
    rows = table(run(*small_batches(corpus, cost_file)))
    assert [row["block"] for row in rows] == ["head", "tail 1", "total"]
    assert all(float(row["measured_ms"]) > 0 for row in rows)


class Trained:
    """Which batches ``explain_timings`` trained, and what it found."""

    def __init__(self, monkeypatch):
        from w2v.backends import block_timing

        self.rows = []
        timed = block_timing._timed_step

        def recorded(backend, batch):
            self.rows.append(int(batch.rows))
            return [100.0, 100.0] if len(self.rows) == 1 else timed(backend, batch)

        monkeypatch.setattr(block_timing, "_timed_step", recorded)


def explained(text, batch_pairs):
    from w2v.backends.block_timing import explain_timings
    from w2v.corpus import CorpusOptions

    config = TrainConfig(
        objective="adaptive", cutoffs=(2,), vector_size=8, sample=0, batch_pairs=batch_pairs, threads=1, device="cpu"
    )
    with encode_corpus([text], CorpusOptions(min_count=1), use_cache=False) as corpus:
        return explain_timings(config, corpus)


@pytest.mark.parametrize(("repeats", "batch_pairs", "most"), [(50, 2, 6), (2, 10_000, 2)])
def test_the_first_batch_never_counts(tmp_path, monkeypatch, repeats, batch_pairs, most):
    """Many batches: five after the first. One batch: once more."""
    trained = Trained(monkeypatch)
    found = explained(lines_of_one_word(tmp_path / "text.txt", ["a b c d"] * repeats), batch_pairs)
    assert len(trained.rows) == most
    assert min(trained.rows) > 0
    assert len(found) == 2
    assert all(0 < seconds < 50 for seconds in found)


def test_a_text_without_pairs_cannot_be_timed(tmp_path, monkeypatch):
    trained = Trained(monkeypatch)
    with pytest.raises(TrainingError, match="no batch of the corpus has a pair that could be timed"):
        explained(lines_of_one_word(tmp_path / "text.txt", []), 2)
    assert trained.rows == []


def test_explain_prints_json_and_prices_given_cutoffs(asked, corpus, cost_file):
    common = ("--cost-model", cost_file, "--explain", corpus, "--device", "cpu", "--json")
    rows = json.loads(run(*common, "--cutoffs", "40,90", "--no-shortlist", "--model", "cbow").stdout)
    config = asked.explained[0][0]
    assert (config.cutoffs, config.shortlist, config.model) == ((40, 90), False, "cbow")
    assert [(row["block"], row["first"], row["last"]) for row in rows[:4]] == [
        ("head", None, None), ("tail 1", 1, 40), ("tail 2", 41, 90), ("tail 3", 91, asked.explained[0][1]),
    ]  # fmt: skip
    assert rows[0]["columns"] == 3
    assert rows[1]["dims"] == 100
    # A window is an input of its own.
    assert rows[0]["inputs"] == pytest.approx(config.batch_pairs)
    assert rows[2]["inputs"] == pytest.approx(config.batch_pairs * rows[2]["share"])
    run(*common, "--batch-pairs", 777)
    assert asked.explained[1][0].batch_pairs == 777


def test_measures_and_explains_in_one_run(asked, corpus, tmp_path):
    out = tmp_path / "cost.json"
    result = run("-o", out, "--explain", corpus, "--explain", corpus, "--device", "cpu")
    assert len(asked.timers) == len(asked.explained) == 1
    assert CostModel.from_json(out).device == "cpu (known, 1 thread)"
    assert table(result)[0]["block"] == "head"


def test_plots_with_and_without_a_corpus(asked, corpus, cost_file, tmp_path):
    pytest.importorskip("matplotlib")
    folders = [tmp_path / "made" / "here", tmp_path / "plots"]
    result = run("--cost-model", cost_file, "--device", "cpu", "--plots", folders[0])
    run("-o", tmp_path / "cost.json", "--device", "cpu", "--explain", corpus, "--plots", folders[1])
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == FIGURES
        assert all(is_png(path) for path in folder.iterdir())
    assert result.stderr.count("drawn: ") == 3


def test_figures_of_a_step_without_a_shortlist_and_of_cbow(tmp_path):
    pytest.importorskip("matplotlib")
    step = Step(zipf_shares(500), 5000, 6.0, 40, 2.0, shortlist=False, cbow=True)
    paths = draw_all(builtin("cuda"), step, "500 words", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == FIGURES
    assert len(paths) == 3
    assert all(is_png(path) for path in tmp_path.iterdir())


def test_plots_without_matplotlib_are_refused_before_measuring(asked, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'w2v\[plot\]'"):
        run("-o", tmp_path / "cost.json", "--device", "cpu", "--plots", tmp_path / "plots")
    assert asked.timers == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give -o COST.json to measure, or --cost-model"),
        (("-o", "OUT", "--cost-model", "KNOWN"), "give -o COST.json to measure, or --cost-model"),
        (("-o", "OUT", "--cutoffs", "10,20"), "are for --explain CORPUS"),
        (("--cost-model", "KNOWN", "--clusters", "3"), "are for --explain CORPUS"),
        (("-o", "CORPUS", "--explain", "CORPUS"), "would replace the input"),
    ],
)
def test_usage_errors(asked, corpus, cost_file, tmp_path, arguments, message):
    names = {"OUT": tmp_path / "out.json", "KNOWN": cost_file, "CORPUS": corpus}
    before = corpus.read_text()
    result = CliRunner().invoke(calibrate, [str(names.get(argument, argument)) for argument in arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert asked.timers == []
    assert corpus.read_text() == before
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("-o", "missing/cost.json"), OutputError, "does not exist"),
        (("-o", "cost.json", "--explain", "gone.txt"), CorpusError, r"gone\.txt"),
        (("--cost-model", "gone.json"), FormatError, "cannot read the cost model"),
        (("-o", "cost.json", "--vector-size", "0"), ConfigError, "--vector-size 0 is out of range"),
        (("-o", "cost.json", "--clusters", "3", "--cutoffs", "5"), ConfigError, "give it or --cutoffs"),
    ],
)
def test_errors_come_before_measuring(asked, tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        run(*arguments, "--device", "cpu")
    assert asked.timers == []
    assert not (tmp_path / "cost.json").exists()


def test_cutoffs_beyond_the_vocabulary_and_too_many_clusters_end_in_one_line(
    asked, corpus, cost_file, tmp_path, capsys
):
    small = tmp_path / "small.txt"
    small.write_text("a b c\nb a c\n")
    common = [
        "calibrate",
        "--cost-model",
        str(cost_file),
        "--device",
        "cpu",
        "--min-count",
        "1",
        "--sample",
        "0",
        "--explain",
    ]
    for more, message in (
        ([str(corpus), "--cutoffs", "50,5000"], "--cutoffs 50,5000 must stay below"),
        ([str(small), "--clusters", "9"], "--clusters 9 is too many for 3 words: use at most 3"),
    ):
        with pytest.raises(SystemExit) as raised:
            main([*common, *more])
        assert raised.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_an_interrupted_measurement_leaves_the_old_file(asked, tmp_path, monkeypatch):
    out = tmp_path / "cost.json"
    out.write_text("old")

    def interrupted(self, columns, inputs, size):
        raise KeyboardInterrupt

    monkeypatch.setattr(KnownTimer, "block_seconds", interrupted)
    with pytest.raises(SystemExit) as raised:
        main(["calibrate", "-o", str(out), "--device", "cpu"])
    assert raised.value.code == 130
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["cost.json"]


def test_the_command_is_one_of_w2vs():
    assert cli.commands["calibrate"] is calibrate
