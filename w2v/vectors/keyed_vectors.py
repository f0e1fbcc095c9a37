"""KeyedVectors: words and their vectors, ready for queries, evaluation, loading and saving."""

from __future__ import annotations

import os
from typing import Literal

from w2v.vectors.queries import SimilarityQueries


class KeyedVectors(SimilarityQueries):
    """Words and their vectors with the names, defaults and results of gensim 4's class of that name.

    Lookup and growth are in ``store.VectorStore``, similarity queries in ``queries.SimilarityQueries``; here
    are the evaluations and the files. Nothing is ever pickled: ``save`` writes a model folder.
    """

    def save(self, fname: str | os.PathLike) -> None:
        """Write a model folder that holds these vectors only (see ``w2v.vectors.folder``).

        Rows are written by falling count where counts are known. Raises OutputError where ``fname`` is
        something else than such a folder.
        """
        from w2v.vectors.files import save_as_folder

        save_as_folder(fname, self)

    @classmethod
    def load(cls, fname: str | os.PathLike, mmap: Literal["r", "c"] | None = "c") -> KeyedVectors:
        """Read what ``save`` wrote, a whole model folder, or any vector file (see ``load_vectors``).

        ``mmap``: ``"c"`` maps the vectors of a folder copy-on-write (changes stay in memory), ``"r"``
        read-only, None reads them at once. Raises FormatError.
        """
        from w2v.vectors.files import load_vectors

        loaded = load_vectors(fname, mmap=mmap is not None, kind=cls)
        if mmap == "r":
            loaded.vectors.setflags(write=False)
        return loaded
