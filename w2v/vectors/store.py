"""Words, their vectors and their attributes: lookup and growth, without any search."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy as np

from w2v.errors import FormatError
from w2v.vectors.search import nonzero, normalise_rows, row_norms, unit

Key = str | int
KeyOrVector = str | int | np.ndarray
_REQUIRED = object()


class VectorStore:
    """A mapping from words to rows of ``vectors`` (V, D), with gensim 4's names.

    Attributes: ``vectors`` (V, D); ``index_to_key`` (list of V words); ``key_to_index`` (word -> row);
    ``vector_size`` (D); ``norms`` ((V,) or None until needed; see ``fill_norms``). Where a word is asked for,
    a row number is accepted as well. Unknown words raise KeyError.
    """

    def __init__(self, vector_size: int, count: int = 0, dtype: np.dtype | type = np.float32) -> None:
        """Room for ``count`` vectors of zeros without words; ``add_vectors`` fills and extends it."""
        self.vector_size = int(vector_size)
        self.vectors = np.zeros((count, self.vector_size), dtype)
        self.index_to_key: list[str | None] = [None] * count
        self.key_to_index: dict[str, int] = {}
        self.norms: np.ndarray | None = None
        self.expandos: dict[str, np.ndarray] = {}
        self._next_index = 0

    @classmethod
    def from_arrays(cls, words: Sequence[str], vectors: np.ndarray, counts: np.ndarray | None = None) -> VectorStore:
        """Wrap V distinct ``words``, ``vectors`` (V, D; not copied) and int ``counts`` (V,).

        Raises FormatError where the sizes do not match or a word occurs twice.
        """
        if vectors.ndim != 2 or len(words) != len(vectors):
            raise FormatError(f"{len(words)} words do not match vectors of shape {vectors.shape}")
        if counts is not None and len(counts) != len(words):
            raise FormatError(f"{len(words)} words do not match {len(counts)} counts")
        store = cls(vectors.shape[1], 0, vectors.dtype)
        store.vectors = vectors
        store.index_to_key = list(words)
        store.key_to_index = {word: row for row, word in enumerate(store.index_to_key)}
        if len(store.key_to_index) != len(store.index_to_key):
            raise FormatError("the words are not distinct: drop the duplicates first")
        if counts is not None:
            store.expandos["count"] = np.asarray(counts)
        store._next_index = len(words)
        return store

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.index_to_key)

    def __str__(self) -> str:
        """Size in words, for people."""
        return f"{type(self).__name__}<vector_size={self.vector_size}, {len(self)} keys>"

    def __contains__(self, key: object) -> bool:
        """Whether ``key`` (a word or a row number) has a vector."""
        return self.has_index_for(key)

    def __getitem__(self, key_or_keys: Key | Sequence[Key]) -> np.ndarray:
        """The vector (D,) of one key, or the vectors (n, D) of several."""
        if isinstance(key_or_keys, (str, Integral)):
            return self.get_vector(key_or_keys)
        rows = [self.get_index(key) for key in key_or_keys]
        return np.asarray(self.vectors[rows]) if rows else np.empty((0, self.vector_size), self.vectors.dtype)

    def __setitem__(self, keys: Key | Sequence[Key], weights: np.ndarray) -> None:
        """Set the vector of one key, or the vectors of several; keys that are new are added."""
        if not isinstance(keys, list):
            keys, weights = [keys], np.asarray(weights).reshape(1, -1)
        self.add_vectors(keys, weights, replace=True)

    @property
    def counts(self) -> np.ndarray | None:
        """Corpus count of each word (V,), or None where they are not known."""
        return self.expandos.get("count")

    def has_index_for(self, key: object) -> bool:
        """Whether ``key`` (a word or a row number) has a vector."""
        try:
            return self.get_index(key, -1) >= 0
        except TypeError:
            return False

    def get_index(self, key: Key, default: int | None = _REQUIRED) -> int:
        """Row of ``key``; where it has none ``default``, or KeyError if that is not given or None."""
        row = self.key_to_index.get(key)
        if row is not None:
            return row
        if isinstance(key, Integral) and 0 <= key < len(self.index_to_key):
            return int(key)
        if default is _REQUIRED or default is None:
            raise KeyError(f"Key '{key}' not present")
        return default

    def get_vector(self, key: Key, norm: bool = False) -> np.ndarray:
        """The vector (D,) of ``key``, read-only; scaled to length 1 with ``norm``."""
        row = self.get_index(key)
        if norm:
            self.fill_norms()
            vector = self.vectors[row] / nonzero(self.norms[row : row + 1])[0]
        else:
            vector = self.vectors[row]
        vector.setflags(write=False)
        return vector

    def get_mean_vector(
        self,
        keys: Iterable[KeyOrVector],
        weights: Sequence[float] | np.ndarray | None = None,
        pre_normalize: bool = True,
        post_normalize: bool = False,
        ignore_missing: bool = True,
    ) -> np.ndarray:
        """Weighted mean (D,) of the vectors of ``keys`` (words, row numbers or vectors).

        The sum is divided by the sum of the absolute weights. ``pre_normalize`` scales the vectors of keys to
        length 1 first (vectors given as such keep their length), ``post_normalize`` the mean. Unknown keys
        are left out, or raise KeyError unless ``ignore_missing``. Raises ValueError without keys, or where
        ``weights`` are not as many.
        """
        keys = list(keys)
        if not keys:
            raise ValueError("cannot compute mean with no input")
        weights = np.ones(len(keys)) if weights is None else np.asarray(weights, np.float64)
        if len(weights) != len(keys):
            raise ValueError("keys and weights array must have same number of elements")
        total = np.zeros(self.vector_size, np.promote_types(self.vectors.dtype, np.float32))
        weight_sum = 0.0
        for key, weight in zip(keys, weights.tolist(), strict=True):
            if isinstance(key, np.ndarray):
                vector = key
            elif key in self:
                vector = self.get_vector(key, norm=pre_normalize)
            elif ignore_missing:
                continue
            else:
                raise KeyError(f"Key '{key}' not present in vocabulary")
            total += vector * total.dtype.type(weight)
            weight_sum += abs(weight)
        mean = total / weight_sum if weight_sum > 0 else total
        return unit(mean).astype(total.dtype, copy=False) if post_normalize else mean.astype(total.dtype)

    def get_vecattr(self, key: Key, attr: str) -> object:
        """Attribute ``attr`` of ``key``, for example ``"count"``; KeyError where either is unknown."""
        return self.expandos[attr][self.get_index(key)]

    def set_vecattr(self, key: Key, attr: str, val: object) -> None:
        """Set attribute ``attr`` of ``key``; the first value decides the attribute's type for all keys."""
        row = self.get_index(key)
        if attr not in self.expandos:
            kind = np.int64 if isinstance(val, Integral) else np.float64 if isinstance(val, float) else object
            self.expandos[attr] = np.zeros(len(self), kind)
        if len(self.expandos[attr]) < len(self):
            self.expandos[attr] = _extended(self.expandos[attr], len(self))
        elif not self.expandos[attr].flags.writeable:
            self.expandos[attr] = self.expandos[attr].copy()
        self.expandos[attr][row] = val

    def add_vector(self, key: str, vector: np.ndarray) -> int:
        """Add one vector and return its row; a key that exists keeps its old vector, with a warning.

        Rows that the constructor reserved are filled first. Beyond them every call copies all vectors: prefer
        ``add_vectors`` for many.
        """
        if key in self.key_to_index:
            warnings.warn(f"key {key!r} exists already: its vector is kept", stacklevel=2)
            return self.key_to_index[key]
        self.add_vectors([key], [vector])
        return self.key_to_index[key]

    def add_vectors(
        self,
        keys: Sequence[str] | str,
        weights: Sequence[np.ndarray] | np.ndarray,
        extras: dict[str, Sequence] | None = None,
        replace: bool = False,
    ) -> None:
        """Add ``keys`` with ``weights`` (n, D) and their attributes ``extras`` (name -> n values).

        The vector of a key that exists is kept, or overwritten with ``replace``, its attributes likewise.
        Raises ValueError where the numbers of keys, vectors or dimensions do not fit, changing nothing.
        """
        keys = [keys] if isinstance(keys, str) else list(keys)
        rows = np.atleast_2d(np.asarray(weights, self.vectors.dtype)) if keys else self.vectors[:0]
        if rows.shape != (len(keys), self.vector_size):
            expected = (len(keys), self.vector_size)
            raise ValueError(f"weights of shape {rows.shape} where {expected} is needed")
        extras = {name: np.asarray(values) for name, values in (extras or {}).items()}
        for name, values in extras.items():
            if len(values) != len(keys):
                raise ValueError(f"{len(keys)} keys do not fit {len(values)} values of attribute {name!r}")
        targets, sources = self._place(keys, replace)
        self._grow(len(self.index_to_key))
        self.vectors[targets] = rows[sources]
        for name, values in extras.items():
            column = self.expandos.get(name, values[:0])
            column = column.astype(np.promote_types(column.dtype, values.dtype))
            self.expandos[name] = _extended(column, len(self))
            self.expandos[name][targets] = values[sources]
        self.norms = None

    def _place(self, keys: list[str], replace: bool) -> tuple[list[int], list[int]]:
        """Give each new key a row; return the rows to write and the positions in ``keys`` they come from."""
        targets, sources = [], []
        for position, key in enumerate(keys):
            row = self.key_to_index.get(key)
            if row is None:
                row = self.key_to_index[key] = self._next_index
                self.index_to_key[row : row + 1] = [key]
                self._next_index += 1
            elif not replace:
                continue
            targets.append(row)
            sources.append(position)
        return targets, sources

    def _grow(self, count: int) -> None:
        """Make ``vectors`` (writable) and every attribute ``count`` long; new rows are zeros."""
        if len(self.vectors) < count or not self.vectors.flags.writeable:
            self.vectors = _extended(self.vectors, count)
        for name, values in self.expandos.items():
            if len(values) < count:
                self.expandos[name] = _extended(values, count)

    def fill_norms(self, force: bool = False) -> None:
        """Compute ``norms`` (V,) where they are missing or, with ``force``, anyway.

        Call it with ``force=True`` after changing ``vectors`` in place.
        """
        if self.norms is None or force or len(self.norms) != len(self.vectors):
            self.norms = row_norms(self.vectors)

    def get_normed_vectors(self) -> np.ndarray:
        """A copy of all vectors (V, D) scaled to length 1."""
        self.fill_norms()
        return normalise_rows(self.vectors, self.norms)

    def unit_normalize_all(self) -> None:
        """Scale all vectors to length 1 for good."""
        self.vectors = self.get_normed_vectors().astype(self.vectors.dtype, copy=False)
        self.fill_norms(force=True)

    def sort_by_descending_frequency(self) -> None:
        """Renumber the words by falling ``count``; words of equal count keep their order."""
        if not len(self) or self.counts is None:
            return
        order = np.argsort(-_extended(self.counts, len(self)), kind="stable")
        self.index_to_key = [self.index_to_key[row] for row in order.tolist()]
        self.key_to_index = {word: row for row, word in enumerate(self.index_to_key)}
        self.vectors = self.vectors[order]
        for name, values in self.expandos.items():
            self.expandos[name] = _extended(values, len(order))[order]
        self.norms = None

    def vectors_for_all(
        self, keys: Iterable[str], allow_inference: bool = True, copy_vecattrs: bool = False
    ) -> VectorStore:
        """A new object with the known ones of ``keys``, each once; ``allow_inference`` is ignored."""
        known = [key for key in dict.fromkeys(keys) if key in self]
        rows = [self.get_index(key) for key in known]
        chosen = type(self).from_arrays(known, np.array(self[known]))
        if copy_vecattrs:
            chosen.expandos = {name: values[rows] for name, values in self.expandos.items()}
        return chosen


def _extended(values: np.ndarray, count: int) -> np.ndarray:
    """A writable copy of ``values`` with zeros appended up to ``count`` rows."""
    longer = np.zeros((max(count, len(values)), *values.shape[1:]), values.dtype)
    longer[: len(values)] = values
    return longer
