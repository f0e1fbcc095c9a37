"""Ray, started or joined: nothing of it is imported until replicas are asked for."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from types import ModuleType
from typing import TextIO

from w2v.backends import choose_device
from w2v.config import TrainConfig
from w2v.cores import available_cores
from w2v.distributed.rounds import default_sync_words
from w2v.errors import ConfigError, DeviceError, require
from w2v.host_memory import available_memory
from w2v.objectives import CorpusShape

# Of the object store of a Ray of our own: beside what the arrays of a run take. Where these are not known yet, a
# share of the memory is the bound; it is taken only as objects come.
_OBJECT_STORE = 256 << 20
_SHARE, _WITHOUT_SHARE = 4, 2 << 30
_KNOCK_SECONDS = 5.0
_QUIET = {"log_to_driver": False, "logging_level": logging.ERROR}
_HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none
_SIGNALS = [number for number in (signal.SIGINT, signal.SIGTERM, _HANG_UP) if number is not None]
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_AT_ONCE = "error raised in its creation task"
_FAILURES = (RuntimeError, ValueError, OSError, TimeoutError)


class Cluster:
    """A running Ray, and what it has."""

    def __init__(self, ray: ModuleType, ours: bool) -> None:
        """ours: whether it was started here, on this computer alone."""
        self.ray, self.ours = ray, ours

    @property
    def gpus(self) -> int:
        """GPUs of all its computers."""
        return int(self.ray.cluster_resources().get("GPU", 0))

    @property
    def computers(self) -> int:
        """Computers that are in it."""
        return sum(bool(node["Alive"]) for node in self.ray.nodes())

    def threads(self, replicas: int) -> int:
        """As many as its CPUs let so many replicas have, of which none is divided between computers."""
        processors = [int(node["Resources"].get("CPU", 0)) for node in self.ray.nodes() if node["Alive"]]
        for each in range(sum(processors) // replicas, 1, -1):
            if sum(of_one // each for of_one in processors) >= replicas:
                return each * replicas
        return replicas

    def choose_device(self, asked: str) -> str:
        """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``; raises DeviceError where that is not there.

        On this computer alone a GPU has to work; of others it is taken for granted.
        """
        if self.ours:
            return choose_device(asked)
        if asked == "cuda" and not self.gpus:
            raise DeviceError("--device cuda: the Ray cluster has no GPU: add one, or use --device cpu")
        return "cuda" if asked != "cpu" and self.gpus else "cpu"

    def replicas(self, asked: int | str, device: str) -> int:
        """How many replicas "auto" or a number means. Raises DeviceError where there are not so many GPUs.

        auto: one per GPU, or on "cpu" one per computer, where threads share one model.
        """
        if asked == "auto":
            return max(1, self.gpus if device == "cuda" else self.computers)
        if device == "cuda" and asked > self.gpus:
            raise DeviceError(f"--replicas {asked} are more than the {self.gpus} GPUs that there are: lower it")
        return int(asked)

    def resolved(self, config: TrainConfig, device: str) -> TrainConfig:
        """With numbers for what "auto" and defaults of replicas mean on a device; raises as ``replicas`` does."""
        replicas = self.replicas(config.replicas, device)
        return replace(
            config, replicas=replicas, sync_words=config.sync_words or default_sync_words(replicas, device)
        )

    def encoders(self, config: TrainConfig) -> int:
        """How many tasks encode text at once: one per CPU, here as many as there are to be threads or replicas."""
        processors = max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        if not self.ours:
            return processors
        return min(processors, max(config.threads or available_cores(), _given(config.replicas)))


@contextmanager
def running_cluster(address: str, config: TrainConfig, shape: CorpusShape | None = None) -> Iterator[Cluster]:
    """Start Ray on this computer ("local"), or join the one at an address ("auto": one that runs here, or none).

    config, shape: of the run, for which a Ray of our own gets room; without a shape, for any text.

    Raises MissingExtraError without Ray, DeviceError where the cluster does not answer, ConfigError where the address
    is none.
    """
    ray = require("ray", "ray", "--replicas")
    if ray.is_initialized():  # by who calls this
        yield Cluster(ray, ours=False)
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        try:
            ours = _connect(ray, address, config, shape)
        finally:
            # Ray takes SIGTERM for itself; here signals mean what they meant before.
            for number, handler in handlers.items():
                signal.signal(number, handler)
        with redirect_stdout(_WithoutRaylet(sys.stdout)):
            yield Cluster(ray, ours)
    finally:
        ray.shutdown()


def _given(replicas: int | str | None) -> int:
    """Their number where one is given."""
    return replicas if isinstance(replicas, int) else 1


@contextmanager
def cluster_if_asked(address: str, config: TrainConfig, shape: CorpusShape | None = None) -> Iterator[Cluster | None]:
    """``running_cluster`` where ``config`` asks for replicas, else None."""
    if config.replicas is None:
        yield None
        return
    with running_cluster(address, config, shape) as cluster:
        yield cluster


def _connect(ray: ModuleType, address: str, config: TrainConfig, shape: CorpusShape | None) -> bool:
    """Whether a Ray of our own was started."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    if address == "local":
        _start(ray, config, shape)
        return True
    if address == "auto":
        try:
            ray.init(address="auto", **_QUIET)
        except ConnectionError:
            _start(ray, config, shape)
            return True
        return False
    if not address.startswith("ray://") and ":" not in address:
        raise ConfigError(
            f"--ray-address {address!r} is not understood: use auto, local, HOST:PORT or ray://HOST:PORT"
        )
    try:
        _knock(address)
        ray.init(address=address, **_QUIET)
    except _FAILURES as error:
        raise DeviceError(
            f"no Ray cluster answers at {address} ({first_line(error)}): check --ray-address (or RAY_ADDRESS), or "
            "start one with `ray start --head`; for one that asks for a token set RAY_AUTH_MODE=token"
        ) from error
    return False


def _knock(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        raise OSError(f"{port!r} is no number of a port")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


def _start(ray: ModuleType, config: TrainConfig, shape: CorpusShape | None) -> None:
    replicas = _given(config.replicas)
    if _HANG_UP is not None:
        # Ray's processes, which inherit it, end with ours: not with the terminal, or nobody could save the run.
        signal.signal(_HANG_UP, signal.SIG_IGN)
    try:
        ray.init(
            address="local",
            num_cpus=max(available_cores(), replicas * max(1, (config.threads or 1) // replicas)),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE + _for_arrays(config, shape, replicas),
            **_QUIET,
        )
    except _FAILURES as error:
        raise DeviceError(f"Ray does not start on this computer: {first_line(error)}") from error


def _for_arrays(config: TrainConfig, shape: CorpusShape | None, replicas: int) -> int:
    """Bytes of the object store that the arrays of a run take."""
    if shape is None:
        available = available_memory()
        return _WITHOUT_SHARE if available is None else available // _SHARE
    # What is given to all at the beginning, and a round of all rows: what each gives, and its sums.
    matrices = 2 * 4 * shape.counts.size * (config.vector_size + 1)
    return 2 * (replicas + 1) * matrices


class _WithoutRaylet:
    """Standard output without what Ray prints there of processes that died: a run says it in a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return len(text) if "(raylet)" in text else self._stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def first_line(error: BaseException) -> str:
    """Of what Ray has to say, without colours; of what made an actor fail at once, the last line: its reason."""
    lines = _COLOURS.sub("", str(error)).strip().splitlines() or [type(error).__name__]
    return lines[-1 if _AT_ONCE in lines[0] else 0].strip()
