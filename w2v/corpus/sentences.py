"""Sentences that are Python lists of words, encoded in memory."""

from __future__ import annotations

import time
import warnings
from array import array
from collections.abc import Iterable

import numpy as np

from w2v.corpus.encoded import EncodedCorpus, content_fingerprint
from w2v.corpus.options import CorpusOptions
from w2v.corpus.vocabulary import Vocabulary
from w2v.errors import CorpusError

_END, _DROPPED = -1, -2
_NO_TEXT = "\t\n\r"
Sentences = Iterable[Iterable[str]]


class _Numbering(dict):
    """Numbers words from 0 as they are asked for."""

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        return number


def encode_sentences(
    sentences: Sentences, options: CorpusOptions | None = None, vocabulary: Vocabulary | None = None
) -> EncodedCorpus:
    """Encode sentences by the same rules as ``encode_corpus``, in memory.

    sentences: an iterable of iterables of str; gone through once, twice where ``max_vocab_size`` is exceeded.
    vocabulary: use these words and counts (as ``options.vocab_file``); other words are dropped. Words that no
    vocabulary file can hold (empty, with a tab, a line break or a lone surrogate) are left out with a warning.

    Raises CorpusError where a sentence is a string, a token is none, or fewer than two words are left.
    """
    options = options or CorpusOptions()
    start = time.perf_counter()
    if vocabulary is None and options.vocab_file is not None:
        vocabulary = Vocabulary.load(options.vocab_file)
    candidates = vocabulary.words if vocabulary is not None else None
    if candidates is None and options.max_vocab_size is not None:
        candidates = _count_pruning(sentences, options)
    ids, words, raw_tokens = _number(sentences, options, candidates)
    counts = np.bincount(ids[ids >= 0], minlength=len(words)).astype(np.int64)[: len(words)]
    if vocabulary is None:
        if not raw_tokens:
            raise CorpusError("the sentences hold no words: give more text")
        vocabulary, final = _select(words, counts, options)
    else:
        final = np.arange(len(words), dtype=np.int32)
    seconds = {"read": 0.0, "compile": 0.0, "encode": time.perf_counter() - start}
    return _finish(ids, np.append(final, np.int32(_DROPPED)), vocabulary, raw_tokens, seconds)


def _number(
    sentences: Sentences, options: CorpusOptions, candidates: list[str] | None
) -> tuple[np.ndarray, list[str], int]:
    """Ids (int32, with marks) in order of appearance, or as positions in ``candidates`` (their number: none of them).

    Returns the ids, the words, and the tokens read.
    """
    if candidates is None:
        numbering = _Numbering()
        number = numbering.__getitem__
    else:
        numbering = {word: position for position, word in enumerate(candidates)}

        def number(word: str) -> int:
            return numbering.get(word, len(candidates))

    ids = array("i")
    raw_tokens = 0
    for sentence in _checked(sentences):
        before = len(ids)
        try:
            ids.extend(map(number, map(str.lower, sentence) if options.lowercase else sentence))
        except TypeError as error:
            raise CorpusError(f"a sentence is not a list of words ({error}): give lists of str") from None
        raw_tokens += len(ids) - before
        ids.append(_END)
    return np.frombuffer(ids, np.int32) if ids else np.empty(0, np.int32), candidates or list(numbering), raw_tokens


def _checked(sentences: Sentences) -> Iterable[Iterable[str]]:
    """The sentences, none of which may be a string: iterating over one gives letters."""
    if isinstance(sentences, (str, bytes)):
        raise CorpusError("sentences must be lists of words, not one string: use corpus_file for a file")
    for sentence in sentences:
        if isinstance(sentence, (str, bytes)):
            raise CorpusError(f"each sentence must be a list of words, not the string {sentence[:30]!r}: split it")
        yield sentence


def _count_pruning(sentences: Sentences, options: CorpusOptions) -> list[str] | None:
    """The words that counting with at most ``max_vocab_size`` words leaves; None where no pruning was needed."""
    if iter(sentences) is sentences:
        raise CorpusError("max_vocab_size goes through the sentences twice: give a list, not a generator")
    counts: dict[str, int] = {}
    threshold = 0
    for sentence in _checked(sentences):
        for word in map(str.lower, sentence) if options.lowercase else sentence:
            counts[word] = counts.get(word, 0) + 1
        while len(counts) > options.max_vocab_size:
            threshold += 1
            counts = {word: count for word, count in counts.items() if count > threshold}
    return list(counts) if threshold else None


def _select(words: list[str], counts: np.ndarray, options: CorpusOptions) -> tuple[Vocabulary, np.ndarray]:
    """The vocabulary (order and limits as for text), and the final id (int32) of each of ``words``."""
    kept = [int(number) for number in np.flatnonzero(counts >= options.min_count) if counts[number]]
    if not all(isinstance(words[number], str) for number in kept):
        other = next(words[number] for number in kept if not isinstance(words[number], str))
        raise CorpusError(f"the token {other!r} is not a string: give sentences as lists of str")
    storable = [number for number in kept if _storable(words[number])]
    if len(storable) < len(kept):
        warnings.warn(
            f"{len(kept) - len(storable)} distinct tokens are empty or hold tabs, line breaks or lone surrogates, "
            "which no vocabulary file can hold: they are left out",
            stacklevel=3,
        )
    storable.sort(key=lambda number: (-counts[number], words[number].encode()))
    storable = storable[: options.max_final_vocab]
    if len(storable) < 2:
        raise CorpusError(
            f"{len(storable) or 'none'} of {len(words)} distinct words is left: lower min_count "
            f"({options.min_count}), raise the other limits, or give more text"
        )
    final = np.full(len(words), _DROPPED, np.int32)
    final[storable] = np.arange(len(storable), dtype=np.int32)
    return Vocabulary([words[number] for number in storable], counts[storable]), final


def _storable(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return bool(word) and not any(letter in word for letter in _NO_TEXT)


def _finish(
    ids: np.ndarray, final: np.ndarray, vocabulary: Vocabulary, raw_tokens: int, seconds: dict[str, float]
) -> EncodedCorpus:
    """Renumber in place, keep marks single, and hash, with the kernel that files go through."""
    start = time.perf_counter()
    from w2v.corpus.words import renumber, without_first_mark

    length, tokens, marks, digest = renumber(ids, final)
    seconds["compile"] = time.perf_counter() - start
    ids = ids[:length]
    if not tokens:
        raise CorpusError("no word of the sentences is in the vocabulary: give more text")
    if ids[0] == _END:
        ids, digest = without_first_mark(ids, digest)
        marks -= 1
    fingerprint = content_fingerprint(vocabulary.words, len(ids), digest)
    return EncodedCorpus(ids, vocabulary, tokens, marks, raw_tokens, 0, fingerprint, seconds=seconds)
