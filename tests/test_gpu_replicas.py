"""Replicas on a real GPU: rows packed and averaged there, and NCCL's calls in a group of one."""

import numpy as np
import pytest
from test_training_run import config_for, small_corpus

from w2v.backends.base import EpochReport
from w2v.corpus.part import split_corpus
from w2v.distributed import averaging
from w2v.distributed.actors import nccl_communicator
from w2v.distributed.averaging import RowAverager
from w2v.distributed.communicators import GroupBroken, SingleCommunicator
from w2v.distributed.replica import EpochPlan, Replica
from w2v.errors import DeviceError
from w2v.objectives import CorpusShape, resolve_for_corpus

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu"), pytest.mark.filterwarnings("ignore:Grid size")]


class Tripling(SingleCommunicator):
    """Two others have changed the same rows by the same."""

    def __init__(self, xp: object) -> None:
        self.xp = xp

    def sum(self, values):
        values *= 3
        return values


class Nobody:
    """A meeting point where nobody else is."""

    def tell(self, rank, report):
        pass

    def pause(self, rank, number, report):
        raise AssertionError("nobody asked for a pause")


def one_of_nccl():
    """A group of one; skips where NCCL is not installed."""
    try:
        communicator = nccl_communicator(0, 1)
    except DeviceError as error:
        pytest.skip(str(error))
    from w2v.distributed.actors import nccl

    communicator.begin_round(0, nccl().get_unique_id())
    return communicator


@pytest.mark.parametrize("block", [1 << 26, 5000])
def test_rows_become_what_they_become_on_the_cpu(monkeypatch, block):
    import cupy

    for name in ("BLOCK_BYTES", "CPU_BLOCK_BYTES"):
        monkeypatch.setattr(averaging, name, block)
    rng = np.random.default_rng(4)
    start = {"matrix": rng.normal(size=(3000, 104)), "sums": rng.random(70_001)}
    start = {name: array.astype(np.float32) for name, array in start.items()}
    found = []
    for xp in (np, cupy):
        parameters = {name: xp.asarray(array) for name, array in start.items()}
        averager = RowAverager(parameters, frozenset({"sums"}))
        for array in parameters.values():
            array[::3] += 1
        note = averager.average({"matrix": 1024, "sums": 9000}, Tripling(xp), np.array([1, 65_535], np.float32))
        assert note.tolist() == [3, 196_605]
        found.append({name: xp.asarray(array).tolist() for name, array in parameters.items()})
    # Divisions of float32 are exact on both.
    assert found[0] == found[1]


def test_nccl_sums_in_a_group_of_one_and_an_aborted_one_is_broken():
    import cupy

    communicator = one_of_nccl()
    values = cupy.arange(1000, dtype=cupy.float32)
    assert (communicator.sum(values[10:]) == cupy.arange(10, 1000)).all()
    assert communicator.abort()
    with pytest.raises(GroupBroken):
        communicator.sum(values)


@pytest.mark.parametrize("objective", ["ns", "hs", "full", "adaptive", "class"])
def test_a_replica_trains_and_holds_rounds(objective):
    corpus = small_corpus()
    config = config_for(
        objective=objective, device="cuda", batch_pairs=150 if objective not in ("ns", "hs") else None
    )
    shape = CorpusShape(corpus.vocabulary.counts, corpus.tokens, corpus.sentences)
    config = resolve_for_corpus(config, shape, "cuda")
    replica = Replica(0, config, corpus.vocabulary.counts, Nobody(), lambda members: one_of_nccl())
    replica.compile(1)
    replica.initialise()
    (part,) = split_corpus(np.asarray(corpus.ids), 1)
    replica.upload(part, 100)
    before = replica.parameters()
    report = replica.train_epoch(EpochPlan(0, 6, 1, lambda share: 0.05, (EpochReport(),)))
    assert report.words == corpus.tokens
    standing = replica.standing()
    assert standing.number == 6
    assert standing.reports[0].words == corpus.tokens
    for name, array in replica.parameters().items():
        np.testing.assert_array_equal(standing.parameters[name], array, err_msg=name)
        assert np.isfinite(array).all()
    assert any((array != before[name]).any() for name, array in replica.parameters().items())
