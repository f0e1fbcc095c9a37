"""The corpus on the GPU: whole, or in double-buffered pinned pieces; and the windows that are cut from it there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numba import config as numba_config
from numba import cuda

from w2v.backends.base import EpochReport
from w2v.backends.cuda_memory import require_memory
from w2v.config import TrainConfig
from w2v.errors import DeviceError
from w2v.kernels import stream_cuda
from w2v.kernels.random import STREAM_SUBSAMPLE, STREAM_WINDOW, epoch_key
from w2v.kernels.stream_cpu import keep_thresholds
from w2v.kernels.targets_cpu import NoiseTables, PathTables

# Ids of a segment: enough work for any GPU, few enough for progress and Ctrl-C to be prompt.
SEGMENT = 1 << 24
SMALLEST_SEGMENT = 1 << 12
# Spans have 8 bits for each side.
MOST_WINDOW = 127
# Threads of a block and blocks of a grid-stride launch; the simulator makes a thread of Python of each.
THREADS, GRID = (8, 2) if numba_config.ENABLE_CUDASIM else (stream_cuda.BLOCK, 1024)


def require_window(window: int) -> None:
    """Raise DeviceError where spans have no room for a window."""
    if window > MOST_WINDOW:
        raise DeviceError(f"the GPU takes --window up to {MOST_WINDOW}: lower it, or use --device cpu")


@dataclass
class Segment:
    """Windows ready to train; everything on the device.

    words (n,) int32, positions (n,) int64, spans (n,) uint32, places (3,) int32, target_begins (n,) int64 as
    ``kernels/stream_cuda.py`` describes them; targets: int32 noise, or all the paths, or None. begin, end: its ids in
    the corpus; windows: how many it holds at most.
    """

    words: object
    positions: object
    spans: object
    places: object
    targets: object
    target_begins: object
    begin: int
    end: int
    windows: int


class _Places:
    """Device arrays for the places of one segment; two of them take turns."""

    def __init__(self, capacity: int) -> None:
        self.kept = cuda.device_array(capacity, np.int32)
        self.positions = cuda.device_array(capacity, np.int64)
        self.starts = cuda.device_array(capacity + 1, np.uint8)
        self.places = cuda.device_array(3, np.int32)

    def arrays(self) -> tuple:
        return self.kept, self.positions, self.starts, self.places


class DeviceStream:
    """Cuts the windows of a corpus on the device, segment by segment, on one CUDA stream.

    sums: device float64 (4,): loss, pairs, kept words and words since ``begin_epoch``.
    """

    def __init__(
        self,
        config: TrainConfig,
        counts: np.ndarray,
        tables: NoiseTables | PathTables | None,
        stream: object,
        longest: int = SEGMENT,
    ) -> None:
        """Upload the tables of an objective, if it has any. counts: (V,) int64; longest: most ids of a segment."""
        self.config = config
        self.stream = stream
        self._longest = longest
        self.sums = cuda.to_device(np.zeros(4), stream)
        self._keep = cuda.to_device(keep_thresholds(counts, config.sample), stream)
        self._noise = isinstance(tables, NoiseTables)
        self._has_targets = tables is not None
        self._lists = 2 * config.window if config.negatives_per_pair else 1
        if self._noise:
            self._buckets = cuda.to_device(tables.buckets, stream)
            self._offsets = cuda.to_device(np.empty(0, np.int64), stream)
        elif tables is None:
            self._offsets = cuda.to_device(np.empty(0, np.int64), stream)
        else:
            paths = tables.nodes * np.int32(2) + tables.codes
            # A vocabulary of one word has no paths, but kernels look at the first entry before they know.
            self._paths = cuda.to_device(paths if paths.size else np.zeros(1, np.int32), stream)
            self._offsets = cuda.to_device(tables.offsets, stream)
        self._corpus: _Resident | _Staged | None = None
        self.release()

    @property
    def segment(self) -> int:
        """Ids of a segment of the corpus at hand, but for the last."""
        return self._segment

    @staticmethod
    def table_bytes(counts: np.ndarray, tables: NoiseTables | PathTables | None) -> int:
        """Device memory of the tables."""
        own = 0
        if isinstance(tables, NoiseTables):
            own = tables.buckets.nbytes
        elif tables is not None:
            own = 4 * tables.nodes.size + tables.offsets.nbytes
        return own + 4 * counts.size

    @property
    def place_bytes(self) -> int:
        """Device memory per place of a segment."""
        own = 2 * (4 + 8 + 1) + 4
        return own + (4 * self._lists * (1 + self.config.negative) if self._noise else 8)

    def limit_segments(self, ids: int) -> None:
        """Let the segments of what will be uploaded be no longer than this."""
        self._longest = min(self._longest, max(SMALLEST_SEGMENT, ids))

    def holds(self, ids: np.ndarray) -> bool:
        """Whether this very array is the corpus at hand."""
        return self._corpus is not None and self._corpus.ids is ids

    def release(self) -> None:
        """Let go of the corpus and of the buffers of its segments; nothing on the device may be using them."""
        self._corpus = None
        self._sides = self._counts = self._spans = self._drawn = self._begins = None

    def upload(self, ids: np.ndarray, free: int) -> None:
        """Bring a corpus to the device, whole where ``free`` bytes suffice; raises DeviceError where nothing does.

        ids: (N,) int32, kept and read again in every epoch where it is not whole on the device.
        """
        self.release()
        # A segment keeps to an eighth of the memory, and gives way to the corpus where that makes room for it.
        segment = min(self._longest, ids.size, max(SMALLEST_SEGMENT, free // (8 * self.place_bytes)))
        resident = ids.nbytes + self._bytes(segment) <= free
        if not resident:
            segment = min(self._longest, max(SMALLEST_SEGMENT, free // (2 * (self.place_bytes + 8))))
            require_memory(self._bytes(segment) + 8 * segment, free, "--negative, --window or --vector-size")
        self._reserve(segment)
        self._segment = segment
        self._corpus = _Resident(ids, self.stream) if resident else _Staged(ids, segment, self.stream)

    def _bytes(self, segment: int) -> int:
        return (segment + 2 * self.config.window + 1) * self.place_bytes + segment // 64

    def _reserve(self, segment: int) -> None:
        capacity = segment + 2 * self.config.window + 1
        self._sides = (_Places(capacity), _Places(capacity))
        self._counts = cuda.device_array(self._tiles(segment), np.int32)
        self._spans = cuda.device_array(capacity, np.uint32)
        listed = capacity * self._lists * (1 + self.config.negative) if self._noise else 1
        self._drawn = cuda.device_array(listed, np.int32)
        self._begins = cuda.device_array(1 if self._noise or not self._has_targets else capacity, np.int64)

    @staticmethod
    def _tiles(tokens: int) -> int:
        return max(1, -(-tokens // (THREADS * stream_cuda.TOKENS_PER_THREAD)))

    def begin_epoch(self, epoch: int, position: int = 0) -> int:
        """Forget what an earlier epoch left, and let segments begin with the id at ``position``.

        What is before it is passed over, not cut: what the first segment takes over is then there, and ``sums`` has
        the words before it, whose number is returned.
        """
        self._epoch, self._begin = epoch, position
        stream_cuda.begin_corpus[1, 32, self.stream](*self._sides[1].arrays(), self.sums)
        for begin in range(0, position, self._segment):
            self._pass_over(begin, min(begin + self._segment, position))
        words = self.sums.copy_to_host(stream=self.stream)
        self.stream.synchronize()  # before the host looks at them
        return int(words[stream_cuda.WORDS])

    def count_from(self, report: EpochReport) -> None:
        """Let ``sums`` go on from those of a report."""
        sums = np.array([report.loss, report.pairs, report.kept_words, report.words], np.float64)
        self.sums.copy_to_device(sums, stream=self.stream)
        self.stream.synchronize()  # before the host lets go of what is copied

    def segments(self) -> Iterator[Segment]:
        """The windows from there on. What is yielded holds until the next is asked for, on the same CUDA stream."""
        size = self._corpus.ids.size
        for begin in range(self._begin, max(size, 1), self._segment):
            end = min(begin + self._segment, size)
            new = self._pass_over(begin, end)
            targets = self._cut(self._epoch, new)
            yield Segment(
                words=new.kept,
                positions=new.positions,
                spans=self._spans,
                places=new.places,
                targets=targets,
                target_begins=self._begins,
                begin=begin,
                end=end,
                windows=end - begin + 2 * self.config.window,
            )

    def _pass_over(self, begin: int, end: int) -> _Places:
        """Sub-sample the ids from ``begin`` to ``end``; returns the places of those that are kept."""
        new, old = self._sides
        with self._corpus.piece(begin, end) as ids:
            self._keep_words(ids, begin, self._epoch, end == self._corpus.ids.size, old, new)
        self._sides = old, new
        return new

    def _keep_words(self, ids: object, base: int, epoch: int, is_last: bool, old: _Places, new: _Places) -> None:
        key = np.uint64(epoch_key(np.uint64(self.config.seed), epoch, STREAM_SUBSAMPLE))
        tiles, stream = self._tiles(ids.size), self.stream
        window = self.config.window
        stream_cuda.count_kept[tiles, THREADS, stream](ids, base, self._keep, key, self._counts, self.sums)
        stream_cuda.clear_starts[GRID, THREADS, stream](new.starts)
        stream_cuda.start_segment[1, THREADS, stream](*old.arrays(), window, *new.arrays())
        stream_cuda.place_tiles[1, THREADS, stream](self._counts, tiles, window, is_last, new.places)
        stream_cuda.write_kept[tiles, THREADS, stream](
            ids, base, self._keep, key, self._counts, new.kept, new.positions, new.starts
        )

    def _cut(self, epoch: int, new: _Places) -> object:
        config, stream = self.config, self.stream
        key = np.uint64(epoch_key(np.uint64(config.seed), epoch, STREAM_WINDOW))
        stream_cuda.cut_windows[GRID, THREADS, stream](
            *new.arrays(), config.window, config.shrink_windows, config.model == "cbow", key, self._offsets,
            self._spans, self._begins, self.sums,
        )  # fmt: skip
        if not self._has_targets:
            return None
        if not self._noise:
            return self._paths
        stream_cuda.draw_noise[GRID, THREADS, stream](
            new.kept, new.positions, new.places, self._buckets, config.negative, self._lists, key, self._drawn
        )
        return self._drawn


class _Resident:
    """A corpus whole on the device."""

    def __init__(self, ids: np.ndarray, stream: object) -> None:
        self.ids = ids
        self._device = cuda.to_device(np.ascontiguousarray(ids), stream)
        stream.synchronize()

    @contextmanager
    def piece(self, begin: int, end: int) -> Iterator[object]:
        """ids[begin:end] on the device."""
        yield self._device[begin:end]


class _Staged:
    """A corpus that passes through two pairs of buffers, pinned on the host and on the device.

    One pair is filled while the kernels work on the other: the host copies into pinned memory, a second CUDA stream
    from there to the device, and events keep either from overtaking the other.
    """

    def __init__(self, ids: np.ndarray, segment: int, stream: object) -> None:
        self.ids = ids
        self._stream = stream
        self._copies = cuda.stream()
        self._pinned = [cuda.pinned_array(segment, np.int32) for _ in range(2)]
        self._device = [cuda.device_array(segment, np.int32) for _ in range(2)]
        self._filled = [cuda.event() for _ in range(2)]
        self._read = [cuda.event() for _ in range(2)]
        self._turn = 0

    @contextmanager
    def piece(self, begin: int, end: int) -> Iterator[object]:
        """ids[begin:end] on the device; the kernels that are launched inside the context may read it."""
        turn, self._turn = self._turn, 1 - self._turn
        self._read[turn].synchronize()
        pinned = self._pinned[turn][: end - begin]
        pinned[:] = self.ids[begin:end]
        device = self._device[turn][: end - begin]
        device.copy_to_device(pinned, stream=self._copies)
        self._filled[turn].record(self._copies)
        self._filled[turn].wait(self._stream)
        yield device
        self._read[turn].record(self._stream)
