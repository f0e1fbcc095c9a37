"""Which of the words of a text become the vocabulary, and in which order. Importing this imports numba."""

from __future__ import annotations

import numpy as np

from w2v.corpus.options import CorpusOptions
from w2v.corpus.vocabulary import Vocabulary
from w2v.corpus.words import WordTable
from w2v.errors import CorpusError
from w2v.kernels.tokenizer import DROPPED


def select_words(table: WordTable, options: CorpusOptions) -> tuple[Vocabulary, np.ndarray]:
    """Choose the words that occur often enough, most frequent first, ties by their bytes.

    Returns the vocabulary and the id of each row of ``table``, int32, DROPPED where a word was not kept. Words are
    decoded (U+FFFD for bad bytes) and lower-cased here, where each distinct one is met once; words that become
    equal are merged before they are counted against ``min_count``. Where ``max_final_vocab`` cuts through words
    of equal counts, the order decides. Raises CorpusError where fewer than two words are left.
    """
    rows_of = None
    if options.lowercase or table.bad_bytes():
        table, rows_of = table.normalised(options.lowercase)
    kept = table.order(np.flatnonzero(table.counts >= options.min_count))[: options.max_final_vocab]
    require_words(len(kept), len(table), options)
    words = table.join(kept).decode().split("\n")
    words.pop()
    ids = np.full(len(table), DROPPED, np.int32)
    ids[kept] = np.arange(len(kept), dtype=np.int32)
    return Vocabulary(words, table.counts[kept]), ids if rows_of is None else ids[rows_of]


def require_words(kept: int, met: int, options: CorpusOptions) -> None:
    """Raise CorpusError, with advice, where ``kept`` of ``met`` distinct words are too few to train on."""
    if kept >= 2:
        return
    if met >= 2 and options.max_final_vocab == 1:
        raise CorpusError("--max-final-vocab 1 leaves one word, and nothing to predict: raise it")
    if met >= 2:
        raise CorpusError(
            f"{kept or 'none'} of the {met} distinct words occurs at least {options.min_count} times: "
            "lower --min-count or give more text"
        )
    if options.max_vocab_size is not None:
        raise CorpusError(f"--max-vocab-size {options.max_vocab_size} pruned all but {met} words: raise it")
    raise CorpusError(f"the text holds {met or 'no'} distinct word{'s' * (met != 1)}: give more text")
