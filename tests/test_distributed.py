"""Replicas: rounds, averaging, meeting, and what becomes of a member that dies; in threads, without Ray."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from replica_group import Group, Loop, LoopRay, Remote
from test_training_run import OBJECTIVES, config_for, small_corpus

from w2v.backends import make_backend
from w2v.backends.base import EpochReport
from w2v.corpus import EncodedCorpus
from w2v.corpus.part import CorpusPart, split_corpus
from w2v.distributed import averaging
from w2v.distributed.averaging import RowAverager
from w2v.distributed.communicators import GroupBroken, NcclCommunicator, ObjectStoreCommunicator, SingleCommunicator
from w2v.distributed.coordinator import Adder, Coordinator, added
from w2v.distributed.notes import pause_is_asked, read_reports, write_note, write_notes
from w2v.distributed.rounds import FEWEST_ROWS, default_sync_words, rounds_per_epoch, rows_of_round
from w2v.errors import CorpusError
from w2v.objectives import CorpusShape, make_objective, resolve_for_corpus


@pytest.fixture(scope="module")
def corpus() -> EncodedCorpus:
    return small_corpus()


def resolved(corpus: EncodedCorpus, **options):
    options = {"batch_pairs": 150} | options if options.get("objective") in ("class", "adaptive", "full") else options
    config = config_for(**options)
    shape = CorpusShape(corpus.vocabulary.counts, corpus.tokens, corpus.sentences)
    return resolve_for_corpus(config, shape, "cpu")


def require_equal(first: dict[str, np.ndarray], *others: dict[str, np.ndarray]) -> None:
    """The parameters of replicas, to the bit."""
    for other in others:
        for name, array in first.items():
            np.testing.assert_array_equal(other[name], array, err_msg=name)


# ---- Rounds. ----


def test_half_of_the_rounds_cover_the_fewest_rows():
    rows = [rows_of_round(number, 16, 10**6) for number in range(1, 17)]
    assert rows[:8] == [FEWEST_ROWS * times for times in (1, 2, 1, 4, 1, 2, 1, 8)]
    assert rows[15] == 10**6  # the last one covers all
    assert [rows_of_round(number, 9, 1500) for number in range(1, 10)] == [1024, 1500] * 4 + [1500]


@pytest.mark.parametrize(
    ("words", "replicas", "sync_words", "expected"),
    [(10, 2, 100, 1), (1000, 2, 100, 5), (1001, 2, 100, 6), (0, 3, 10, 1)],
)
def test_rounds_of_an_epoch(words, replicas, sync_words, expected):
    assert rounds_per_epoch(words, replicas, sync_words) == expected


def test_more_replicas_meet_more_often_on_cpus():
    assert [default_sync_words(replicas, "cpu") for replicas in (1, 2, 4, 100)] == [
        10_240_000,
        640_000,
        50_000,
        10_000,
    ]
    assert {default_sync_words(replicas, "cuda") for replicas in (1, 8, 512)} == {2_000_000}


# ---- Parts. ----


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_are_the_text_in_whole_sentences(corpus, tmp_path, parts):
    ids = np.asarray(corpus.ids)
    path = tmp_path / "ids.bin"
    ids.tofile(path)
    for source in (ids, np.memmap(path, "<i4", "r")):
        found = split_corpus(source, parts)
        assert len(found) == parts
        opened = [part.open() for part in found]
        np.testing.assert_array_equal(np.concatenate(opened), ids)
        assert all(part[-1] == -1 for part in opened)
        assert max(map(len, opened)) - min(map(len, opened)) < 40
        assert all((part.path == path) == isinstance(source, np.memmap) for part in found)


def test_more_parts_than_sentences_are_refused():
    with pytest.raises(CorpusError, match="too few sentences for 3 replicas: lower --replicas"):
        split_corpus(np.array([1, 2, 3, 4, 5, 6, -1, 1, -1], np.int32), 3)


def test_a_part_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CorpusError, match="cannot read the encoded corpus .* choose a --cache folder"):
        CorpusPart(tmp_path / "ids.bin", 0, 10).open()
    (tmp_path / "ids.bin").write_bytes(b"1234")
    with pytest.raises(CorpusError, match="is shorter than it was"):
        CorpusPart(tmp_path / "ids.bin", 0, 10).open()


# ---- Averaging. ----


class Together:
    """A communicator between threads."""

    xp = np

    def __init__(self, members: int) -> None:
        self.barrier, self.parts = threading.Barrier(members, timeout=30), {}
        self.calls = 0

    def of(self, rank: int):
        group = self

        class Member:
            xp = np

            def sum(self, values):
                group.calls += rank == 0
                group.parts[rank] = values.copy()
                group.barrier.wait()
                total = sum(group.parts[member] for member in sorted(group.parts))
                group.barrier.wait()
                return total

        return Member()


def average(start: dict, changes: list[dict], rows: dict, hot_last=frozenset()) -> tuple[list[dict], Together]:
    group = Together(len(changes))
    members = [{name: array.copy() for name, array in start.items()} for _ in changes]
    averagers = [RowAverager(member, hot_last) for member in members]
    for member, change in zip(members, changes, strict=True):
        for name, array in change.items():
            member[name] += array
    with ThreadPoolExecutor(len(changes)) as pool:
        list(pool.map(lambda rank: averagers[rank].average(rows, group.of(rank)), range(len(changes))))
    for averager, member in zip(averagers, members, strict=True):
        for name in start:
            covered = averager.reference[name] == member[name]
            assert covered.reshape(len(covered), -1).all(axis=1).sum() >= rows[name]
    return members, group


@pytest.mark.parametrize("block", [1 << 26, 40, 1])
def test_a_row_is_the_mean_of_those_who_changed_it(monkeypatch, block):
    monkeypatch.setattr(averaging, "CPU_BLOCK_BYTES", block)
    rng = np.random.default_rng(0)
    start = {"matrix": rng.normal(size=(9, 5)).astype(np.float32), "sums": rng.random(9).astype(np.float32)}
    touched = rng.random((3, 9)) < 0.5
    touched[:, 0], touched[:, 1], touched[:, 2] = True, False, [True, False, False]
    changes = [
        {
            "matrix": (rng.normal(size=(9, 5)) * touched[rank][:, None]).astype(np.float32),
            "sums": (rng.random(9) * touched[rank]).astype(np.float32),
        }
        for rank in range(3)
    ]
    members, _ = average(start, changes, {"matrix": 9, "sums": 9})
    for name, array in start.items():
        for row in range(9):
            values = [array[row] + change[name][row] for rank, change in enumerate(changes) if touched[rank, row]]
            expected = np.mean(values, axis=0) if values else array[row]
            for member in members:
                np.testing.assert_allclose(member[name][row], expected, rtol=1e-6)
        assert all((member[name] == members[0][name]).all() for member in members)
    # Whoever changed a row alone keeps it to the bit.
    np.testing.assert_array_equal(members[1]["matrix"][2], start["matrix"][2] + changes[0]["matrix"][2])


@pytest.mark.parametrize("hot_last", [False, True])
def test_only_the_most_used_rows_are_averaged(hot_last):
    start = {"matrix": np.zeros((10, 3), np.float32)}
    changes = [{"matrix": np.full((10, 3), value, np.float32)} for value in (1, 3)]
    members, _ = average(start, changes, {"matrix": 4}, frozenset({"matrix"}) if hot_last else frozenset())
    covered = slice(6, 10) if hot_last else slice(0, 4)
    others = slice(0, 6) if hot_last else slice(4, 10)
    for member, value in zip(members, (1, 3), strict=True):
        assert (member["matrix"][covered] == 2).all()
        assert (member["matrix"][others] == value).all()


def test_a_round_of_no_rows_moves_nothing():
    parameters = {"matrix": np.ones((3, 2), np.float32)}
    note = np.array([1.0, 2.0], np.float32)
    assert (RowAverager(parameters).average({"matrix": 0}, SingleCommunicator(), note) == note).all()
    assert (parameters["matrix"] == 1).all()


def test_all_rows_of_a_round_and_the_notes_are_one_sum():
    rng = np.random.default_rng(3)
    parameters = {"a": rng.random((7, 3)).astype(np.float32), "b": rng.random(5).astype(np.float32)}
    group = Together(2)
    averagers = [RowAverager({name: array.copy() for name, array in parameters.items()}) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        rows = {"a": 4, "b": 5}
        notes = np.array([[1, 0, 3], [0, 4, 3]], np.float32)
        found = list(pool.map(lambda rank: averagers[rank].average(rows, group.of(rank), notes[rank]), range(2)))
    assert [note.tolist() for note in found] == [[1, 4, 6]] * 2
    assert group.calls == 1
    assert group.parts[0].shape == (4 * 4 + 5 * 2 + 3,)


# ---- Meeting. ----


def test_the_coordinator_knows_the_latest_reports():
    async def meet() -> None:
        coordinator = Coordinator(2)
        await coordinator.begin_epoch([EpochReport(position=1), EpochReport(position=2)])
        for position in (50, 85):
            await coordinator.tell(0, EpochReport(position=position))
        assert (await coordinator.status())[0] == [EpochReport(position=85), EpochReport(position=2)]

    asyncio.run(meet())


def test_notes_are_exact_whatever_the_members_say():
    rng = np.random.default_rng(5)
    reports = [
        EpochReport(
            loss=float(rng.normal() * 10.0 ** rng.integers(-300, 300)),
            pairs=int(rng.integers(1 << 62)),
            kept_words=int(rng.integers(1 << 20)),
            words=(1 << 63) - 1,
            learning_rate=float(rng.random()),
            position=int(rng.integers(1 << 40)),
        )
        for _ in range(5)
    ]
    for asks in (None, 0, 4):
        notes = [write_note(5, rank, report, rank == asks) for rank, report in enumerate(reports)]
        assert read_reports(sum(notes)) == tuple(reports) == read_reports(write_notes(reports))
        assert pause_is_asked(sum(notes)) == (asks is not None)


def test_all_pause_after_one_round_until_they_are_let_go():
    async def meet() -> None:
        coordinator = Coordinator(2)
        await coordinator.begin_epoch([EpochReport()] * 2)
        for number in (3, 7):
            waiting = [asyncio.create_task(coordinator.pause(0, number, EpochReport(position=5)))]
            await asyncio.sleep(0.01)
            assert (await coordinator.status())[1] == 0
            waiting.append(asyncio.create_task(coordinator.pause(1, number, EpochReport(position=6))))
            await asyncio.sleep(0.01)
            assert await coordinator.status() == ([EpochReport(position=5), EpochReport(position=6)], number)
            await coordinator.go_on(number)
            await asyncio.wait_for(asyncio.gather(*waiting), 10)
            assert (await coordinator.status())[1] == 0
            # A successor that comes to the same pause afterwards does not wait for what was said already.
            await asyncio.wait_for(coordinator.pause(1, number, EpochReport(position=6)), 10)
            assert (await coordinator.status())[1] == 0

    asyncio.run(meet())


@pytest.mark.parametrize("members", [1, 2, 4, 5, 9])
def test_sums_are_the_same_whoever_comes_first_and_comes_again(members):
    """Few members get the arrays of all, many their sum; who comes again gets what there was."""
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=1000).astype(np.float32) for _ in range(members)]
    expected = parts[0].copy()
    for part in parts[1:]:
        expected += part

    async def sums(order: list[int]) -> list[np.ndarray]:
        adder = Adder(members, lambda array: array)
        tasks = []
        for rank in order:
            tasks.append(asyncio.create_task(adder.add((1, 0), rank, parts[rank], [parts[rank]])))
            await asyncio.sleep(0)
        found = await asyncio.gather(*tasks)
        other = np.full(1000, np.nan, np.float32)
        found.append(await adder.add((1, 0), order[0], other, [other]))
        assert {len(references) for references in found} == {members if members <= 4 else 1}
        # Where one of the arrays is lost.
        found += [await adder.total((1, 0)), await adder.total((1, 0)), await adder.add((1, 0), 0, other, [other])]
        assert len(found[-1]) == 1
        # The sums of two rounds are kept.
        for number in (2, 3):
            again = [adder.add((number, 0), rank, parts[rank], [parts[rank]]) for rank in range(members)]
            await asyncio.gather(*again)
        assert set(adder._sums) == {(2, 0), (3, 0)}
        return [added(references, np.empty(1000, np.float32)) for references in found]

    ranks = list(range(members))
    for order in (ranks, [*ranks[::-1], 0]):
        for total in asyncio.run(sums(order)):
            np.testing.assert_array_equal(total, expected)


def test_an_array_that_is_lost_with_its_owner_is_in_the_sum():
    """A member dies after it has contributed, and before another one has fetched its array."""
    loop = Loop()
    adder = Adder(2, lambda array: array)
    rays = [LoopRay() for _ in range(2)]
    get = rays[0].get

    def losing(asked):
        if isinstance(asked, list) and len(asked) == 2:
            raise LookupError("the owner has died")
        return get(asked)

    rays[0].get = losing
    members = [ObjectStoreCommunicator(rays[rank], rank, Remote(adder, loop), overlaps=False) for rank in range(2)]
    for member in members:
        member.begin_round(1, None)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda rank: members[rank].sum(np.full(5, rank + 1, np.float32)), range(2)))
    assert [total.tolist() for total in found] == [[3] * 5] * 2


# ---- Training. ----


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_replica_is_the_plain_backend(corpus, objective, model):
    config = resolved(corpus, objective=objective, model=model)
    group = Group(config, corpus, 1)
    (found,) = group.train_epoch(5)
    backend = make_backend(config, make_objective(config, corpus.vocabulary.counts))
    backend.compile()
    backend.initialise()
    known = backend.train_epoch(np.asarray(corpus.ids), 0, lambda share: 0.05 * (1 - share), lambda report: None)
    for name in ("pairs", "kept_words", "words"):
        assert getattr(found, name) == getattr(known, name)
    for name, array in backend.parameters().items():
        np.testing.assert_array_equal(group.replicas[0].parameters()[name], array, err_msg=name)


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("model", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_replicas_end_an_epoch_with_the_same_parameters(corpus, objective, model, overlaps):
    group = Group(resolved(corpus, objective=objective, model=model), corpus, 3, overlaps=overlaps)
    reports = [group.train_epoch(6, number) for number in range(2)][-1]
    assert sum(report.words for report in reports) == corpus.tokens
    first, *others = (replica.parameters() for replica in group.replicas)
    require_equal(first, *others)
    assert all(np.isfinite(array).all() for array in first.values())
    assert all((replica._round, replica.unsound_parameters()) == (6, []) for replica in group.replicas)


def test_replicas_learn_as_one_does(corpus):
    losses = []
    for members in (1, 3):
        group = Group(resolved(corpus, sample=0.0), corpus, members)
        for number in range(6):
            reports = group.train_epoch(8, number)
        losses.append(sum(report.loss for report in reports) / sum(report.pairs for report in reports))
    assert losses[1] == pytest.approx(losses[0], rel=0.08)


class Death(Exception):
    """Of a replica."""


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("moment", ["training", "told", "added"])
@pytest.mark.parametrize("rounds", [4, 6])
def test_a_successor_takes_the_place_of_a_member_that_died(corpus, moment, rounds, overlaps):
    """While it trains for the third round, after it said where it is, or after others have its sums."""
    group = Group(resolved(corpus), corpus, 3, overlaps=overlaps)
    plan = group.begin(rounds)
    victim = group.replicas[1]
    hold, average_rows = victim._hold_round, victim._average

    def dying_hold(number, *arguments):
        if number == 3 and moment == "training":
            raise Death
        hold(number, *arguments)

    def dying_average(number, *arguments):
        if number == 3 and moment == "told":
            raise Death
        average_rows(number, *arguments)
        if number == 3:
            raise Death

    victim._hold_round, victim._average = dying_hold, dying_average
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(replica.train_epoch, plan) for replica in group.replicas]
        with pytest.raises(Death):
            running[1].result(60)
        ahead = max((group.replicas[rank].standing(True) for rank in (0, 2)), key=lambda standing: standing.place)
        assert ahead.number in ((2,) if moment != "added" else (2, 3, 4))
        successor = group.replica(1)
        successor.load_parameters(ahead.parameters)
        assert 0 < ahead.reports[1].position < len(group.parts[1].open())
        group.replicas[1] = successor
        running[1] = pool.submit(
            successor.train_epoch, replace(plan, first_round=ahead.number + 1, starts=ahead.reports)
        )
        reports = [future.result(60) for future in running]
    assert sum(report.words for report in reports) == corpus.tokens
    require_equal(*(replica.parameters() for replica in group.replicas))


def test_a_member_that_was_a_round_ahead_leaves_nobody_waiting(corpus):
    """It contributes to the second round and dies while the other one has still to finish the first."""
    group = Group(resolved(corpus), corpus, 2)
    plan, may_finish = group.begin(6), threading.Event()
    slow, victim = group.replicas
    go_on, average_rows = slow._go_on, victim._average

    def held_back(*arguments):
        if slow._round == 0 and slow._finish is not None:
            assert may_finish.wait(60)
        go_on(*arguments)

    def dying(number, *arguments):
        average_rows(number, *arguments)
        if number == 2:
            raise Death

    slow._go_on, victim._average = held_back, dying
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(replica.train_epoch, plan) for replica in group.replicas]
        with pytest.raises(Death):
            running[1].result(60)
        ahead = slow.standing(True)
        assert ahead.number == 0
        successor = group.replica(1)
        successor.load_parameters(ahead.parameters)
        may_finish.set()
        while slow._round < 1 or (slow._finish is None and slow._round < 2):  # it comes to the second round first
            time.sleep(0.001)
        running[1] = pool.submit(successor.train_epoch, replace(plan, first_round=1, starts=ahead.reports))
        reports = [future.result(60) for future in running]
    assert sum(report.words for report in reports) == corpus.tokens
    require_equal(slow.parameters(), successor.parameters())


# ---- NCCL, as its calls go; none of it has run on GPUs here. ----


class FakeNccl:
    """``cupy.cuda.nccl`` between threads; "device pointers" are keys of registered NumPy arrays."""

    NCCL_FLOAT32, NCCL_SUM = 7, 0

    class NcclError(RuntimeError):
        pass

    def __init__(self) -> None:
        self.groups, self.arrays, self.calls = {}, {}, []
        outer = self

        class NcclCommunicator:
            def __init__(self, members, group, rank):
                outer.calls.append(("join", rank, group))
                self.rank, self.broken = rank, False
                self.state = outer.groups.setdefault(group, (threading.Barrier(members, timeout=5), {}))
                self.state[0].wait()

            def allReduce(self, source, target, count, kind, operation, stream):  # noqa: N802 (NCCL's name)
                outer.calls.append(("allReduce", self.rank, count))
                assert (kind, operation, stream) == (FakeNccl.NCCL_FLOAT32, FakeNccl.NCCL_SUM, 11)
                barrier, parts = self.state
                parts[self.rank] = outer.arrays[source].copy()
                try:
                    barrier.wait()
                    total = sum(parts[rank] for rank in sorted(parts))
                    barrier.wait()
                except threading.BrokenBarrierError as error:
                    raise outer.NcclError("unhandled system error") from error
                outer.arrays[target][:] = total

            def check_async_error(self):
                pass

            def abort(self):
                self.state[0].abort()

        self.NcclCommunicator = NcclCommunicator


class FakeCupy:
    """NumPy with what the communicator asks of CuPy's arrays and streams."""

    def __init__(self, nccl: FakeNccl) -> None:
        self._nccl = nccl

    class cuda:  # noqa: N801 (CuPy's name)
        @staticmethod
        def get_current_stream():
            return type("Stream", (), {"synchronize": staticmethod(lambda: None)})

    def array(self, values):
        made = np.array(values, np.float32).view(Pointed)
        made.data_ptr = id(made)
        self._nccl.arrays[made.data_ptr] = made
        return made


class Pointed(np.ndarray):
    @property
    def data(self):
        return type("Memory", (), {"ptr": self.data_ptr})


def test_nccl_adds_up_and_a_group_is_joined_once():
    nccl = FakeNccl()
    cupy, meeting = FakeCupy(nccl), threading.Barrier(2, timeout=30)

    def member(rank: int) -> list:
        communicator = NcclCommunicator(cupy, nccl, rank, 2, lambda: 11)
        found = []
        for number, group in ((1, "a"), (2, "a"), (3, "b")):
            meeting.wait()
            communicator.begin_round(number, group)
            found.append(communicator.sum(cupy.array([rank + 1.0, number])).tolist())
        return found

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(member, range(2))
    assert first == second == [[3, 2], [3, 4], [3, 6]]
    assert sorted(call for call in nccl.calls if call[0] == "join") == [
        ("join", rank, group) for rank in range(2) for group in "ab"
    ]
    assert sum(call[0] == "allReduce" for call in nccl.calls) == 6


def test_a_broken_group_of_nccl_is_told():
    nccl = FakeNccl()
    cupy = FakeCupy(nccl)
    members = [NcclCommunicator(cupy, nccl, rank, 2, lambda: 11) for rank in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda member: member.begin_round(1, "a"), members))
        waiting = pool.submit(members[0].sum, cupy.array([1.0]))
        members[0].abort()  # the other one is dead
        with pytest.raises(GroupBroken):
            waiting.result(10)


class Breaking:
    """An exchange between threads that breaks when a member dies, as NCCL does; ``held``: sums that some have got."""

    def __init__(self, members: int) -> None:
        self.members, self.groups, self.first = members, {}, None

    def of(self, rank: int) -> BreakingMember:
        return BreakingMember(self, rank)


class BreakingMember:
    xp, overlaps = np, False

    def __init__(self, exchange: Breaking, rank: int) -> None:
        self.exchange, self.rank, self.barrier, self.joined = exchange, rank, None, "nothing"
        self.late_in = None  # round and number of the sum that does not get here any more

    def begin_round(self, number, group):
        self.at = (number, 0)
        if group == "the end":
            raise Death
        if group != self.joined:
            if self.joined == self.exchange.first:
                self.late_in = None
            fresh = (threading.Barrier(self.exchange.members, timeout=30), {})
            self.barrier, self.parts = self.exchange.groups.setdefault(group, fresh)
            self.joined = group
            self._wait()

    def sum(self, values):
        self.parts[self.rank] = values.copy()
        self._wait()
        total = sum(self.parts[rank] for rank in sorted(self.parts))
        self._wait()
        number, block = self.at
        self.at = (number, block + 1)
        if (number, block) == self.late_in:
            self.late_in = None
            while not self.barrier.broken:
                time.sleep(0.001)
            raise GroupBroken
        return total

    def abort(self):
        self.barrier.abort()
        return True

    def _wait(self):
        try:
            self.barrier.wait()
        except threading.BrokenBarrierError as error:
            raise GroupBroken from error


# Where the dead member got to, and where the one that is behind has got to by then: round, sum of it.
BREAKS = [
    ((1, 0), (1, 0)),
    ((3, 0), (3, 0)),
    ((6, 0), (6, 0)),
    ((2, 0), (1, 0)),
    ((6, 0), (5, 0)),
    ((6, 1), (6, 0)),
    ((6, 2), (6, 1)),
    ((3, 1), (3, 1)),
]


@pytest.mark.parametrize(("dead_at", "behind_at"), BREAKS)
def test_a_broken_group_goes_on_with_a_successor(corpus, monkeypatch, dead_at, behind_at):
    """A member dies before a sum: others have all the sums before it, or one of them has not got the last one."""
    if dead_at[1] or behind_at[1]:
        monkeypatch.setattr(averaging, "CPU_BLOCK_BYTES", 1500)
    exchange, rounds = Breaking(3), 6
    group = Group(resolved(corpus), corpus, 3, communicator=lambda rank: lambda members: exchange.of(rank))
    plan = group.begin(rounds)
    victim = group.replicas[1]
    summed = victim._communicator.sum

    def dying(values):
        if victim._communicator.at == dead_at:
            raise Death
        return summed(values)

    victim._communicator.sum = dying
    if dead_at != behind_at:
        group.replicas[2]._communicator.late_in = behind_at
    held = [(number - 1, block) for number, block in (dead_at, behind_at)]
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(replica.train_epoch, plan) for replica in group.replicas]
        with pytest.raises(Death):
            running[1].result(60)
        survivors = [group.replicas[rank] for rank in (0, 2)]
        # What has come about is not broken any more.
        while [survivor.standing(False).place for survivor in survivors] != held:
            time.sleep(0.001)
        for survivor in survivors:
            survivor.abort()
        ahead, behind = (survivor.standing(True) for survivor in survivors)
        if [ahead.place, behind.place] != held:
            for survivor in survivors:
                survivor.join("the end", behind)
        assert [ahead.place, behind.place] == held
        successor = group.replica(1)
        successor.load_parameters(ahead.parameters)
        for replica in (survivors[0], successor, survivors[1]):
            replica.join("new", ahead)
        group.replicas[1] = successor
        running[1] = pool.submit(
            successor.train_epoch, replace(plan, first_round=ahead.number + 1, starts=ahead.reports)
        )
        reports = [future.result(60) for future in running]
    assert sum(report.words for report in reports) == corpus.tokens
    require_equal(*(replica.parameters() for replica in group.replicas))


@pytest.mark.parametrize("asked_in", [1, 4, 5])
def test_one_that_is_asked_to_pause_tells_the_others_in_the_sum(corpus, asked_in):
    """All of them pause after the next one, which covers every row: with the same parameters; not after the last."""
    rounds = 6
    group = Group(resolved(corpus), corpus, 3)
    plan = group.begin(rounds)
    asked, average_rows = group.replicas[2], group.replicas[2]._average

    def asking(number, *arguments):
        if number == asked_in:
            asked.ask_pause()
        average_rows(number, *arguments)

    asked._average = asking
    found = []
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(replica.train_epoch, plan) for replica in group.replicas]
        while not all(future.done() for future in running):
            reports, paused = group.loop.wait(group.hub.status())
            if paused:
                assert [tuple(reports)] * 3 == [replica.standing(False).reports for replica in group.replicas]
                found.append((paused, [replica.parameters() for replica in group.replicas]))
                group.loop.wait(group.hub.go_on(paused))
            time.sleep(0.001)
        assert sum(future.result().words for future in running) == corpus.tokens
    assert [paused for paused, _ in found] == ([asked_in + 1] if asked_in + 1 < rounds else [])
    for _, parameters in found:
        require_equal(*parameters)
