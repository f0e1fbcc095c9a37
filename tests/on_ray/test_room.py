"""Replicas in a real Ray that has not enough processors for them."""

import re

import numpy as np
import pytest

from w2v.config import TrainConfig
from w2v.distributed import actors
from w2v.distributed.backend import ReplicatedBackend
from w2v.distributed.cluster import running_cluster
from w2v.errors import DeviceError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'w2v[ray]'")


def test_replicas_that_find_no_room_are_told(monkeypatch):
    monkeypatch.setattr(actors, "_ROOM_SECONDS", 10.0)
    monkeypatch.setattr(actors, "_PATIENCE_SECONDS", 5.0)
    said = []
    counts = np.arange(100, 0, -1)
    with running_cluster("local", TrainConfig(replicas=2, threads=2)) as cluster:
        processors = int(cluster.ray.cluster_resources()["CPU"])
        config = TrainConfig(replicas=3, threads=3 * processors, sync_words=1000, device="cpu").resolved()
        missing = rf"[23] of 3 replicas \({processors} CPUs each\)"
        with pytest.raises(DeviceError, match=f"{missing} did not start in 10 s, .*: lower --replicas or --threads"):
            ReplicatedBackend(config, counts, cluster, said.append)
    assert len(said) == 1
    assert re.fullmatch(f"{missing} have not started, .*: waiting for 10 s", said[0])
