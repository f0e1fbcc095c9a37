"""Replicas in a real Ray that has not enough processors for them."""

import numpy as np
import pytest

from w2v.config import TrainConfig
from w2v.distributed import actors
from w2v.distributed.backend import ReplicatedBackend
from w2v.distributed.cluster import running_cluster
from w2v.errors import DeviceError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'w2v[ray]'")


def test_replicas_that_find_no_room_are_told(monkeypatch):
    monkeypatch.setattr(actors, "_ROOM_SECONDS", 15.0)
    counts = np.arange(100, 0, -1)
    with running_cluster("local", TrainConfig(replicas=2, threads=2)) as cluster:
        processors = int(cluster.ray.cluster_resources()["CPU"])
        config = TrainConfig(replicas=3, threads=3 * processors, sync_words=1000, device="cpu").resolved()
        message = rf"no room for [23] of 3 replicas \({processors} CPUs each\) in 15 s: lower --replicas or --threads"
        with pytest.raises(DeviceError, match=message):
            ReplicatedBackend(config, counts, cluster)
