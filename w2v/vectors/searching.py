"""Where all rows are searched, and how: exactly on the CPU or a GPU, or approximately."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from w2v.errors import ConfigError
from w2v.vectors.device_rows import DeviceRows
from w2v.vectors.host_rows import HostRows
from w2v.vectors.store import VectorStore

if TYPE_CHECKING:
    from w2v.vectors.approximate import ApproximateIndex


class SearchedVectors(VectorStore):
    """A store whose rows are compared with queries.

    Attribute: ``search_device``, ``cpu`` unless ``search_on`` chose otherwise.
    """

    search_device: str = "cpu"
    _device_rows: DeviceRows | None = None
    # What an approximate search was asked for (recall, topn, report), and what it looks through.
    _approximation: tuple[float, int, Callable[[str], None]] | None = None
    _index: ApproximateIndex | None = None

    def search_on(self, device: str) -> SearchedVectors:
        """Search all rows on ``device``: ``cpu``, ``cuda``, or ``auto`` for the GPU where one works; returns self.

        It concerns every query and evaluation that compares with all words, and ends an approximate search. On the
        GPU unit rows are kept as float32 from the first query on, until the vectors change (``fill_norms`` says when
        that is seen) or another device is chosen. The answers are the CPU's up to the rounding of float32. Raises
        DeviceError where there is no usable GPU, and on a query whose rows do not fit in its memory; ConfigError on
        any other device.
        """
        if device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"the device {device!r} is unknown: use auto, cpu or cuda")
        if device != "cpu":
            from w2v.backends import choose_device

            device = choose_device(device)
        self.search_device, self._device_rows = device, None
        self._approximation = self._index = None
        return self

    def search_approximately(
        self, recall: float = 0.95, topn: int = 10, report: Callable[[str], None] | None = None
    ) -> SearchedVectors:
        """Answer from a part of the rows, for vocabularies in the millions, on the CPU; returns self.

        It concerns ``most_similar``, what is made of it, ``most_similar_batch`` and the 3CosAdd of
        ``analogies_batch``, where they ask for the best of all rows; everything else stays exact. As many cells of
        an inverted file (faiss) are looked through as find the share ``recall`` of the ``topn`` nearest words (100
        at most) of a sample, or all of them for 1. What is found has its exact similarity; some words are missed. A
        second copy of the vectors is held in memory, and made anew after they change. How the words fall into cells
        is kept in the cache folder (see ``index_cache``), so that the next run on the same vectors starts sooner.

        ``report`` is called with lines for people: what takes long, and the recall that was measured. ``search_on``
        goes back to the exact search. Raises ConfigError unless 0 < ``recall`` <= 1, MissingExtraError without faiss
        (extra ``ann``), and FormatError where the vectors hold numbers that are not finite.
        """
        self.search_on("cpu")
        self._approximation = recall, topn, report or (lambda line: None)
        try:
            self._index = self._make_index()
        except BaseException:
            self.search_on("cpu")
            raise
        return self

    @property
    def index(self) -> ApproximateIndex | None:
        """What an approximate search looks through, of the vectors as they are now; None while it is exact."""
        if self._approximation is None:
            return None
        self.fill_norms()
        if self._index is None or not self._index.holds(self.vectors, self.norms):
            self._index = None  # frees its memory first
            self._index = self._make_index()
        return self._index

    def _make_index(self) -> ApproximateIndex:
        from w2v.vectors.approximate import open_index

        return open_index(self, *self._approximation)

    def index_over(self, start: int, end: int) -> ApproximateIndex | None:
        """``index`` where rows ``start`` to ``end`` are all of them; None means an exact search."""
        return self.index if start == 0 and end >= len(self.vectors) else None

    @contextmanager
    def rows_to_search(self) -> Iterator[HostRows | DeviceRows]:
        """The rows on the chosen device, for products with all of them; DeviceError where they do not fit there."""
        if self.search_device == "cpu":
            yield HostRows(self)
            return
        self.fill_norms()
        if self._device_rows is None or not self._device_rows.hold(self.vectors, self.norms):
            self._device_rows = None  # frees the GPU's memory first
            self._device_rows = DeviceRows(self.vectors, self.norms)
        with self._device_rows.memory_errors():
            yield self._device_rows
