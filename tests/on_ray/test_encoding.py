"""Encoding in a real Ray, started once for this file: the same corpus, workers that die, errors, the command."""

import os
import random
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_distributed_corpus import entries, text_of

from w2v.config import TrainConfig
from w2v.corpus import CorpusOptions, encode_corpus
from w2v.distributed import encoding
from w2v.distributed.cluster import running_cluster
from w2v.distributed.encoding import RayWorkers, encode_by_workers, encode_corpus_sharded
from w2v.errors import CorpusError, DeviceError, TrainingError

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'w2v[ray]'")
# Workers cannot import this file.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def cluster():
    """A Ray of our own with room for two tasks."""
    with running_cluster("local", TrainConfig(replicas=2, threads=2)) as running:
        yield running


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(encoding, "LEAST_SHARD", 2000)


@pytest.fixture
def texts(tmp_path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    generator = random.Random(1)
    for number in range(3):
        (folder / f"{number}.txt").write_bytes(text_of(generator, 3000))
    return folder


def test_the_cache_holds_the_same_bytes(cluster, texts, tmp_path):
    options = CorpusOptions(min_count=2, lowercase=True)
    encode_corpus([texts], options, cache_dir=tmp_path / "one").close()
    for workers in (1, 2):
        said, told = [], []
        folder = tmp_path / f"by{workers}"
        encode_corpus_sharded(
            [texts],
            options,
            ray=cluster.ray,
            workers=workers,
            cache_dir=folder,
            report=said.append,
            progress=told.append,
        ).close()
        assert entries(folder) == entries(tmp_path / "one")
        assert len(said) == 3
        assert told[-1] >= sum(path.stat().st_size for path in texts.iterdir())


def test_addresses_of_files_are_read_in_parts(cluster, texts, tmp_path):
    pytest.importorskip("fsspec")
    with (
        encode_corpus([texts]) as one,
        encode_corpus_sharded([f"file://{texts}"], ray=cluster.ray, workers=2) as many,
    ):
        assert many.fingerprint == one.fingerprint
        assert many.vocabulary.words == one.vocabulary.words


class Dying(RayWorkers):
    """The first task of each kind ends its process when it is run for the first time, having done its work."""

    folder: Path

    def run(self, function, calls, tick=None):
        marks = [self.folder / function.__name__, *[None] * (len(calls) - 1)]
        return super().run(work_and_die, [(function, *each) for each in zip(marks, calls, strict=True)], tick)


def work_and_die(function, mark, call):
    result = function(*call)
    if mark is not None and not mark.exists():
        mark.touch()
        os._exit(1)
    return result


def test_tasks_whose_workers_die_are_run_again(cluster, texts, tmp_path):
    options = CorpusOptions(min_count=2)
    workers = Dying(cluster.ray, 2)
    workers.folder = tmp_path / "marks"
    workers.folder.mkdir()
    text = texts / "0.txt"
    encode_by_workers(workers, [text], options, cache_dir=tmp_path / "dying").close()
    encode_corpus([text], options, cache_dir=tmp_path / "one").close()
    assert entries(tmp_path / "dying") == entries(tmp_path / "one")
    died = {mark.name for mark in workers.folder.iterdir()}
    assert died == {"count_shard", "merge_part", "number_shard", "place_shard"}


def die(number):
    os._exit(number)


def test_workers_that_die_again_and_again_are_an_error(cluster):
    with pytest.raises(DeviceError, match="a process that encodes text died 4 times") as error:
        RayWorkers(cluster.ray, 2).run(die, [(1,)])
    assert "\n" not in str(error.value)


def test_a_computer_without_the_package_is_an_error(cluster, monkeypatch):
    # What a function is called that the workers do not have.
    function = lambda: None  # noqa: E731
    monkeypatch.setattr(encoding, "nowhere", function, raising=False)
    function.__qualname__, function.__module__ = "nowhere", "w2v.distributed.encoding"
    with pytest.raises(DeviceError, match="cannot run this version of w2v .* install it on all computers") as error:
        RayWorkers(cluster.ray, 1).run(function, [()])
    assert "\n" not in str(error.value)


class Meddling(RayWorkers):
    """Removes a text before it is read."""

    text: Path

    def run(self, function, calls, tick=None):
        self.text.unlink()
        return super().run(function, calls, tick)


def test_errors_of_tasks_are_the_drivers(cluster, texts, tmp_path):
    workers = Meddling(cluster.ray, 2)
    workers.text = texts / "1.txt"
    with pytest.raises(CorpusError, match="1.txt does not exist") as error:
        encode_by_workers(workers, [texts], cache_dir=tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interruption_leaves_nothing(cluster, texts, tmp_path):
    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_corpus_sharded([texts], ray=cluster.ray, workers=2, cache_dir=tmp_path / "cache", progress=interrupt)
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_command_encodes_and_trains_in_one_cluster(cluster, texts, tmp_path, monkeypatch, cache_folder):
    from click.testing import CliRunner

    from w2v.cli.train import train

    @contextmanager
    def running(address, config, shape=None):
        assert (address, config.replicas) == ("somewhere:1", 2)
        yield cluster

    def trained(config, corpus, *, cluster, **others):
        raise TrainingError(f"{corpus.tokens} tokens in {cluster is running_one}")

    running_one = cluster
    monkeypatch.setattr("w2v.distributed.cluster.running_cluster", running)
    monkeypatch.setattr("w2v.training.train", trained)
    arguments = [str(texts), "-o", str(tmp_path / "model"), "--replicas", "2", "--ray-address", "somewhere:1"]
    result = CliRunner().invoke(train, [*arguments, "--device", "cpu"])
    with encode_corpus([texts], cache_dir=tmp_path / "one") as corpus:
        assert str(result.exception) == f"{corpus.tokens} tokens in True"
    assert entries(cache_folder) == entries(tmp_path / "one")
