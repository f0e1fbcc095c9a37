"""scripts/bench_softmax on a small text: what it compares, prints and writes."""

import importlib.machinery
import importlib.util
import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from w2v.comparison.pair_stream import pair_batches
from w2v.corpus import CorpusOptions, encode_corpus

SCRIPTS = Path(__file__).parent.parent / "scripts"
OPTIONS = ["--cutoffs", "10,30", "--vector-size", "64", "--batch-pairs", "300", "--min-count", "1", "--runs", "2"]


@pytest.fixture
def bench(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    loader = importlib.machinery.SourceFileLoader("bench_softmax", str(SCRIPTS / "bench_softmax"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_softmax", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def words(tmp_path):
    """60 words in sentences of 20."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 61)
    lines = [" ".join(f"w{word}" for word in rng.choice(60, 20, p=shares / shares.sum())) for _ in range(300)]
    path = tmp_path / "words.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(bench, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["bench_softmax", *map(str, arguments)])
    return bench.main()


def test_without_torch_this_project_is_timed_alone(bench, words, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    output = tmp_path / "new" / "result.json"
    assert run(bench, monkeypatch, words, *OPTIONS, "--output", output) == 0
    printed, said = capsys.readouterr()
    assert said.startswith("torch is not installed")
    assert "V = 60, D = 64, cut-offs 10,30, div 2, 300 pairs a step" in printed
    table = [line.split("\t") for line in printed.splitlines()[-4:]]
    assert table[0] == list(bench.COLUMNS)
    assert [row[0] for row in table[1:]] == ["adaptive", "class", "full"]
    record = json.loads(output.read_text())
    assert record["machine"]["command"].startswith("scripts/bench_softmax words.txt --cutoffs 10,30")
    for row in record["results"]:
        assert 0 < row["p10"] <= row["thousand_pairs_per_second"] <= row["p90"]
        assert 1 < row["inputs"] <= 60
        assert "ratio" not in row


def test_torch_is_timed_in_turn(bench, words, monkeypatch, capsys):
    pytest.importorskip("torch")
    assert run(bench, monkeypatch, words, *OPTIONS, "--objectives", "adaptive", "--torch-steps", "2") == 0
    table = [line.split("\t") for line in capsys.readouterr().out.splitlines()[-3:]]
    assert [row[0] for row in table] == ["system", "torch adaptive", "adaptive"]
    ours = dict(zip(table[0], table[2], strict=True))
    assert float(ours["ratio_lowest"]) <= float(ours["ratio_highest"])


def test_both_sides_get_the_same_pairs(bench, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bench_softmax", str(words), *OPTIONS])
    ours = bench.Ours("adaptive", encode_corpus([words], CorpusOptions(min_count=1)), bench.parse())
    count = ours.objective.counts.size
    pairs = [batch.pairs for batch in pair_batches(ours.config, ours.objective, ours.ids)]
    pieces = list(ours.backend.pieces(ours.ids, 0))
    assert len(pieces) == len(pairs) > 5
    for piece, (inputs, ranks, _) in zip(pieces, pairs, strict=True):
        assert piece.pairs == inputs.size == ranks.size
        assert piece.batch.inputs.tolist() == np.unique(inputs).tolist()
        np.testing.assert_array_equal(piece.batch.weights, np.unique(inputs, return_counts=True)[1])
        assert ranks.max() < count
    # The text goes on from its beginning when it ends.
    assert len(list(islice(ours._pieces, 2 * len(pieces)))) == 2 * len(pieces)


def test_summary_by_hand(bench):
    base = [bench.Rate(1000.0, 500.0), bench.Rate(2000.0, 1000.0), bench.Rate(4000.0, 900.0)]
    rates = [bench.Rate(20_000.0, 9000.0), bench.Rate(30_000.0, 9000.0), bench.Rate(20_000.0, 18_000.0)]
    row = bench.summary("adaptive", rates, base, "cpu")
    assert row["thousand_pairs_per_second"] == 20
    assert (row["ratio"], row["ratio_lowest"], row["ratio_highest"]) == (10, 5, 20)
    assert (row["per_cpu_second"], row["ratio_per_cpu_second"]) == (9, 10)
    assert "per_cpu_second" not in bench.summary("adaptive", rates, base, "cuda")
    assert "ratio" not in bench.summary(bench.TORCH, base, base, "cpu")


def test_mistakes_are_one_line(bench, words, monkeypatch, capsys):
    assert run(bench, monkeypatch, words, "--min-count", "1", "--cutoffs", "10,60", "--batch-pairs", "300") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench_softmax: --cutoffs 10,60 must stay below the 60 words")
    with pytest.raises(SystemExit):
        run(bench, monkeypatch, words, "--objectives", "adaptive,ns")
    assert "--objectives ns: use some of adaptive,class,full" in capsys.readouterr().err
