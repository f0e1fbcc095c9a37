"""What training takes of memory: stated, bounded, and told where it is not there."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import fibonacci_counts, zipf_counts

from w2v.config import TrainConfig
from w2v.corpus import CorpusOptions, count_words, passes, words
from w2v.corpus.passes import CountPass
from w2v.corpus.sources import find_sources
from w2v.corpus.words import Block, WordTable
from w2v.errors import CorpusError, TrainingError
from w2v.objectives import CorpusShape, make_objective, resolve_for_corpus
from w2v.training import memory
from w2v.training.memory import (
    HostNeed,
    device_need,
    host_need,
    memory_line,
    require_host_memory,
    stated_memory,
    table_bytes,
)

SCRIPTS = Path(__file__).parent.parent / "scripts"
OBJECTIVES = ["ns", "hs", "class", "adaptive", "full"]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="anonymous memory is read from /proc")
MB = 1 << 20


# -- counting --------------------------------------------------------------------------------------------------


def counted(path, max_words, monkeypatch, block=1 << 12, least_long=1 << 12, per_word=64):
    """A CountPass over the file, with the most that its table held: (pass, words, bytes of long words)."""
    monkeypatch.setattr(passes, "BLOCK_SIZE", block)
    monkeypatch.setattr(CountPass, "LEAST_LONG", least_long)
    monkeypatch.setattr(CountPass, "LONG_BYTES", per_word)
    counting = CountPass(find_sources([path]), None, max_words)
    most = [0, 0]
    place = counting._place

    def placed(text_block):
        most[0], most[1] = max(most[0], len(counting.table)), max(most[1], counting.table.long_bytes)
        place(text_block)

    counting._place = placed
    counting.run(2)
    return counting, *most


def test_long_rare_words_do_not_crowd_out_short_ones(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("".join(f"{number:0500d} word{number % 100}\n" for number in range(1000)))
    counting, most_words, most_long = counted(path, 300, monkeypatch)
    assert counting.pruned
    assert most_long <= 64 * 300
    kept = dict(
        zip(counting.table.join(np.arange(len(counting.table))).decode().split(), counting.table.counts, strict=True)
    )
    assert all(kept[f"word{number}"] == 10 for number in range(100))


@pytest.mark.parametrize(("length", "words_met"), [(5, 20_000), (60, 5_000), (1000, 500), (10_000, 60)])
def test_max_vocab_size_bounds_words_and_the_bytes_of_long_ones(tmp_path, monkeypatch, length, words_met):
    path = tmp_path / "text.txt"
    rare = [f"{number:0{length}d}" for number in range(words_met)]
    path.write_text("".join(f"often {word} also often\n" for word in rare))
    counting, most_words, most_long = counted(path, 300, monkeypatch)
    assert counting.pruned
    assert most_words <= 300
    assert most_long <= 64 * 300
    # The table has room for a block's words beside those that are kept, and half as much again for growing.
    assert counting.table.nbytes < 2 * (32 + 8) * (300 + 2000) + 2 * (64 * 300 + (1 << 12) + 2 * length) + 65_536
    assert counting.raw_tokens == 4 * words_met
    vocabulary, totals = count_words([path], CorpusOptions(1, max_vocab_size=300))
    assert totals.raw_tokens == 4 * words_met
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))["often"] == 2 * words_met


def test_long_words_below_the_bound_are_all_kept(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(f"{number:0100d}" for number in range(150)))
    counting, most_words, most_long = counted(path, 300, monkeypatch)
    assert not counting.pruned
    assert (most_words, most_long) == (150, 15_000)


@pytest.mark.parametrize(
    ("bound", "long_bytes", "left"),
    [
        (5, 1000, ["a", "x", "y", "b", "c"]),
        (4, 1000, ["a", "x", "y", "b"]),
        (3, 1000, ["a", "x"]),  # b and y occur as often: they go together
        (4, 49, ["a", "x", "b"]),
        (4, 50, ["a", "x", "y", "b"]),
        (5, 19, ["a", "b", "c"]),
        (1, 1000, ["a"]),
        (9, 0, ["a", "b", "c"]),
    ],
)
def test_the_thresholds_are_the_least_that_fit(bound, long_bytes, left):
    spelled = {"x": "x" * 20, "y": "y" * 30}
    counts = {"a": 9, "x": 5, "y": 3, "b": 3, "c": 1}
    table = WordTable()
    table.add(Block.of("".join(f"{spelled.get(word, word)} " * count for word, count in counts.items()).encode()))
    table.prune(*table.thresholds_for(bound, long_bytes))
    kept = table.join(np.arange(len(table))).decode().split()
    assert sorted(kept) == sorted(spelled.get(word, word) for word in left)
    assert table.long_bytes == sum(len(word) for word in kept if len(word) > 16)


@pytest.mark.parametrize("refused", ["asked", "allocated"])
def test_too_many_words_for_the_memory_name_a_bound(tmp_path, monkeypatch, refused):
    path = tmp_path / "text.txt"
    path.write_text(" ".join(f"w{number}" for number in range(30_000)))
    monkeypatch.setattr(words, "_LARGE", MB // 4)
    if refused == "asked":
        monkeypatch.setattr(words, "available_memory", lambda: MB // 4)
    else:

        def refuse(*arguments):
            raise MemoryError

        monkeypatch.setattr(words.kernel, "fill_slots", refuse)
    with pytest.raises(CorpusError, match=r"bound them with --max-vocab-size \d+, or take a machine"):
        count_words([path], CorpusOptions(1))


def test_the_proposed_bound_is_round(monkeypatch):
    monkeypatch.setattr(words, "available_memory", lambda: 10)
    message = "for the 2,468,135 and more .* --max-vocab-size 1200000,"
    with pytest.raises(CorpusError, match=message), words.memory_reported(1 << 30, 2_468_135):
        pass


# -- the need of training --------------------------------------------------------------------------------------


def resolved(objective, counts, model="skipgram", **options):
    """(configuration, shape) of a corpus with these counts."""
    shape = CorpusShape(counts, int(counts.sum()), int(counts.sum()) // 20)
    return resolve_for_corpus(
        TrainConfig(objective=objective, model=model, threads=2, **options), shape, "cpu"
    ), shape


def need(objective, counts, model="skipgram", device="cpu", heldout_ids=0, **options):
    return host_need(*resolved(objective, counts, model, **options), device, heldout_ids)


@linux
@pytest.mark.parametrize(
    ("objective", "model", "vocabulary"),
    [
        ("ns", "skipgram", 200_000),
        ("hs", "cbow", 100_000),
        ("adaptive", "cbow", 50_000),
        ("full", "skipgram", 20_000),
    ],
)
def test_what_is_stated_is_what_is_taken(tmp_path, objective, model, vocabulary):
    asked = {"objective": objective, "model": model, "threads": 2, "folder": str(tmp_path)}
    command = [sys.executable, SCRIPTS / "bench_memory", "need", "--measure", json.dumps(asked)]
    command += ["--words", str(vocabulary), "--tokens", "20000"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["taken"] <= found["need"] <= 1.5 * found["taken"] + 100e6


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_the_need_holds_the_parameters_and_grows_with_everything(objective, model):
    counts = zipf_counts(3000)
    config, shape = resolved(objective, counts, model)
    small = host_need(config, shape, "cpu")
    made = make_objective(config, counts)
    assert small.lasting["parameters"] >= 4 * sum(int(np.prod(size)) for size in made.parameter_shapes.values())
    assert small.total > need(objective, counts[:1000], model).total
    assert small.total < need(objective, counts, model, vector_size=300).total
    assert small.total <= host_need(replace(config, threads=8), shape, "cpu").total
    assert small.total <= host_need(config, shape, "cpu", 10**6).total
    # A GPU holds the parameters, and the host a copy at the end.
    on_gpu = host_need(config, shape, "cuda")
    assert on_gpu.passing["saving"] > small.lasting["parameters"]
    assert "parameters" not in on_gpu.lasting


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_replica_has_its_own(objective):
    """Parameters, and those of the last round; threads are shared out."""
    config, shape = resolved(objective, zipf_counts(20_000), vector_size=300)
    alone = host_need(replace(config, threads=1), shape, "cpu")
    one, two, four = (host_need(replace(config, replicas=n, threads=n), shape, "cpu").total for n in (1, 2, 4))
    assert one >= alone.total + alone.lasting["parameters"]
    assert two - one >= alone.total + alone.lasting["parameters"]
    assert four - two == pytest.approx(2 * (two - one))
    few, many = (host_need(replace(config, replicas=2, threads=threads), shape, "cpu").total for threads in (2, 8))
    assert few <= many
    # The reference is on the GPU there.
    on_gpu = [host_need(replace(config, replicas=n), shape, "cuda").total for n in (1, 2)]
    assert on_gpu[1] - on_gpu[0] < two - one + memory.CUDA_CODE
    available = two - 10**7
    with pytest.raises(TrainingError, match="--vector-size") as refused:
        require_host_memory(replace(config, replicas=2, threads=2), shape, "cpu", available)
    size = int(re.search(r"--vector-size (\d+)", str(refused.value))[1])
    fitting = replace(config, replicas=2, threads=2, vector_size=size)
    assert host_need(fitting, shape, "cpu").total <= available


@pytest.mark.parametrize("counts", [zipf_counts(5000), fibonacci_counts(60), np.full(1000, 7), np.array([5, 5])])
def test_the_tables_are_near_what_they_turn_out(counts):
    for objective in ("ns", "hs"):
        config, _ = resolved(objective, counts)
        made = make_objective(config, counts)
        known = sum(np.asarray(part).nbytes for part in (*made.tables, getattr(made, "noise", ())))
        stated = table_bytes(config, counts)
        # A tree that is a chain has longer paths, but such counts make few words.
        assert known <= 1.5 * stated + 64
        assert stated <= 1.5 * known + 1000


def test_only_the_largest_of_what_passes_counts():
    assert HostNeed({"a": 10, "b": 1}, {"c": 5, "d": 7}).total == 18
    assert HostNeed({"a": 10}, {}).total == 10


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_does_not_fit_is_refused_with_options_that_do(objective):
    counts = zipf_counts(20_000)
    config, shape = resolved(objective, counts, vector_size=300)
    total = host_need(config, shape, "cpu").total
    assert require_host_memory(config, shape, "cpu", total).total == total
    assert require_host_memory(config, shape, "cpu", None).total == total
    available = total - 10**7
    with pytest.raises(
        TrainingError, match="training needs about .* of memory and .* are available: use "
    ) as refused:
        require_host_memory(config, shape, "cpu", available)
    message = str(refused.value)
    size = int(re.search(r"--vector-size (\d+)", message)[1])
    limit = int(re.search(r"--max-final-vocab (\d+)", message)[1])
    least = int(re.search(r"--min-count (\d+)", message)[1])
    assert 1 <= size < 300
    assert host_need(replace(config, vector_size=size), shape, "cpu").total <= available
    assert 2 <= limit < 20_000
    assert need(objective, counts[:limit], vector_size=300).total <= available * 1.02
    assert 2 <= np.count_nonzero(counts >= least) <= limit


def test_what_nothing_makes_fit_is_said():
    config, shape = resolved("ns", zipf_counts(20_000))
    with pytest.raises(
        TrainingError, match=r"10 MB are available: lower both --vector-size and --max-final-vocab, or"
    ):
        require_host_memory(config, shape, "cpu", 10**7)


@pytest.mark.parametrize(
    ("objective", "option"), [("adaptive", {"cutoffs": (1000, 19_000)}), ("class", {"classes": 19_500})]
)
def test_cutoffs_and_classes_follow_the_words_of_the_advice(objective, option):
    counts = zipf_counts(20_000)
    config, shape = resolved(objective, counts, vector_size=300, **option)
    lasting = host_need(config, shape, "cpu").lasting
    available = host_need(config, shape, "cpu").total - lasting["parameters"] // 4
    with pytest.raises(TrainingError, match=r"--max-final-vocab (\d+)") as refused:
        require_host_memory(config, shape, "cpu", available)
    assert 1000 < int(re.search(r"--max-final-vocab (\d+)", str(refused.value))[1]) < 19_000


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_need_of_the_device_is_what_the_backends_ask_for(objective):
    pytest.importorskip("numba.cuda")
    config, _ = resolved(objective, zipf_counts(3000), vector_size=70)
    made = make_objective(config, zipf_counts(3000))
    if objective in ("ns", "hs"):
        from w2v.backends.cuda_stream import DeviceStream

        rows = made.counts.size + made.output_rows
        expected = 4 * (72 + 1) * rows + DeviceStream.table_bytes(made.counts, made.tables)
    else:
        from w2v.backends.block_cuda import _needed_bytes

        expected = _needed_bytes(made)
    assert device_need(config, made.counts) == pytest.approx(expected, rel=0.02 if objective == "hs" else 0)


def test_training_is_stated_before_it_begins(monkeypatch):
    config, shape = resolved("ns", zipf_counts(3000))
    monkeypatch.setattr(memory, "available_memory", lambda: 5 * 10**9)
    total = host_need(config, shape, "cpu").total
    assert (
        stated_memory(config, shape, "cpu")
        == f"training needs about {round(total / 1e6)} MB of memory (5.0 GB available)"
    )
    monkeypatch.setattr(memory, "available_memory", lambda: 10**8)
    with pytest.raises(TrainingError, match="100 MB are available"):
        stated_memory(config, shape, "cpu")


def test_the_line_says_what_is_needed_and_what_is_there():
    found = HostNeed({"parameters": 80_400_000}, {"batch": 6_000_000})
    assert memory_line(found, 22_100_000_000) == "training needs about 86 MB of memory (22.1 GB available)"
    assert memory_line(found, 10**9, 5 * 10**9, 7 * 10**9).endswith(" and 5.0 GB of GPU memory (7.0 GB free)")
    assert "this system does not tell" in memory_line(found, None)


# -- texts larger than memory ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts():
    """scripts/memory_texts.py as a module."""
    specification = importlib.util.spec_from_file_location("memory_texts", SCRIPTS / "memory_texts.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules["memory_texts"] = module  # its dataclass looks its own module up
    specification.loader.exec_module(module)
    return module


def test_the_generated_texts_are_what_they_are_said_to_be(tmp_path, texts):
    path = tmp_path / "text.txt"
    assert texts.write_zipf(path, 40_000, words=500) == len(path.read_text().split())
    assert path.stat().st_size == pytest.approx(40_000, abs=8)
    assert path.read_bytes().endswith(b"\n")
    assert len(path.read_text().splitlines()[0].split()) == 1000
    tokens = texts.write_distinct(path, 30_000, 100, length=9)
    found = path.read_text().split()
    assert tokens == len(found)
    assert {len(word) for word in found} == {9}
    _, counts = np.unique(found, return_counts=True)
    assert np.count_nonzero(counts == 1) == 30_000
    assert counts.size == 30_100


@linux
def test_memory_does_not_grow_with_the_text(tmp_path, texts):
    peaks = []
    for megabytes in (8, 100):
        text = tmp_path / f"{megabytes}.txt"
        texts.write_zipf(text, megabytes * 10**6)
        options = (
            "--vector-size 16 --window 1 --negative 1 --epochs 1 --sample 1e-7 --heldout 0.3 --threads 2 --quiet"
        )
        command = [sys.executable, "-m", "w2v", "train", str(text), "-o", str(tmp_path / f"{megabytes}")]
        run = texts.watch([*command, *options.split(), "--device", "cpu"])
        assert run.returncode == 0, run.stderr
        peaks.append(run.peak)
    # The text, its ids, or the part of them that is trained on: each alone would be more.
    assert peaks[1] < peaks[0] + 60e6
