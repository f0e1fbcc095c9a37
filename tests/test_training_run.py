"""The epochs of a run: callbacks, points, pauses that change nothing, metrics."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from w2v.backends import EpochReport, make_backend
from w2v.backends.base import Pauses
from w2v.config import TrainConfig
from w2v.corpus import EncodedCorpus, Vocabulary
from w2v.errors import OutputError
from w2v.objectives import CorpusShape, make_objective, resolve_for_corpus
from w2v.training import MetricsFile, PhaseClock, TensorBoardLog, TrainingCallback, train
from w2v.training.clock import PHASES

WORDS = 60


def small_corpus(sentences: int = 400, seed: int = 3) -> EncodedCorpus:
    rng = np.random.default_rng(seed)
    ids = []
    for _ in range(sentences):
        ids += [*rng.zipf(1.4, rng.integers(2, 14)).clip(1, WORDS) - 1, -1]
    ids = np.array(ids, np.int32)
    counts = np.maximum(np.bincount(ids[ids >= 0], minlength=WORDS), 1)
    order = np.argsort(-counts, kind="stable")
    ids[ids >= 0] = np.argsort(order)[ids[ids >= 0]]
    tokens = int((ids >= 0).sum())
    vocabulary = Vocabulary([f"w{word}" for word in range(WORDS)], counts[order].astype(np.int64))
    return EncodedCorpus(ids, vocabulary, tokens, sentences, tokens, 0, "0" * 32)


@pytest.fixture(scope="module")
def corpus():
    return small_corpus()


def config_for(**options):
    defaults = {"vector_size": 10, "window": 3, "epochs": 2, "threads": 1, "device": "cpu", "sample": 0.02}
    return TrainConfig(**{**defaults, **options})


class Watch(TrainingCallback):
    """Writes down what it is told."""

    def __init__(self, points=()):
        self.points = points
        self.events = []
        self.seen = []

    def on_train_begin(self, run):
        self.events.append("begin")

    def on_epoch_begin(self, run):
        self.events.append(f"epoch {run.epoch}")

    def on_point(self, run):
        self.events.append("point")
        self.seen.append((run.epochs_done, run.vectors(), run.totals, run.train_seconds))

    def on_epoch_end(self, run):
        self.events.append(f"end {run.epoch}")

    def on_train_end(self, run):
        self.events.append("done")


OBJECTIVES = ["ns", "hs", "class", "adaptive", "full"]


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_looking_at_the_vectors_changes_nothing(corpus, objective, model):
    batches = {} if objective in ("ns", "hs") else {"batch_pairs": 150}
    config = config_for(objective=objective, model=model, **batches)
    plain = train(config, corpus)
    watch = Watch(points=(0.1, 0.25, 0.5, 1, 1.6, 2))
    watched = train(config, corpus, callbacks=[watch])
    np.testing.assert_array_equal(watched.input_vectors, plain.input_vectors)
    for name, array in plain.output_parameters.items():
        np.testing.assert_array_equal(watched.output_parameters[name], array)
    for name in ("loss", "pairs", "kept_words"):
        assert watched.training[name] == pytest.approx(plain.training[name], rel=1e-9)
    assert watch.events == ["begin", "epoch 0", *4 * ["point"], "end 0", "epoch 1", *2 * ["point"], "end 1", "done"]
    done = [epochs for epochs, *_ in watch.seen]
    assert done == sorted(done)
    assert done[3] == 1
    assert done[5] == 2
    for epochs, asked in zip(done, watch.points, strict=True):
        assert asked - 0.03 <= epochs <= asked + 0.15
    last = [vectors.vectors for _, vectors, *_ in watch.seen]
    assert all((one != other).any() for one, other in zip(last, last[1:], strict=False))
    np.testing.assert_array_equal(last[-1], plain.input_vectors)


def test_points_between_two_pauses_are_one_call(corpus):
    watch = Watch(points=(0.5, 0.5001, 0.5002))
    train(config_for(epochs=1), corpus, callbacks=[watch])
    assert watch.events.count("point") == 1


def test_each_callback_has_its_own_points(corpus):
    first, second = Watch(points=(0.3,)), Watch(points=(0.7, 1))
    train(config_for(epochs=1), corpus, callbacks=[first, second])
    assert (first.events.count("point"), second.events.count("point")) == (1, 2)


def test_threads_train_every_word_once_whatever_the_pauses(corpus):
    config = config_for(threads=3, epochs=1)
    objective = make_objective(config.resolved(), corpus.vocabulary.counts)
    backend = make_backend(config.resolved(), objective)
    backend.initialise()
    reports = []
    pauses = Pauses(lambda share: True, reports.append)
    done = backend.train_epoch(corpus.ids, 0, lambda share: 0.01, lambda report: None, pauses)
    assert done.words == corpus.tokens
    words = [report.words for report in reports]
    assert len(words) > 3
    assert words == sorted(set(words))
    assert words[-1] < corpus.tokens


def test_a_pause_sees_finished_work_only(corpus):
    """While the hook runs, no thread writes: two looks give the same."""
    config = config_for(threads=2, epochs=1)
    backend = make_backend(config.resolved(), make_objective(config.resolved(), corpus.vocabulary.counts))
    backend.initialise()
    looks = []

    def look(report: EpochReport) -> None:
        first = backend.parameters()["input_vectors"].copy()
        looks.append((first == backend.parameters()["input_vectors"]).all())

    backend.train_epoch(corpus.ids, 0, lambda share: 0.01, lambda report: None, Pauses(lambda share: True, look))
    assert len(looks) > 3
    assert all(looks)


def test_a_failing_callback_ends_the_run(corpus):
    class Broken(TrainingCallback):
        points = (0.5,)

        def on_point(self, run):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        train(config_for(), corpus, callbacks=[Broken()])


def test_block_backends_report_their_loss_at_pauses(corpus):
    shape = CorpusShape(corpus.vocabulary.counts, corpus.tokens, corpus.sentences)
    config = resolve_for_corpus(config_for(objective="full", batch_pairs=150).resolved(), shape, "cpu", print)
    backend = make_backend(config, make_objective(config, corpus.vocabulary.counts))
    backend.initialise()
    sums = []
    done = backend.train_epoch(
        corpus.ids, 0, lambda share: 0.1, lambda report: None, Pauses(lambda share: True, sums.append)
    )
    losses = [report.loss for report in sums]
    assert losses == sorted(losses)
    assert 0 < losses[0] < losses[-1] < done.loss
    assert sums[-1].pairs < done.pairs


def test_every_moment_counts_for_one_phase():
    clock = PhaseClock()
    with clock.phase("train"), clock.phase("evaluate"):
        while clock.seconds()["evaluate"] < 0.01:
            pass
    seconds = clock.seconds()
    assert seconds["train"] < seconds["evaluate"]
    assert sum(seconds[name] for name in PHASES) <= seconds["total"]


def test_what_callbacks_take_is_evaluation(corpus):
    class Slow(TrainingCallback):
        points = (0.5, 1)

        def on_point(self, run):
            begin = run.clock.seconds()["evaluate"]
            self.trained = run.train_seconds
            while run.clock.seconds()["evaluate"] < begin + 0.05:
                pass
            assert run.train_seconds == self.trained

    seconds = train(config_for(epochs=1), corpus, callbacks=[Slow()]).training["seconds"]
    assert seconds["evaluate"] >= 0.1


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_metrics_are_one_line_per_interval(corpus, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("older\n", encoding="utf-8")
    model = train(config_for(epochs=3), corpus, callbacks=[MetricsFile(path, seconds=0.0)])
    lines = lines_of(path)
    assert [line["event"] for line in lines if line["event"] != "report"] == ["begin", *3 * ["epoch"], "end"]
    assert lines[0]["tokens"] == corpus.tokens
    assert TrainConfig.from_dict(lines[0]["config"]) == model.config
    reports = [line for line in lines if line["event"] == "report"]
    assert len(reports) >= 3
    for name in ("words", "pairs", "kept_words", "epochs", "seconds"):
        values = [line[name] for line in reports]
        assert values == sorted(values)
    assert reports[-1]["words"] == 3 * corpus.tokens
    assert reports[-1]["pairs"] == model.training["pairs"]
    assert [line["loss"] for line in lines if line["event"] == "epoch"] == model.training["loss"]
    # The losses of the intervals add up to that of the run.
    pairs = np.diff([0, *(line["pairs"] for line in reports)])
    together = sum(line["loss"] * count for line, count in zip(reports, pairs, strict=True) if count)
    epochs = [line["pairs"] for line in reports if line["epochs"] in (1, 2, 3)]
    assert together / model.training["pairs"] == pytest.approx(np.mean(model.training["loss"]), rel=0.05)
    assert len(epochs) == 3


def test_a_long_interval_leaves_a_report_per_epoch(corpus, tmp_path):
    path = tmp_path / "metrics.jsonl"
    train(config_for(), corpus, callbacks=[MetricsFile(path, seconds=1000)])
    assert [line["event"] for line in lines_of(path)] == ["begin", "report", "epoch", "report", "epoch", "end"]


@pytest.mark.parametrize("make", [MetricsFile, TensorBoardLog])
def test_places_that_cannot_be_written_are_errors_before_training(make, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(OutputError):
        make(blocked / "below")
    with pytest.raises(OutputError):
        make(tmp_path if make is MetricsFile else blocked)


def test_tensorboard_reads_what_was_written(corpus, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = train(config_for(epochs=3), corpus, callbacks=[TensorBoardLog(tmp_path / "log", seconds=0.0)])
    events = accumulator.EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    tensors = {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}
    assert set(tensors) == {"train/loss", "train/learning_rate", "train/words_per_second", "epoch/loss"}
    losses = [float(event.tensor_proto.float_val[0]) for event in tensors["epoch/loss"]]
    assert losses == pytest.approx(model.training["loss"], rel=1e-6)
    assert tensors["train/loss"][-1].step == 3 * corpus.tokens


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_begins_with_the_same_draw_at_its_own_scale(corpus, objective):
    def initial(name):
        config = resolve_for_corpus(
            config_for(objective=name).resolved(),
            CorpusShape(corpus.vocabulary.counts, corpus.tokens, corpus.sentences),
            "cpu",
            lambda line: None,
        )
        backend = make_backend(config, make_objective(config, corpus.vocabulary.counts))
        backend.initialise()
        vectors = backend.parameters()["input_vectors"]
        return vectors / np.abs(vectors).max()

    np.testing.assert_allclose(initial(objective), initial("ns"), rtol=1e-5)


NOTHING_COMPILED_WHILE_TRAINING = """
import sys
import numpy as np
from numba.core import event
sys.path[:0] = [{tests!r}, {root!r}]
from test_training_run import OBJECTIVES, config_for, small_corpus
from w2v.training import TrainingCallback, train

compiled = []

class Listener(event.Listener):
    def on_start(self, found):
        if training:
            compiled.append(str(found.data["dispatcher"]))

    def on_end(self, found):
        pass

class Watch(TrainingCallback):
    points = (0.5, 1)

    def on_epoch_begin(self, run):
        training.append(1)

    def on_epoch_end(self, run):
        training.clear()

training = []
event.register("numba:compile", Listener())
corpus = small_corpus()
for objective in OBJECTIVES:
    for model in ("skipgram", "cbow"):
        batches = dict(batch_pairs=200) if objective in ("class", "adaptive", "full") else {{}}
        config = config_for(objective=objective, model=model, threads=2, epochs=1, **batches)
        train(config, corpus, callbacks=[Watch()])
print(compiled)
"""


def test_nothing_is_compiled_while_a_model_trains(tmp_path):
    """In a fresh cache; otherwise what is compiled would be counted as training."""
    tests = Path(__file__).parent
    code = NOTHING_COMPILED_WHILE_TRAINING.format(tests=str(tests), root=str(tests.parent))
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_held_out_likelihood_is_found_once_for_each_moment(corpus):
    class Ask(Watch):
        def on_point(self, run):
            self.seen.append((run.heldout_nll(), run.heldout_nll()))

    ask = Ask(points=(0.5, 1, 2))
    model = train(config_for(objective="hs", heldout=0.2), corpus, callbacks=[ask])
    assert all(first == second for first, second in ask.seen)
    values = [first for first, _ in ask.seen]
    assert len(set(values)) == 3
    assert values[-1] == model.training["heldout_nll"]
