"""scripts/simulate_scaling: its formulas against numbers worked out by hand, and what it claims."""

import importlib.machinery
import importlib.util
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from w2v.backends.base import EpochReport
from w2v.config import TrainConfig
from w2v.distributed import averaging
from w2v.distributed.averaging import RowAverager
from w2v.distributed.notes import write_note
from w2v.distributed.rounds import default_sync_words, rounds_per_epoch, rows_of_round

SCRIPTS = Path(__file__).parent.parent / "scripts"
sys.path.append(str(SCRIPTS))

import scaling_corpus  # noqa: E402 (in the folder that was just added)
import scaling_links  # noqa: E402
import scaling_measure  # noqa: E402
import scaling_model  # noqa: E402
from scaling_links import FABRICS, Fabric, Link, allreduce_seconds  # noqa: E402
from scaling_model import Job, Worker, predict  # noqa: E402

BIG = Job("ns", 10**6, 300, 1e9, 1e5, ((10**6, 304), (10**6, 304)), dots=30.0)
H200 = Worker(scaling_model.speed("ns", 10**6, 300))
RATED = scaling_links.REACHED
START = scaling_links.START_SECONDS


def one_link(bandwidth, latency, **more):
    link = Link("test", bandwidth, latency)
    return Fabric("test", link, link, **more)


def zipf(rows, tokens=10**6):
    return scaling_corpus.extrapolated(rows, tokens, scaling_corpus.Mandelbrot(1.1, 3.0))


def test_ring_and_tree_by_hand():
    # Four members, 8 MB at 1 GB/s: six messages of 2 MB, each 2 ms and 10 µs.
    assert scaling_links.ring_seconds(4, 8e6, 1e9, 1e-5) == pytest.approx(6 * (2e-3 + 1e-5))
    # Up and down: 8 MB twice, and two levels twice.
    assert scaling_links.tree_seconds(4, 8e6, 1e9, 1e-5) == pytest.approx(16e-3 + 4e-5)
    assert scaling_links.tree_seconds(5, 0, 1e9, 1e-5) == pytest.approx(6e-5)
    # A large message goes by the ring, a small one among many by the tree.
    assert scaling_links.flat_seconds(4, 8e6, 1e9, 1e-5) == scaling_links.ring_seconds(4, 8e6, 1e9, 1e-5)
    assert scaling_links.flat_seconds(512, 1e3, 1e9, 1e-5) == scaling_links.tree_seconds(512, 1e3, 1e9, 1e-5)


def test_all_reduce_in_one_computer_and_over_two():
    fabric = Fabric("test", Link("in", 1e9, 0.0), Link("out", 1e8, 0.0, ports=2), per_computer=4)
    inside = 2 * 3 / 4 * 8e6 / (1e9 * RATED)
    assert allreduce_seconds(4, 8e6, fabric) == pytest.approx(START + inside)
    # Two computers: between them 2 · 1 / 2 of 8 MB, over two ports of 100 MB/s.
    assert allreduce_seconds(8, 8e6, fabric) == pytest.approx(START + inside + 8e6 / (2e8 * RATED))
    assert allreduce_seconds(1, 8e6, fabric) == 0


def test_adders_take_longer_for_more_members():
    store = one_link(1e9, 1e-3, per_computer=64, adders=True)
    assert allreduce_seconds(2, 1e6, store) == pytest.approx(1e-3 + 1e-3)
    assert allreduce_seconds(8, 1e6, store) == pytest.approx(1e-3 + 4e-3)


@pytest.mark.parametrize("name", FABRICS)
def test_all_reduce_grows_with_bytes_and_members(name):
    times = [[allreduce_seconds(n, size, FABRICS[name]) for size in (1e3, 1e6, 1e9)] for n in (2, 4, 8, 16, 64, 512)]
    assert (np.diff(times, axis=1) > 0).all()
    assert (np.diff(times, axis=0) >= 0).all()


@pytest.mark.parametrize("rounds", [1, 2, 3, 7, 8, 100, 1025])
@pytest.mark.parametrize("rows", [10, 1024, 5000, 10**6])
def test_bytes_of_an_epoch_are_those_of_the_schedule(rounds, rows):
    members = 5
    job = replace(BIG, matrices=((rows, 12), (rows - 1, 5), (rows, 1)))
    one_by_one = sum(
        4 * rows_of_round(number, rounds, length) * (floats + 1)
        for number in range(1, rounds + 1)
        for length, floats in job.matrices
    )
    one_by_one += rounds * 4 * members * 25
    mean = scaling_model.mean_of_rounds(
        rounds, lambda number: scaling_model.round_bytes(job, number, rounds, members)
    )
    assert mean * rounds == pytest.approx(one_by_one, rel=1e-12)
    assert sum(times for _, times in scaling_model.levels(rounds)) == rounds


@pytest.mark.parametrize("block_bytes", [1 << 26, 50_000])
@pytest.mark.parametrize("members", [1, 3])
def test_bytes_and_sums_are_those_of_the_averaging(block_bytes, members, monkeypatch):
    class Counting:
        xp, bytes, sums = np, 0, 0

        def sum(self, values):
            self.bytes += values.nbytes
            self.sums += 1
            return values

    for name in ("BLOCK_BYTES", "CPU_BLOCK_BYTES"):
        monkeypatch.setattr(averaging, name, block_bytes)

    matrices = ((3000, 7), (2999, 7), (3000, 1))
    arrays = {f"m{n}": np.ones(rows if floats == 1 else (rows, floats), np.float32)
              for n, (rows, floats) in enumerate(matrices)}  # fmt: skip
    averager, communicator = RowAverager(arrays), Counting()
    job = replace(BIG, matrices=matrices)
    for number in (1, 2, 4):
        communicator.bytes = communicator.sums = 0
        rows = {name: rows_of_round(number, 4, len(a)) for name, a in arrays.items()}
        averager.average(rows, communicator, write_note(members, 0, EpochReport(), False))
        assert communicator.bytes == scaling_model.round_bytes(job, number, 4, members)
        assert communicator.sums == scaling_model.round_blocks(job, number, 4)
        assert (communicator.sums > 1) == (block_bytes < 1 << 26)


@pytest.mark.parametrize("objective", ["ns", "hs", "full", "class", "adaptive"])
def test_matrices_are_those_of_the_objective(objective):
    from w2v.objectives import make_objective

    counts = zipf(2000)
    more = {"cutoffs": (200, 750)} if objective == "adaptive" else {}
    shapes = make_objective(TrainConfig(objective=objective, vector_size=24, **more), counts).parameter_shapes
    expected = [(shape[0], shape[1] if len(shape) > 1 else 1) for shape in shapes.values()]
    assert list(scaling_model.matrices(objective, counts, 24, pitch=1)) == expected
    padded = scaling_model.matrices(objective, counts, 20)
    assert padded[0] == (2000, 24)


def test_the_slowest_of_normal_numbers():
    assert scaling_model.slowest(1) == 0
    assert scaling_model.slowest(2) == pytest.approx(1 / math.sqrt(math.pi), rel=1e-6)
    assert scaling_model.slowest(3) == pytest.approx(1.5 / math.sqrt(math.pi), rel=1e-6)
    drawn = np.random.default_rng(0).standard_normal((20_000, 64)).max(axis=1)
    assert scaling_model.slowest(64) == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(drawn.size))


def test_an_epoch_by_hand():
    # Two workers, 4 rounds of 1,000 words each; 1,024 rows of 1 float: 8,192 bytes in every round, and two notes.
    job = Job("ns", 1024, 1, 8000.0, 1000.0, ((1024, 1),))
    worker = Worker(1000.0, packing=1e6, round_seconds=0.125, jitter=0.0, jitter_floor=0.1, launch=0.001)
    found = predict(job, worker, 2, one_link(1e4, 0.0))
    averaging = 8392 / 1e6 + 6 * 0.001 + START + 8392 / (1e4 * RATED)
    assert (found.rounds, found.bytes_per_round, found.training) == (4, 8392, 4.0)
    assert found.communication == pytest.approx(4 * (averaging + 0.125), rel=1e-9)
    assert found.waiting == pytest.approx(4.0 * 0.1 / math.sqrt(math.pi))
    assert found.words_per_second == pytest.approx(8000 / (4 + found.communication + found.waiting))
    assert found.efficiency == pytest.approx(found.words_per_second / 2000)


@pytest.mark.parametrize("name", FABRICS)
def test_default_intervals_are_those_of_training(name):
    job, device = replace(BIG, sync_words=None), "cpu" if name == "object-store" else "cuda"
    for workers in (1, 2, 4, 64):
        expected = default_sync_words(workers, device)
        assert job.interval(workers, FABRICS[name]) == expected
        found = predict(job, H200, workers, FABRICS[name])
        assert found.rounds == rounds_per_epoch(10**9, workers, expected)
    assert BIG.interval(2, FABRICS[name]) == 1e5


@pytest.mark.parametrize("name", FABRICS)
@pytest.mark.parametrize("scheme", scaling_model.SCHEMES)
def test_one_worker_is_as_fast_as_one_worker(name, scheme):
    job = replace(BIG, batch_words=3e4, batch_inputs=7000.0)
    found = predict(job, H200, 1, FABRICS[name], scheme)
    assert found.efficiency == pytest.approx(1, rel=1e-12)
    assert found.communication == found.waiting == 0


@pytest.mark.parametrize("scheme", scaling_model.SCHEMES)
def test_efficiency_falls_with_workers_and_rises_with_the_link(scheme):
    job = replace(BIG, sync_words=1e6, batch_words=3e4, batch_inputs=7000.0)
    by_link = [
        [predict(job, H200, workers, FABRICS[name], scheme).efficiency for workers in (1, 2, 4, 8, 16, 64, 512)]
        for name in ("10gbe", "25gbe", "100gbe", "hdr", "ndr")
    ]
    assert (np.diff(by_link, axis=1) < 0).all()
    assert (np.diff(by_link, axis=0) >= 0).all()


def test_longer_intervals_never_cost_words_per_second():
    found = [
        predict(replace(BIG, sync_words=words), H200, 8, FABRICS["nvlink4"]).efficiency
        for words in (1e4, 1e5, 1e6, 1e7)
    ]
    assert (np.diff(found) > 0).all()


def test_eight_gpus_over_nvlink():
    """V = 10^6, D = 300: what README says."""
    nvlink = FABRICS["nvlink4"]
    assert predict(replace(BIG, sync_words=None), H200, 8, nvlink).efficiency == pytest.approx(0.904, abs=2e-3)
    assert scaling_model.least_sync_words(BIG, H200, 8, nvlink) == 2e6
    assert predict(BIG, H200, 8, nvlink).efficiency == pytest.approx(0.474, abs=2e-3)
    # A quarter of what is lost at the default is a round's own time, whatever it sums up.
    swift = predict(replace(BIG, sync_words=None), replace(H200, round_seconds=0.0), 8, nvlink)
    assert swift.efficiency == pytest.approx(0.930, abs=2e-3)


@pytest.mark.parametrize(
    ("link", "workers"), [("nvlink4", 128), ("pcie5", 16), ("ndr", 32), ("100gbe", 16), ("25gbe", 4), ("10gbe", 2)]
)
def test_where_efficiency_falls_below_a_half(link, workers):
    """With the default interval, V = 10^6, D = 300: what README says."""
    job = replace(BIG, sync_words=None)
    found = [predict(job, H200, 1 << power, FABRICS[link]) for power in range(10)]
    assert scaling_model.first_below(found) == workers


def test_no_interval_is_long_enough_for_a_slow_link():
    assert scaling_model.least_sync_words(BIG, H200, 8, FABRICS["10gbe"]) is None
    few = [predict(replace(BIG, sync_words=1e8), H200, n, FABRICS["10gbe"]) for n in (1, 2, 4)]
    assert scaling_model.first_below(few) == 2
    assert scaling_model.first_below(few[:1]) is None


def test_speeds_are_scaled_from_those_measured():
    assert scaling_model.speed("ns", 79_666, 128) == scaling_model.speed("ns", 10**6, 64) == 504e6
    assert scaling_model.speed("hs", 10**6, 256) == 119e6 / 2
    assert scaling_model.speed("full", 2 * 79_666, 256) == pytest.approx(85e6 / 42 / 4)
    assert scaling_model.speed("adaptive", 4 * 79_666, 128) == pytest.approx(85e6 / 27 / 2)


def test_a_zipf_mandelbrot_curve_is_found_again():
    curve = scaling_corpus.Mandelbrot(1.2, 3.5)
    found = scaling_corpus.fit(scaling_corpus.extrapolated(20_000, 1e10, curve))
    assert found.exponent == pytest.approx(1.2, abs=0.005)
    assert found.offset == pytest.approx(3.5, abs=0.15)
    assert scaling_corpus.extrapolated(20_000, 1e10, curve).sum() == pytest.approx(1e10, rel=1e-6)


def drawn_rows(objective, counts, words, config, rng):
    """Input and output rows that a replica touches in so many words, drawn as training draws them."""
    from w2v.kernels.stream_cpu import keep_thresholds

    from w2v.objectives import make_objective

    ids = rng.choice(counts.size, words, p=counts / counts.sum())
    kept = ids[rng.random(words) < (keep_thresholds(counts, config.sample) / 0xFFFF_FFFF)[ids]]
    made = make_objective(config, counts)
    if objective == "ns":
        noise = rng.choice(counts.size, (kept.size, config.negative), p=made.noise)
        return np.unique(kept).size, np.unique(np.concatenate([kept, noise.reshape(-1)])).size
    paths = [made.listed_targets(int(word))[0] for word in np.unique(kept)]
    return np.unique(kept).size, np.unique(np.concatenate(paths)).size


@pytest.mark.parametrize("objective", ["ns", "hs"])
def test_distinct_rows_are_those_of_a_draw(objective):
    rng, counts, words = np.random.default_rng(1), zipf(3000), 2500
    config = TrainConfig(objective=objective, vector_size=8)
    use = scaling_corpus.stream(objective, counts, 8, 1.0)
    draws = np.array([drawn_rows(objective, counts, words, config, rng) for _ in range(40)])
    error = 5 * draws.std(axis=0) / math.sqrt(len(draws))
    # Kept words are taken as so many, not as a random number of them: half a per cent.
    expected = use.inputs.touched(words).sum(), use.outputs.touched(words).sum()
    assert expected[0] == pytest.approx(draws[:, 0].mean(), abs=error[0] + 0.005 * expected[0])
    assert expected[1] == pytest.approx(draws[:, 1].mean(), abs=error[1] + 0.005 * expected[1])


def test_dot_products_are_contexts_times_rows():
    counts = zipf(3000)
    ns = scaling_corpus.stream("ns", counts, 8, 1.0)
    assert ns.dots == pytest.approx(ns.kept * 6 * 6)
    assert ns.inputs.updates.sum() == pytest.approx(ns.kept * 6)
    assert ns.outputs.updates.sum() == pytest.approx(ns.dots)
    hs = scaling_corpus.stream("hs", counts, 8, 1.0)
    assert hs.outputs.updates[0] == pytest.approx(hs.kept * 6)  # the root, which is first here
    assert (np.diff(hs.outputs.updates) <= 0).all()


@pytest.mark.parametrize("rounds", [1, 5, 64, 100])
def test_intervals_are_those_of_the_schedule(rounds):
    """The longest way between rounds that cover a row, of two epochs' rounds."""
    rows = 20_000
    covered = [rows_of_round(number, rounds, rows) for number in range(1, rounds + 1)] * 2
    found = scaling_corpus.intervals(rows, rounds)
    for row in (0, 1023, 1024, 2047, 2048, 5000, 8192, rows - 1):
        at = [number for number, count in enumerate(covered) if count > row]
        assert max(np.diff(at), default=1) == found[row]


def test_staleness_by_hand():
    use = scaling_corpus.RowUse(np.full(4096, math.log1p(-1e-4)), np.full(4096, 0.001))
    top, rest = scaling_corpus.staleness(use, replicas=4, sync_words=1000, rounds=64, alpha=0.05)
    assert (top["rows"], rest["rows"]) == ("0–1,000", "1,000–4,096")
    # Three others, 1,000 words, halfway: 1.5 contributions.
    assert (top["interval_words"], top["unseen"]) == (1000, pytest.approx(1.5))
    assert top["unseen_alpha"] == pytest.approx(0.075)
    assert not top["beyond_harmless"]
    q = 1 - (1 - 1e-4) ** 1000
    assert top["touched"] == pytest.approx(q)
    assert top["rate_factor"] == pytest.approx((1 - (1 - q) ** 4) / q)
    assert rest["interval_words"] == pytest.approx((24 * 1000 + 1024 * 2000 + 2048 * 4000) / 3096)
    assert scaling_corpus.staleness(use, 4, 1e6, 1, 0.05)[0]["beyond_harmless"]


def test_rare_rows_learn_faster_than_the_schedule_says():
    """A row that one of n replicas changes keeps its whole step, at n times the rate."""
    use = scaling_corpus.RowUse(np.array([-1e-9, -50.0]), np.array([1e-9, 1.0]))
    found = scaling_corpus.staleness(use, 16, 1000, 1, 0.05)
    assert found[0]["rate_factor"] == pytest.approx((16 + 1) / 2, rel=1e-3)


def test_a_batch_of_block_softmax_has_fewer_inputs_than_pairs():
    from scaling_answers import job_of

    job = job_of("full", zipf(5000), 32, None, None)
    assert 0 < job.batch_inputs <= 5000
    assert job.batch_words > 131_072 / 12
    assert job.sync_words is None


@pytest.fixture
def script(monkeypatch):
    """The command."""
    loader = importlib.machinery.SourceFileLoader("simulate_scaling", str(SCRIPTS / "simulate_scaling"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("simulate_scaling", loader))
    loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["simulate_scaling"])
    return module.main


def table(text, first):
    """Rows under the header that begins with a word."""
    lines = iter(text.splitlines())
    header = next(line for line in lines if line.startswith(f"{first}\t")).split("\t")
    rows = []
    for line in lines:
        if "\t" not in line:
            break
        rows.append(dict(zip(header, line.split("\t"), strict=True)))
    return rows


def test_the_command_says_what_it_assumes(script, tmp_path):
    vocabulary = tmp_path / "vocabulary.tsv"
    vocabulary.write_text("".join(f"w{n}\t{count}\n" for n, count in enumerate(zipf(2000).tolist())))
    output = tmp_path / "new" / "found.json"
    given = [vocabulary, "--vector-size", "16", "--workers", "1,2,8", "--link", "nvlink4", "--json", output]
    done = CliRunner().invoke(script, [*map(str, given), "--words", "1e8", "--words-per-second", "1e6"])
    assert done.exit_code == 0, done.output
    assert "figures: SIMULATED" in done.output
    assert "assumes: one worker trains 1 million words/s" in done.output
    assert "the counts of vocabulary.tsv, 2,000 words" in done.output
    rows = table(done.output, "workers")
    assert [row["workers"] for row in rows] == ["1", "2", "8"]
    assert float(rows[0]["efficiency"]) == 1
    record = json.loads(output.read_text())
    assert record["figures"] == "simulated"
    assert record["predictions"][2]["rounds"] == rounds_per_epoch(10**8, 8, default_sync_words(8, "cuda"))
    assert {row["workers"] for row in record["staleness"]} == {2, 8}
    assert len(record["assumptions"]) >= 8


def test_links_and_workers_have_options(script, tmp_path):
    given = ["--rows", "5000", "--words", "1e7", "--workers", "2", "--link", "10gbe"]
    slow = CliRunner().invoke(script, given)
    fast = CliRunner().invoke(script, [*given, "--bandwidth", "100", "--latency", "1"])
    assert slow.exit_code == fast.exit_code == 0, slow.output + fast.output
    slow, fast = (float(table(done.output, "workers")[0]["efficiency"]) for done in (slow, fast))
    assert fast > 1.5 * slow
    late = CliRunner().invoke(script, [*given, "--bandwidth", "100", "--latency", "1", "--round-us", "1e6"])
    assert "take 1e+06 µs a round" in late.output
    assert float(table(late.output, "workers")[0]["efficiency"]) < fast / 2
    assert CliRunner().invoke(script, ["--workers", "two"]).exit_code == 2
    assert CliRunner().invoke(script, ["--rows", "5000", "--scheme", "softmax-rows"]).exit_code == 1


def test_training_is_what_lies_between_rounds():
    """Rounds of 100 bytes at 10 bytes/s and 2 s: 12 s each."""
    timing = scaling_measure._Timing()
    for wall, processor, pairs in ((10, 5, 100), (40, 20, 300), (60, 30, 400), (99, 99, 999)):
        timing.begin_round(0, None)
        timing.sum(write_note(1, 0, EpochReport(pairs=pairs), False))
        timing.begun[-1], timing.bytes[-1] = (wall, processor), 100
    found = scaling_measure._summary((0.0, 0.0), timing, packing=10.0, round_seconds=2.0)
    wall, processor, pairs = np.array([10, 18, 8]), np.array([5, 3, -2]), np.array([100, 200, 100])
    assert (found.count, found.seconds, found.packing, found.round_seconds) == (4, 12.0, 10.0, 2.0)
    expected = [part.std() / part.mean() for part in (wall, processor, pairs)]
    assert [found.jitter, found.jitter_of_processor, found.jitter_of_pairs] == pytest.approx(expected)


def test_rounds_of_training_are_measured(tmp_path):
    text = tmp_path / "text.txt"
    words = np.random.default_rng(3).zipf(1.3, 30_000) % 300
    text.write_text("\n".join(" ".join(f"w{word}" for word in line) for line in words.reshape(-1, 20)))
    found = scaling_measure.measure_rounds(text, 3000, 8)
    assert 8 <= found.count <= 10  # words that are too rare are left out
    assert found.jitter_of_pairs < 0.2
    assert min(found.jitter, found.jitter_of_processor, found.jitter_of_pairs, found.round_seconds, found.packing) > 0
    with pytest.raises(RuntimeError, match="tell too little"):
        scaling_measure.measure_rounds(text, 20_000, 8)


def test_figures_that_are_none_are_not_written():
    from scaling_answers import rounded

    assert rounded({"a": [1.23456, 2, "x", None, True]}) == {"a": [1.235, 2, "x", None, True]}
    with pytest.raises(ValueError, match="not finite"):
        rounded([math.inf])
