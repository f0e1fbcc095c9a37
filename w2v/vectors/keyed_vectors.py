"""KeyedVectors: words and their vectors, ready for queries, evaluation, loading and saving."""

from __future__ import annotations

import os
from typing import Literal

import numpy as np

from w2v.vectors.batches import BatchQueries
from w2v.vectors.correlation import Correlation


class KeyedVectors(BatchQueries):
    """Words and their vectors with the names, defaults and results of gensim 4's class of that name.

    Lookup and growth are in ``store.VectorStore``, similarity queries in ``queries.SimilarityQueries`` and, for many
    at once, in ``batches.BatchQueries``; here are the evaluations and the files. Nothing is ever pickled: ``save``
    writes a model folder.
    """

    def evaluate_word_pairs(
        self,
        pairs: str | os.PathLike,
        delimiter: str = "\t",
        encoding: str = "utf8",
        restrict_vocab: int | None = 300000,
        case_insensitive: bool = True,
        dummy4unknown: bool = False,
    ) -> tuple[Correlation, Correlation, float]:
        """(pearson, spearman, percentage of pairs with an unknown word); the first two with statistic and pvalue.

        Lines that are malformed are passed over, as in gensim; ``w2v.evaluation.evaluate_pairs`` reports
        them. Raises EvaluationError where fewer than two pairs are covered.
        """
        from w2v.evaluation import evaluate_pairs

        result = evaluate_pairs(
            self,
            pairs,
            delimiter=delimiter,
            encoding=encoding,
            restrict=restrict_vocab,
            case_insensitive=case_insensitive,
            dummy_for_unknown=dummy4unknown,
            skip_malformed=True,
        )
        return result.pearson, result.spearman, result.oov_ratio

    def evaluate_word_analogies(
        self,
        analogies: str | os.PathLike,
        restrict_vocab: int | None = 300000,
        case_insensitive: bool = True,
        dummy4unknown: bool = False,
        similarity_function: Literal["most_similar", "most_similar_cosmul"] = "most_similar",
    ) -> tuple[float, list[dict[str, object]]]:
        """Accuracy over all questions (0 without any), and per section the correct and incorrect ones.

        The last section, ``Total accuracy``, holds all questions. Words come in upper case where
        ``case_insensitive``, as in gensim. Lines that are malformed are passed over;
        ``w2v.evaluation.evaluate_analogies`` reports them.
        """
        from w2v.evaluation import AnalogiesResult, answer_analogies

        sections = answer_analogies(
            self,
            analogies,
            restrict_vocab,
            case_insensitive,
            "3CosMul" if similarity_function == "most_similar_cosmul" else "3CosAdd",
            dummy_for_unknown=dummy4unknown,
            skip_malformed=True,
        )
        total = AnalogiesResult(sections).total
        named = [(section.name, section) for section in sections] + [("Total accuracy", total)]
        rows = [{"section": name, "correct": part.correct, "incorrect": part.incorrect} for name, part in named]
        return (total.accuracy if total.covered else 0.0), rows

    def save(self, fname: str | os.PathLike, *args: object, **kwargs: object) -> None:
        """Write a model folder that holds these vectors only (see ``w2v.vectors.folder``).

        Rows are written by falling count where counts are known. gensim's further arguments (``separately``,
        ``pickle_protocol``, ...) have no effect. Raises OutputError where ``fname`` is something else than
        such a folder.
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

    @classmethod
    def load_word2vec_format(
        cls,
        fname: str | os.PathLike,
        fvocab: str | os.PathLike | None = None,
        binary: bool = False,
        encoding: str = "utf8",
        unicode_errors: str = "strict",
        limit: int | None = None,
        datatype: np.dtype | type = np.float32,
        no_header: bool = False,
    ) -> KeyedVectors:
        """Read word2vec's text or ``binary`` format, compressed or not; see ``w2v.vectors.word2vec_text``.

        ``fvocab``: a file of words and counts (word2vec's ``-save-vocab``; words it lacks count 0); without
        it the ranks stand in for the counts. ``limit`` reads the first rows only. ``no_header`` reads GloVe's
        text format (found without asking unless the first line looks like a header). Raises FormatError
        naming the line or byte.
        """
        from w2v.vectors import word2vec_format

        return word2vec_format.load(cls, fname, fvocab, binary, encoding, unicode_errors, limit, datatype, no_header)

    def save_word2vec_format(
        self,
        fname: str | os.PathLike,
        fvocab: str | os.PathLike | None = None,
        binary: bool = False,
        total_vec: int | None = None,
        write_header: bool = True,
        prefix: str = "",
        append: bool = False,
        sort_attr: str = "count",
    ) -> None:
        """Write word2vec's text or ``binary`` format, by falling ``sort_attr`` where it is known.

        ``fvocab`` also gets the words and their ``sort_attr``. ``total_vec`` is written in the header in
        place of the number of rows; ``prefix`` goes before each word. ``append`` writes at the end of
        ``fname``; otherwise an existing file is replaced only by the finished one. White space in words
        becomes U+2581, with a warning. Raises OutputError.
        """
        from w2v.vectors import word2vec_format

        word2vec_format.save(self, fname, fvocab, binary, total_vec, write_header, prefix, append, sort_attr)
