"""Text to an encoded corpus: choose the passes, keep the result in the cache. Importing this imports no numba."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from w2v.atomic import write_failure
from w2v.cores import available_cores
from w2v.corpus.cache import CorpusCache, corpus_key, describe_size
from w2v.corpus.encoded import IDS, CorpusTotals, EncodedCorpus, content_fingerprint, write_meta
from w2v.corpus.options import CorpusOptions
from w2v.corpus.sources import Source, find_sources, identities, unchanged
from w2v.corpus.vocabulary import Vocabulary
from w2v.errors import ConfigError, CorpusError, OutputError, VocabularyError
from w2v.temporary import TemporaryFolder

Report = Callable[[str], None]
Progress = Callable[[int], None]
# Writes an encoded corpus into a folder, with the identity of its sources; gives the vocabulary and seconds by phase.
Encode = Callable[[Path, list], tuple[Vocabulary, dict[str, float]]]

# More threads than this are never started, whatever was asked for.
_THREADS_PER_CORE = 4


@dataclass(frozen=True)
class TextTotals:
    """What was met while reading: all tokens, bytes that are not UTF-8, and seconds by phase."""

    raw_tokens: int
    bad_bytes: int
    seconds: dict[str, float]


def encode_corpus(
    inputs: Sequence[str | Path],
    options: CorpusOptions | None = None,
    *,
    threads: int | None = None,
    cache_dir: str | Path | None = None,
    use_cache: bool = True,
    report: Report | None = None,
    progress: Progress | None = None,
) -> EncodedCorpus:
    """Encode the text of ``inputs`` (files, folders, "-"), or reuse what an earlier run made of the same.

    The result is the same at any number of ``threads`` (default: all cores). cache_dir: where encoded corpora are
    kept (default: ``default_cache_dir()``); without ``use_cache``, and for text that has no identity such as standard
    input, the folder is temporary and goes with ``close``. report: called with one-line messages. progress:
    called now and then with the bytes of (decompressed) text done so far, over all passes.

    Raises CorpusError (input missing, unreadable, damaged, or with too few words), VocabularyError (vocab_file),
    OutputError (folder not writable, disk full), ConfigError (threads).
    """
    options = options or CorpusOptions()
    report = report or (lambda message: None)
    sources = find_sources(inputs)

    def encode(folder: Path, identity: list) -> tuple[Vocabulary, dict[str, float]]:
        return _encode_into(folder, sources, options, threads, report, progress, identity)

    return encoded_by(encode, sources, options, cache_dir, use_cache, report)


def encoded_by(
    encode: Encode,
    sources: list[Source],
    options: CorpusOptions,
    cache_dir: str | Path | None,
    use_cache: bool,
    report: Report,
) -> EncodedCorpus:
    """What the cache holds for ``sources``, else what ``encode`` makes of them: it is kept, or temporary."""
    cache = CorpusCache(cache_dir) if use_cache and all(source.regular for source in sources) else None
    if cache is None:
        return _encode_temporary(encode, sources)
    identity = identities(sources)
    key = corpus_key(identity, options)
    corpus = cache.find(key, report)
    if corpus is not None:
        report(f"encoded corpus reused from the cache: {corpus.path} ({describe_size(corpus.size)})")
        report_totals(len(corpus.vocabulary), corpus.tokens, corpus.raw_tokens, corpus.bad_bytes, options, report)
        return corpus
    with cache.building() as folder:
        with unchanged(sources, identity):
            vocabulary, seconds = encode(folder, identity)
        corpus = cache.publish(folder, key, vocabulary)
    corpus.from_cache = False
    corpus.seconds = seconds
    report(f"encoded corpus written to the cache: {corpus.path} ({describe_size(corpus.size)})")
    return corpus


def count_words(
    inputs: Sequence[str | Path],
    options: CorpusOptions | None = None,
    *,
    threads: int | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> tuple[Vocabulary, TextTotals]:
    """The vocabulary that ``encode_corpus`` would use, without writing ids; errors as there."""
    sources = find_sources(inputs)
    identity = identities(sources)
    work = _Encoding(None, sources, options or CorpusOptions(), threads, progress)
    try:
        with unchanged(sources, identity):
            vocabulary, _ = work.read()
        return vocabulary, work.totals(vocabulary, report or (lambda message: None))
    finally:
        work.close()


def _encode_temporary(encode: Encode, sources: list[Source]) -> EncodedCorpus:
    """Encode into a temporary folder that goes with the corpus."""
    identity = identities(sources)
    folder = TemporaryFolder("corpus")
    try:
        with unchanged(sources, identity):
            vocabulary, seconds = encode(folder.path, [])
        corpus = EncodedCorpus.open(folder.path, vocabulary)
    except BaseException:
        folder.remove()
        raise
    corpus.remove_on_close(folder)
    corpus.from_cache = False
    corpus.seconds = seconds
    return corpus


def _encode_into(
    folder: Path,
    sources: list[Source],
    options: CorpusOptions,
    threads: int | None,
    report: Report,
    progress: Progress | None,
    identity: list,
) -> tuple[Vocabulary, dict[str, float]]:
    """Write the encoded corpus to ``folder``; returns its vocabulary and the seconds by phase."""
    work = _Encoding(folder, sources, options, threads, progress)
    try:
        vocabulary, final = work.read()
        totals = work.totals(vocabulary, report)
        with written(folder):
            length, tokens, sentences, digest = work.renumber(final)
    finally:
        work.close()
    write_entry(folder, vocabulary, (length, tokens, sentences, digest), totals, options, identity)
    return vocabulary, work.seconds()


def write_entry(
    folder: Path,
    vocabulary: Vocabulary,
    ids: tuple[int, int, int, int],
    totals: TextTotals,
    options: CorpusOptions,
    identity: list,
) -> None:
    """Write what goes with the ids of a folder. ids: their length, tokens, sentences and content hash.

    Raises CorpusError where there are none, OutputError.
    """
    length, tokens, sentences, digest = ids
    if not tokens:
        raise CorpusError(f"no word of {options.vocab_file} occurs in the text: use its own vocabulary file")
    fingerprint = content_fingerprint(vocabulary.words, length, digest)
    counted = CorpusTotals(length, tokens, sentences, totals.raw_tokens, totals.bad_bytes, fingerprint)
    stored = {**asdict(options), "vocab_file": options.vocab_file and str(options.vocab_file)}
    with written(folder):
        write_meta(folder, vocabulary, counted, identity, stored)


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Turn an OSError into an OutputError that names ``folder``."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{write_failure(folder, error)} (--cache DIR, or TMPDIR with --no-cache)") from None


class _Encoding:
    """One run over a text: which passes are needed, and their files."""

    def __init__(
        self,
        folder: Path | None,
        sources: list[Source],
        options: CorpusOptions,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"--threads {threads} is out of range: use 1 or more")
        self._start = time.perf_counter()
        self._given = given_vocabulary(options)
        compiling = time.perf_counter()
        # Kernels are imported and compiled here, so that nothing is when a cached corpus is reused.
        from w2v.corpus.passes import NumberFile
        from w2v.corpus.words import compile_kernels

        self._options = options
        self._sources = sources
        self._folder = folder
        self._spool: TemporaryFolder | None = None
        # Each thread takes memory for blocks, and those beyond the cores bring nothing: results are the same.
        cores = available_cores()
        self._threads = min(cores if threads is None else threads, _THREADS_PER_CORE * cores)
        self._progress = progress
        self._passes: list = []
        self._notes = None if folder is None else NumberFile(folder / IDS)
        compile_kernels()
        self._compiled = time.perf_counter() - compiling

    def read(self) -> tuple[Vocabulary, np.ndarray]:
        """Read the text once or twice; returns the vocabulary and the final id of each noted row."""
        if self._given is not None:
            return self._read_given()
        from w2v.corpus.passes import CountPass
        from w2v.corpus.selection import select_words

        options = self._options
        if options.max_vocab_size is not None:
            self._make_rereadable()
        counting = CountPass(self._sources, self._notes, options.max_vocab_size)
        self._run(counting)
        require_tokens(counting.raw_tokens, self._sources)
        if not counting.pruned:
            return select_words(counting.table, options)
        # What pruning left are the candidates; a second reading counts them exactly and notes their ids.
        candidates = _all_words(counting.table, options)
        counting.release()
        return select_words(self._look_up(candidates).table, options)

    def _look_up(self, words: list[str]):  # noqa: ANN202 (a LookUpPass, which must not be imported at the top)
        from w2v.corpus.passes import LookUpPass

        looking = LookUpPass(self._sources, words, self._options.lowercase, self._notes)
        self._run(looking)
        return looking

    def _read_given(self) -> tuple[Vocabulary, np.ndarray]:
        words = self._given.words
        numbers = words_of_text(words, self._options)
        looking = self._look_up([words[number] for number in numbers])
        final = np.empty(len(numbers), np.int32)
        final[looking.rows] = numbers
        return self._given, final

    def _run(self, text_pass) -> None:  # noqa: ANN001 (a TextPass)
        done = sum(earlier.done for earlier in self._passes)
        progress = self._progress
        self._passes.append(text_pass)
        text_pass.run(self._threads, None if progress is None else lambda count: progress(done + count))

    def _make_rereadable(self) -> None:
        """Copy standard input to a file: a second pass may be needed."""
        for number, source in enumerate(self._sources):
            if source.regular:
                continue
            folder = self._folder
            if folder is None:
                self._spool = self._spool or TemporaryFolder("corpus")
                folder = self._spool.path
            self._sources = [*self._sources]
            self._sources[number] = source.spooled(folder)

    def totals(self, vocabulary: Vocabulary, report: Report) -> TextTotals:
        """Totals of the last reading; reports them."""
        last = self._passes[-1]
        # A given vocabulary brings its own counts; those of this text are in the table.
        counts = vocabulary.counts if self._given is None else last.table.counts
        report_totals(len(vocabulary), int(counts.sum()), last.raw_tokens, last.bad_bytes, self._options, report)
        return TextTotals(last.raw_tokens, last.bad_bytes, self.seconds())

    def renumber(self, final: np.ndarray) -> tuple[int, int, int, int]:
        """Write the final ids; returns their length, tokens, sentences and content hash."""
        from w2v.corpus.passes import RenumberPass

        renumbering = RenumberPass(self._notes, self._passes[-1].sizes, final)
        renumbering.run(self._threads)
        return renumbering.length, renumbering.tokens, renumbering.sentences, renumbering.digest

    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds so far: waiting for text, compiling, and the rest."""
        total = time.perf_counter() - self._start
        read = sum(text_pass.waited for text_pass in self._passes)
        return {"read": read, "compile": self._compiled, "encode": total - read - self._compiled}

    def close(self) -> None:
        """Remove the temporary files."""
        if self._notes is not None:
            self._notes.close()
            for path in self._folder.glob("input.tmp*"):
                path.unlink(missing_ok=True)
        if self._spool is not None:
            self._spool.remove()


def report_totals(words: int, kept: int, tokens: int, bad_bytes: int, options: CorpusOptions, report: Report) -> None:
    """Say how many bytes are bad, and how many of the ``tokens`` read the ``words`` of the vocabulary cover."""
    if bad_bytes:
        report(f"{bad_bytes} bytes are not UTF-8: they are read as U+FFFD")
    share = f" ({kept / tokens:.1%})" if tokens else ""
    chosen = f"{words:,} words kept"
    if options.vocab_file is not None:
        chosen = f"vocabulary of {options.vocab_file}: {words:,} words"
    report(f"{chosen}, {kept:,} of {tokens:,} tokens{share}")


def _all_words(table, options: CorpusOptions) -> list[str]:  # noqa: ANN001 (a WordTable)
    """Every word of a table, decoded and lower-cased as the options ask."""
    if options.lowercase or table.bad_bytes():
        table, _ = table.normalised(options.lowercase)
    return table.join(np.arange(len(table))).decode().split("\n")[:-1]


def require_tokens(tokens: int, sources: Sequence[Source]) -> None:
    """Raise CorpusError where there are none."""
    if not tokens:
        names = ", ".join(source.name for source in sources[:3]) + ", …" * (len(sources) > 3)
        raise CorpusError(f"{names}: no words: the text is empty or all white space")


def words_of_text(words: Sequence[str], options: CorpusOptions) -> list[int]:
    """The numbers of those ``words`` that text can bring: no white space, and lower case where that is asked."""
    return [
        number
        for number, word in enumerate(words)
        if not (set(word) & set(" \t\n\r\x0b\x0c")) and word and (not options.lowercase or word == word.lower())
    ]


def given_vocabulary(options: CorpusOptions) -> Vocabulary | None:
    """The saved vocabulary to use, where one is named; raises VocabularyError where it cannot be trained with."""
    if options.vocab_file is None:
        return None
    vocabulary = Vocabulary.load(options.vocab_file)
    if len(vocabulary) < 2:
        raise VocabularyError(f"{options.vocab_file} holds {len(vocabulary)} words: two are the least")
    if vocabulary.counts[-1] < 1 or np.any(np.diff(vocabulary.counts) > 0):
        raise VocabularyError(
            f"{options.vocab_file} is not sorted by falling counts of 1 or more: write it with `w2v vocab`"
        )
    return vocabulary
