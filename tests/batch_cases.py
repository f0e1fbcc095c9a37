"""Comparison of the batches of block softmax, for several files of tests."""

import numpy as np

from w2v.objectives import BlockObjective
from w2v.objectives.block_batch import Batch, Targets, host_copy


def assert_batches_equal(found: Batch, expected: Batch) -> None:
    """By what they mean, and the types; of targets only what their begins reach."""
    for name in ("inputs", "weights", "job_rows", "job_weights", "cluster_begins", "row_begins", "row_jobs"):
        _assert_same(getattr(found, name), getattr(expected, name), name)
    for name in ("head", "job_targets"):
        _assert_same_targets(getattr(found, name), getattr(expected, name))
    assert (found.bags is None) == (expected.bags is None)
    if found.bags is not None:
        for name in ("begins", "members", "word_begins", "windows"):
            _assert_same(getattr(found.bags, name), getattr(expected.bags, name), name)


def _assert_same(found: object, expected: object, name: str) -> None:
    found, expected = host_copy(found), host_copy(expected)
    np.testing.assert_array_equal(found, expected, err_msg=name)
    assert found.dtype == expected.dtype, name


def _assert_same_targets(found: Targets, expected: Targets) -> None:
    begins, known = host_copy(found.begins), host_copy(expected.begins)
    _assert_same(begins - begins[0], known - known[0], "begins")
    for name in ("columns", "weights"):
        reached = host_copy(getattr(found, name))[begins[0] : begins[-1]]
        _assert_same(reached, host_copy(getattr(expected, name))[known[0] : known[-1]], name)


def pairs_of(objective: BlockObjective, batch: Batch) -> list[tuple[tuple[int, ...], int]]:
    """What a batch predicts, sorted: (input words of a row, rank), as often as it counts."""
    layout, pairs = objective.layout, []
    words = _words_of_rows(batch)
    begins, columns, weights = (host_copy(part) for part in vars(batch.head).values())
    for row, word in enumerate(words):
        for at in range(begins[row], begins[row + 1]):
            if columns[at] < layout.shortlist:
                pairs += [(word, int(columns[at]))] * int(weights[at])
    begins, columns, weights = (host_copy(part) for part in vars(batch.job_targets).values())
    clusters = np.repeat(np.arange(layout.clusters), np.diff(batch.cluster_begins)) if layout.clusters else []
    for job, (row, cluster) in enumerate(zip(host_copy(batch.job_rows).tolist(), clusters, strict=True)):
        for at in range(begins[job], begins[job + 1]):
            pairs += [(words[row], int(layout.edges[cluster] + columns[at]))] * int(weights[at])
    return sorted(pairs)


def _words_of_rows(batch: Batch) -> list[tuple[int, ...]]:
    inputs = host_copy(batch.inputs)
    if batch.bags is None:
        return [(word,) for word in inputs.tolist()]
    begins, members = host_copy(batch.bags.begins).tolist(), host_copy(batch.bags.members)
    return [tuple(inputs[members[begin:end]].tolist()) for begin, end in zip(begins, begins[1:], strict=False)]
