"""``train --replicas`` on a real Ray of two workers: what it learns, what it survives, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from w2v.config import TrainConfig
from w2v.distributed import cluster as cluster_module
from w2v.distributed.cluster import Cluster, first_line, running_cluster
from w2v.errors import ConfigError, DeviceError, MissingExtraError
from w2v.objectives import CorpusShape
from w2v.vectors.folder import load_model_folder

needs_ray = pytest.mark.skipif(os.name == "nt", reason="processes as POSIX has them")
EPOCHS = 6


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Sentences of words that belong together: what is learned can be compared."""
    pytest.importorskip("ray")
    rng = np.random.default_rng(11)
    topics = rng.integers(0, 40, 30_000)
    words = rng.zipf(1.4, (topics.size, 12)) % 100
    common = rng.random(words.shape) < 0.3
    path = tmp_path_factory.mktemp("text") / "text.txt"
    lines = (
        " ".join(f"c{word}" if shared else f"t{topic}w{word}" for word, shared in zip(row, own, strict=True))
        for topic, row, own in zip(topics, words, common, strict=True)
    )
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    return {**os.environ, "W2V_CACHE": str(tmp_path_factory.mktemp("cache"))}


def command(text: Path, out: Path, *more: object) -> list[str]:
    options = ["--device", "cpu", "--epochs", EPOCHS, "--sample", "0", "--vector-size", "50", *more]
    return [sys.executable, "-m", "w2v", "train", str(text), "-o", str(out), *map(str, options)]


REPLICAS = ("--replicas", 2, "--threads", 2, "--sync-words", 20_000, "--ray-address", "local")


def single(text: Path, out: Path, environment: dict[str, str], seed: int) -> object:
    arguments = command(text, out, "--threads", 1, "--seed", seed, "--epochs", 5 * EPOCHS)
    subprocess.run(arguments, env=environment, check=True, capture_output=True, timeout=120)
    return load_model_folder(out)


def similarities(model: object) -> np.ndarray:
    """Cosines between the words that are neither the rarest nor in every sentence."""
    vectors = np.asarray(model.input_vectors[100:500], np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]


def descendants(pid: int) -> dict[int, str]:
    """The processes below one, with their command lines."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = parent_of(int(entry.name))
                names[int(entry.name)] = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                )
            except (OSError, ValueError):  # it has ended
                continue

    def below(process: int) -> bool:
        while process in parents:
            process = parents[process]
            if process == pid:
                return True
        return False

    return {process: name for process, name in names.items() if below(process)}


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Run:
    """A command that runs, and what it has said."""

    def __init__(
        self, arguments: list[str], environment: dict[str, str], said: Path, folder: Path | None = None
    ) -> None:
        self._said = said
        with said.open("w") as stream:
            # As a terminal starts it: a test in the background may have been told to ignore that it closes.
            self.process = subprocess.Popen(
                arguments, env=environment, stderr=stream, cwd=folder, start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_until(self, holds: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def replicas(self) -> list[int]:
        return [pid for pid, name in descendants(self.process.pid).items() if name.startswith("ray::ReplicaActor")]

    def end(self) -> int:
        try:
            return self.process.wait(180)
        finally:
            self.process.kill()


def reports(metrics: Path) -> list[dict]:
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


@needs_ray
def test_two_replicas_survive_two_kills_and_learn_what_one_process_learns(text, tmp_path, environment):
    known, other = (single(text, tmp_path / f"known{seed}", environment, seed) for seed in (1, 2))
    metrics, out = tmp_path / "metrics.jsonl", tmp_path / "out"
    arguments = command(text, out, *REPLICAS, "--metrics-jsonl", metrics, "--epochs", 5 * EPOCHS)
    run = Run(arguments, environment, tmp_path / "said")
    try:
        run.wait_until(lambda: any(line["event"] == "report" for line in reports(metrics)))
        for kill in (1, 2):
            if kill == 2:  # too late for what it loses to be learned again
                run.wait_until(lambda: sum(line["event"] == "epoch" for line in reports(metrics)) >= 5 * EPOCHS - 4)
            os.kill(run.replicas()[0], signal.SIGKILL)
            run.wait_until(lambda kill=kill: run.said.count("died: another one goes on from round") == kill)
        assert run.end() == 0, run.said
    finally:
        run.process.kill()
    assert "Traceback" not in run.said
    found = load_model_folder(out)
    assert found.words == known.words
    np.testing.assert_array_equal(found.counts, known.counts)
    assert found.config["corpus"]["fingerprint"] == known.config["corpus"]["fingerprint"]
    assert found.training["device"] == "2 × cpu"
    assert len(found.training["loss"]) == 5 * EPOCHS
    # As near to one run as that is to the same with another seed.
    expected = np.corrcoef(similarities(known), similarities(other))[0, 1]
    assert np.corrcoef(similarities(known), similarities(found))[0, 1] > expected - 0.1
    assert found.training["loss"][-1] < 1.1 * known.training["loss"][-1]
    assert not [path.name for path in tmp_path.iterdir() if "checkpoint" in path.name]


@needs_ray
def test_what_is_not_replaced_is_told(text, tmp_path, environment):
    metrics, out = tmp_path / "metrics.jsonl", tmp_path / "out"
    arguments = command(text, out, *REPLICAS, "--metrics-jsonl", metrics, "--epochs", 100)
    run = Run(arguments, environment, tmp_path / "said")
    try:
        run.wait_until(lambda: any(line["event"] == "report" for line in reports(metrics)))
        (pid,) = (pid for pid, found in descendants(run.process.pid).items() if found.startswith("ray::Hub"))
        os.kill(pid, signal.SIGKILL)
        assert run.end() == 1, run.said
    finally:
        run.process.kill()
    assert "Traceback" not in run.said
    assert "died: another one goes on" not in run.said
    assert "is not replaced: go on from the last checkpoint with --resume" in run.said.splitlines()[-1]


@needs_ray
def test_a_lost_node_is_made_up_for_and_where_it_is_not_the_run_is_saved(text, tmp_path, environment):
    utilities = pytest.importorskip("ray.cluster_utils")
    metrics, out = tmp_path / "metrics.jsonl", tmp_path / "out"
    nodes = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        options = ("--replicas", "auto", "--threads", 2, "--ray-address", nodes.address, "--metrics-jsonl", metrics)
        # Text and cache have names that only the driver's folder gives a meaning.
        arguments = command(Path(text.name), out, *options, "--epochs", 30, "--cache", tmp_path.name)
        run = Run(arguments, environment, tmp_path / "said", text.parent)
        try:
            run.wait_until(lambda: any(line["event"] == "report" for line in reports(metrics)))
            (hub,) = (pid for pid, found in descendants(os.getpid()).items() if found.startswith("ray::Hub"))
            raylets = {node.all_processes["raylet"][0].process.pid for node in nodes.list_all_nodes()}
            (lost,) = raylets - {parent_of(hub)}  # not the driver's
            os.kill(lost, signal.SIGKILL)
            another = nodes.add_node(num_cpus=1)
            run.wait_until(lambda: "died: another one goes on from round" in run.said)
            # Now there is none: what the replica that is left has is saved.
            another.all_processes["raylet"][0].process.kill()
            run.process.send_signal(signal.SIGTERM)
            assert run.end() == 143, run.said
        finally:
            run.process.kill()
    finally:
        nodes.shutdown()
    assert "Traceback" not in run.said
    assert run.said.splitlines()[-1].startswith("w2v: interrupted: the checkpoint in")
    again = subprocess.run(
        [*arguments, "--ray-address", "local", "--resume"],
        env=environment, cwd=text.parent, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert "resumed from" in again.stderr
    training = load_model_folder(out).training
    assert training["device"].startswith("2 × ")
    assert training["loss"][-1] < 0.9 * training["loss"][0]


@needs_ray
def test_a_terminal_that_closes_does_not_end_ray_before_the_run_is_saved(text, tmp_path, environment):
    metrics, out = tmp_path / "metrics.jsonl", tmp_path / "out"
    arguments = command(text, out, *REPLICAS, "--metrics-jsonl", metrics, "--epochs", 100)
    run = Run(arguments, environment, tmp_path / "said")
    try:
        run.wait_until(lambda: any(line["event"] == "report" for line in reports(metrics)))
        os.killpg(run.process.pid, signal.SIGHUP)  # of all that were started there
        assert run.end() == 128 + signal.SIGHUP, run.said
    finally:
        run.process.kill()
    assert "Traceback" not in run.said
    assert list((tmp_path / "out.checkpoint").glob("0*")), run.said


@needs_ray
def test_an_interrupted_run_of_replicas_goes_on_where_all_of_them_were(text, tmp_path, environment):
    metrics, out = tmp_path / "metrics.jsonl", tmp_path / "out"
    arguments = command(text, out, *REPLICAS, "--metrics-jsonl", metrics)
    run = Run(arguments, environment, tmp_path / "said")
    try:
        run.wait_until(lambda: any(line["event"] == "report" for line in reports(metrics)))
        run.process.send_signal(signal.SIGTERM)
        assert run.end() == 143, run.said
    finally:
        run.process.kill()
    assert "interrupted: the checkpoint in" in run.said
    again = subprocess.run([*arguments, "--resume"], env=environment, capture_output=True, text=True, timeout=180)
    assert again.returncode == 0, again.stderr
    assert "resumed from" in again.stderr
    training = load_model_folder(out).training
    lines = reports(metrics)
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == list(range(1, EPOCHS + 1))
    assert lines[-1]["words"] == EPOCHS * training["corpus"]["tokens"]
    refused = subprocess.run(
        [*arguments, "--resume", "--replicas", "1"], env=environment, capture_output=True, text=True, timeout=180
    )
    assert "--replicas was 2 and is 1" in refused.stderr


# ---- What is refused, in one line; no Ray is started. ----


class FakeRay:
    """What the cluster asks of Ray. failure: what ``init`` raises; resources: those of the cluster."""

    def __init__(self, failure: Exception | None = None, resources: dict | None = None, nodes: int = 1) -> None:
        self.failure, self.resources, self.count = failure, resources or {}, nodes
        self.asked, self.stopped, self.running = [], 0, False

    def init(self, **options: object) -> None:
        self.asked.append(options)
        if self.failure is not None:
            raise self.failure

    def is_initialized(self) -> bool:
        return self.running

    def cluster_resources(self) -> dict:
        return self.resources

    def nodes(self) -> list[dict]:
        return [{"Alive": True, "Resources": self.resources}] * self.count + [{"Alive": False}]

    def shutdown(self) -> None:
        self.stopped += 1


SHAPE = CorpusShape(np.array([5, 4]), 9, 2)


def enter(address: str, replicas: int | str = 2, **options: object) -> None:
    with running_cluster(address, TrainConfig(replicas=replicas, **options), SHAPE):
        raise AssertionError("it was entered")


def test_ray_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--replicas needs the package 'ray': pip install 'w2v\[ray\]'"):
        enter("local")


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    ray = FakeRay(ConnectionError("Could not connect\nlong story"))
    monkeypatch.setattr(cluster_module, "require", lambda *names: ray)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(DeviceError, match=rf"no Ray cluster answers at {address} \(Could not connect\): check"):
            enter(address)
    for silent in (address, f"ray://{address}"):
        with pytest.raises(DeviceError, match=rf"no Ray cluster answers at {silent} \(.*refused\): check"):
            enter(silent)
    with pytest.raises(DeviceError, match="'head' is no number of a port"):
        enter("ray://somewhere:head")
    assert ray.stopped == 4
    ray.failure = RuntimeError("no room")
    with pytest.raises(DeviceError, match="Ray does not start on this computer: no room"):
        enter("local")


@pytest.mark.parametrize("address", ["nowhere", "http//x", ""])
def test_an_address_that_is_none_is_refused(monkeypatch, address):
    monkeypatch.setattr(cluster_module, "require", lambda *names: FakeRay())
    with pytest.raises(ConfigError, match="--ray-address .* is not understood: use auto, local, HOST:PORT or ray://"):
        enter(address)


def test_auto_joins_the_cluster_of_this_computer_or_starts_one(monkeypatch):
    class Lonely(FakeRay):
        def init(self, **options: object) -> None:
            super().init(**options)
            if options["address"] == "auto":
                raise ConnectionError("Could not find any running Ray instance")

    for ray, ours in ((FakeRay(), False), (Lonely(), True)):
        monkeypatch.setattr(cluster_module, "require", lambda *names, ray=ray: ray)
        before = signal.getsignal(signal.SIGTERM)
        with running_cluster("auto", TrainConfig(replicas=2), SHAPE) as cluster:
            assert cluster.ours == ours
            assert signal.getsignal(signal.SIGTERM) is before
        assert [options["address"] for options in ray.asked] == (["auto", "local"] if ours else ["auto"])
        assert ray.stopped == 1


def test_auto_means_the_address_that_ray_knows(monkeypatch):
    ray = FakeRay()
    monkeypatch.setattr(cluster_module, "require", lambda *names: ray)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with running_cluster("auto", TrainConfig(replicas=2), SHAPE) as cluster:
            assert not cluster.ours
    assert [options["address"] for options in ray.asked] == [address]
    with pytest.raises(DeviceError, match=f"no Ray cluster answers at {address} .*RAY_ADDRESS"):
        enter("auto")


def test_a_ray_that_runs_in_this_process_is_used_and_left(monkeypatch):
    ray = FakeRay()
    ray.running = True
    monkeypatch.setattr(cluster_module, "require", lambda *names: ray)
    with running_cluster("auto", TrainConfig(replicas=2), SHAPE) as cluster:
        assert cluster.ray is ray
    assert (ray.asked, ray.stopped) == ([], 0)


@pytest.mark.parametrize(
    ("nodes", "processors", "replicas", "threads"),
    [(2, 16, 2, 32), (2, 16, 3, 24), (2, 16, 4, 32), (1, 2, 2, 2), (3, 1, 3, 3), (1, 1, 4, 4), (2, 0, 1, 1)],
)
def test_replicas_in_a_cluster_share_its_processors_out(nodes, processors, replicas, threads):
    cluster = Cluster(FakeRay(resources={"CPU": float(processors)}, nodes=nodes), ours=False)
    assert cluster.threads(replicas) == threads


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("The actor died.\nLong story", "The actor died."),
        ("", "ValueError"),
        (
            "The actor died because of an error raised in its creation task, \x1b[36mray::A\x1b[39m\n  at\nno GPU\n",
            "no GPU",
        ),
    ],
)
def test_of_what_ray_says_one_line_is_told(said, line):
    assert first_line(ValueError(said)) == line


def test_more_replicas_than_gpus_are_refused():
    cluster = Cluster(FakeRay(resources={"GPU": 3.0}, nodes=2), ours=False)
    with pytest.raises(DeviceError, match="--replicas 4 are more than the 3 GPUs that there are: lower it"):
        cluster.replicas(4, "cuda")
    assert cluster.replicas(3, "cuda") == cluster.replicas("auto", "cuda") == 3
    assert cluster.replicas(7, "cpu") == 7
    assert cluster.replicas("auto", "cpu") == 2
    assert [cluster.choose_device(asked) for asked in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


def test_a_cluster_without_a_gpu_says_so():
    cluster = Cluster(FakeRay(), ours=False)
    assert cluster.choose_device("auto") == "cpu"
    with pytest.raises(DeviceError, match="the Ray cluster has no GPU"):
        cluster.choose_device("cuda")


def test_what_ray_prints_of_the_dead_stays_away(monkeypatch, capsys):
    monkeypatch.setattr(cluster_module, "require", lambda *names: FakeRay())
    with running_cluster("local", TrainConfig(replicas=1), SHAPE):
        print("\x1b[33m(raylet)\x1b[0m A worker died")
        print("something else")
    assert capsys.readouterr().out.strip() == "something else"


@pytest.mark.parametrize("replicas", [0, -1, 5000, 1.5, "many"])
def test_replicas_are_a_number_or_auto(replicas):
    with pytest.raises(ConfigError, match="--replicas"):
        TrainConfig(replicas=replicas)


def test_the_stand_in_has_nothing_that_ray_has_not():
    """A stand-in that lacks what the product uses would pass for any mistake."""
    ray = pytest.importorskip("ray")
    for name in vars(FakeRay):
        assert name.startswith("_") or hasattr(ray, name), name
