"""Work on a stream of blocks in threads: produced in order, worked on in any order, committed in order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Slot = TypeVar("Slot")


class Pipeline(Generic[Slot]):
    """One producer thread, several workers, and a fixed set of slots that travel between them.

    produce(slot): fill a slot, False at the end; one thread, ahead of the others by the number of free slots.
    work(slot): any worker, any order. commit(slot): one at a time, in the order of ``produce``; a worker never waits
    for its turn, it hands its slot in and goes on. finish(slot): any worker, after the commit; may be None. The
    first exception stops everything and is raised by ``run``.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        produce: Callable[[Slot], bool],
        work: Callable[[Slot], None],
        commit: Callable[[Slot], None],
        finish: Callable[[Slot], None] | None = None,
    ) -> None:
        """Nothing runs before ``run``."""
        self._produce, self._work, self._commit, self._finish = produce, work, commit, finish
        self._free: queue.SimpleQueue = queue.SimpleQueue()
        self._full: queue.SimpleQueue = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._lock = threading.Lock()
        self._waiting: dict[int, Slot] = {}
        self._committing = False
        self._next = 0
        self._released = 0
        self._total: int | None = None
        self._error: BaseException | None = None
        self._stopped = False
        self._workers = 0
        self.waited = 0.0

    def run(self, threads: int, tick: Callable[[], None] | None = None) -> None:
        """Run to the end with ``threads`` workers; ``tick`` is called by the calling thread every tenth of a second,
        and at the end.

        ``waited`` is afterwards the mean time (seconds) for which workers had nothing to do but wait for input.
        """
        self._workers = threads
        producer = threading.Thread(target=self._guard, args=(self._producer,), daemon=True)
        workers = [threading.Thread(target=self._guard, args=(self._worker,), daemon=True) for _ in range(threads)]
        for thread in (producer, *workers):
            thread.start()
        try:
            for thread in workers:
                while thread.is_alive():
                    thread.join(0.1)
                    if tick is not None:
                        tick()
            # Once more, for those who want to see the end.
            if tick is not None:
                tick()
        except BaseException as error:
            self._stop(error)
            for thread in workers:
                thread.join()
        # A producer that waits for standard input cannot be interrupted; as a daemon it does not keep us.
        producer.join(1.0)
        if self._error is not None:
            raise self._error

    def _guard(self, function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            self._stop(error)

    def _stop(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
            self._stopped = True
        self._free.put(None)
        for _ in range(self._workers):
            self._full.put(None)

    def _producer(self) -> None:
        number = 0
        while True:
            slot = self._free.get()
            if self._stopped or not self._produce(slot):
                break
            self._full.put((number, slot))
            number += 1
        with self._lock:
            self._total = number
        self._end()

    def _worker(self) -> None:
        waited = 0.0
        while True:
            start = time.perf_counter()
            item = self._full.get()
            waited += time.perf_counter() - start
            if item is None or self._stopped:
                with self._lock:
                    self.waited += waited / self._workers
                return
            number, slot = item
            if number is None:
                self._release(slot)
            else:
                self._work(slot)
                self._hand_in(number, slot)

    def _hand_in(self, number: int, slot: Slot) -> None:
        """Commit a slot and those that waited for it, unless another worker is at it: then that one will."""
        with self._lock:
            self._waiting[number] = slot
            if self._committing:
                return
            self._committing = True
        done = None
        while True:
            with self._lock:
                slot = None if self._stopped else self._waiting.pop(self._next, None)
                if slot is None:
                    self._committing = False
                    break
            if done is not None:
                # Whoever is free finishes it; the slots behind it should not wait for that.
                self._full.put((None, done))
            self._commit(slot)
            done = slot
            with self._lock:
                self._next += 1
        if done is not None:
            self._release(done)

    def _release(self, slot: Slot) -> None:
        if self._finish is not None:
            self._finish(slot)
        self._free.put(slot)
        with self._lock:
            self._released += 1
        self._end()

    def _end(self) -> None:
        """Send the workers home when the last slot is released."""
        with self._lock:
            if self._released != self._total:
                return
        for _ in range(self._workers):
            self._full.put(None)
