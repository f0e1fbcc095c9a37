"""Times blocks of an adaptive softmax over a grid of shapes, within a budget of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from w2v.cost.model import Measurement

# Seconds of measuring. The largest blocks come last, and are left out where the time is up.
BUDGET = 75.0
# However slow the device, this many blocks are timed: they span several columns, inputs and dims.
FEWEST = 24
# Logits of one block: 1 GiB of float32.
MOST_LOGITS = 1 << 28
# No powers of two, whose rows meet in the same lines of a cache: cut-offs are none either. And steps that differ, so
# that the products k·B are spread and tell where the floor k0·B0 lies.
COLUMNS = (60, 250, 1000, 4000, 16_000, 64_000)
# A GPU is not busy yet with what fills a CPU.
INPUTS = {"cpu": (16, 50, 150, 500, 1500, 4500), "cuda": (64, 200, 600, 2000, 6000, 18_000)}


class BlockTimer(Protocol):
    """Times the step's own code on one device."""

    #: "cpu (name, threads)" or "cuda (name)".
    device: str

    def block_seconds(self, columns: int, inputs: int, size: int) -> float:
        """Median seconds of one dense block step, without compiling.

        That is: ``inputs`` × ``columns`` logits at ``size`` dims, softmax, gradient, the gradient's two products, and
        row-wise Adagrad on the columns.
        """


def grid(size: int, device_class: str) -> list[tuple[int, int, int]]:
    """(columns, inputs, size) to time, by rising work.

    The sizes are D (the head), 16 (where projections end) and one between, as λ(d) has to be known for all of them.
    """
    sizes = {size, max(16, size // 4), 16} if size > 16 else {size, 2 * size}
    shapes = [
        (columns, inputs, inner)
        for inner in sizes
        for columns in COLUMNS
        for inputs in INPUTS[device_class]
        if columns * inputs <= MOST_LOGITS
    ]
    return sorted(shapes, key=lambda shape: (shape[0] * shape[1] * (shape[2] + 64), shape))


def measure(
    timer: BlockTimer,
    size: int,
    budget: float = BUDGET,
    progress: Callable[[int, int], None] = lambda done, total: None,
    clock: Callable[[], float] = perf_counter,
) -> list[Measurement]:
    """Time the grid for vectors of ``size`` dims, as much of it as fits into ``budget`` seconds.

    Where it fits twice it is timed twice, and the shorter time counts: what else runs on a machine comes and goes.
    progress: called with the number of blocks timed, and of all planned, before the first and after each.
    """
    shapes = grid(size, timer.device.partition(" ")[0])
    start = clock()
    seconds: list[float] = []
    took, work = 0.0, 1
    progress(0, len(shapes))
    for shape in shapes:
        before, before_work = clock(), work
        work = math.prod(shape)
        expected = took * max(1.0, work / before_work)
        if len(seconds) >= FEWEST and before - start + expected > budget:
            break
        seconds.append(float(timer.block_seconds(*shape)))
        took = clock() - before
        progress(len(seconds), len(shapes))
    once = len(seconds)
    if 2 * (clock() - start) <= budget:
        for number, shape in enumerate(shapes[:once]):
            seconds[number] = min(seconds[number], float(timer.block_seconds(*shape)))
            progress(once + number + 1, 2 * once)
    return [Measurement(*shape, time) for shape, time in zip(shapes, seconds, strict=False)]
