"""Text to an encoded corpus by several workers: the same bytes as one process writes, at any number of them.

1. Each shard of the text is tokenized; its rows are noted, its words and counts shared out into parts by hashes.
2. Each part is added up over all shards; words that the limits rule out go no further.
3. The words that are left are sorted: the vocabulary.
4. Each shard's rows become ids, whose place in the one file of ids follows from the lengths of all.

No process holds more than a shard's counts, a part of all counts, or the vocabulary.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from w2v.corpus.encode import (
    Progress,
    Report,
    TextTotals,
    encoded_by,
    given_vocabulary,
    report_totals,
    require_tokens,
    words_of_text,
    write_entry,
    written,
)
from w2v.corpus.encoded import IDS, EncodedCorpus
from w2v.corpus.options import CorpusOptions
from w2v.corpus.sources import Source, find_sources
from w2v.corpus.vocabulary import Vocabulary
from w2v.distributed import counting
from w2v.distributed.cluster import first_line
from w2v.distributed.counting import VOCABULARY, Counted, Job, Numbered
from w2v.distributed.shards import LEAST_SHARD, cut_into_shards
from w2v.errors import ConfigError, DeviceError

# How often a task is run again whose worker died.
_RETRIES = 3
_LOOK_SECONDS = 0.2
# How long tasks that were told to end are waited for.
_END_SECONDS = 30
# Parts that words are shared out into, at most: each shard has a run of words for each.
_MOST_PARTS = 256


# How Ray begins to say that a worker has no such function.
_NO_IMPORT = "The remote function failed to import"


def _last_line(error: BaseException) -> str:
    return str(error).strip().rpartition("\n")[2]


class Workers(Protocol):
    """Who runs tasks. count: how many at once."""

    count: int

    def run(
        self, function: Callable[..., Any], calls: Sequence[tuple], tick: Callable[[], None] | None = None
    ) -> list[Any]:
        """What each call gives, in their order; ``tick`` is called now and then meanwhile."""


class RayWorkers:
    """Tasks in a Ray cluster."""

    def __init__(self, ray: ModuleType, count: int) -> None:
        """ray: connected; count: tasks at once."""
        self.count = count
        self._ray = ray

    def run(
        self, function: Callable[..., Any], calls: Sequence[tuple], tick: Callable[[], None] | None = None
    ) -> list[Any]:
        """See ``Workers``. Raises what a task raised, and DeviceError where its worker dies again and again."""
        remote = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(function)
        results: list[Any] = [None] * len(calls)
        waiting = deque(enumerate(calls))
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.count:
                    number, arguments = waiting.popleft()
                    running[remote.remote(*arguments)] = number
                done, _ = self._ray.wait(list(running), num_returns=1, timeout=_LOOK_SECONDS)
                for reference in done:
                    results[running.pop(reference)] = self._result(reference)
                if tick is not None:
                    tick()
        except BaseException:
            self._cancel(list(running))
            raise
        return results

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = getattr(error, "cause", None) or error
            if str(cause).startswith(_NO_IMPORT):
                raise DeviceError(
                    f"a computer of the cluster cannot run this version of w2v ({_last_line(cause)}): install it on "
                    "all computers"
                ) from None
            raise cause from None
        except errors.RayError as error:
            raise DeviceError(
                f"a process that encodes text died {_RETRIES + 1} times ({first_line(error)}): "
                "is there enough memory?"
            ) from error

    def _cancel(self, references: list[Any]) -> None:
        """End what still runs, so that it writes no more."""
        for reference in references:
            # Ray has an error for a task that has just ended.
            with suppress(self._ray.exceptions.RayError, ValueError, TypeError):
                # Not by force: of a task that ends at that moment Ray 2.60 has no record, and aborts the driver.
                self._ray.cancel(reference)
        if references:
            self._ray.wait(references, num_returns=len(references), timeout=_END_SECONDS)


def encode_corpus_sharded(
    inputs: Sequence[str | Path],
    options: CorpusOptions | None = None,
    *,
    ray: ModuleType,
    workers: int,
    cache_dir: str | Path | None = None,
    use_cache: bool = True,
    report: Report | None = None,
    progress: Progress | None = None,
) -> EncodedCorpus:
    """What ``encode_corpus`` gives and keeps, byte for byte, made by ``workers`` tasks at once in a Ray cluster.

    ray: the module, connected. The inputs and the cache folder have to be seen by all computers of the cluster.

    Raises what ``encode_corpus`` raises, ConfigError where an input can be read only once or words are to be pruned
    while counting, and DeviceError where tasks cannot be run.
    """
    return encode_by_workers(
        RayWorkers(ray, workers),
        inputs,
        options,
        cache_dir=cache_dir,
        use_cache=use_cache,
        report=report,
        progress=progress,
    )


def encode_by_workers(
    workers: Workers,
    inputs: Sequence[str | Path],
    options: CorpusOptions | None = None,
    *,
    cache_dir: str | Path | None = None,
    use_cache: bool = True,
    report: Report | None = None,
    progress: Progress | None = None,
) -> EncodedCorpus:
    """See ``encode_corpus_sharded``."""
    options = options or CorpusOptions()
    report = report or (lambda message: None)
    require_shardable(inputs, options)
    sources = find_sources(inputs)
    for source in sources:
        if not (source.remote or source.regular):
            raise _unshardable(source.name)
    # Ray's processes do not run in this folder.
    sources = [
        source if source.remote else replace(source, path=source.path.resolve(), label=source.name)
        for source in sources
    ]

    def encode(folder: Path, identity: list) -> tuple[Vocabulary, dict[str, float]]:
        return _Encoding(workers, folder.resolve(), sources, options, report, progress).run(identity)

    return encoded_by(encode, sources, options, cache_dir, use_cache, report)


def require_shardable(inputs: Sequence[str | Path], options: CorpusOptions) -> None:
    """Raise ConfigError where several workers cannot read what is asked for: told before anything is started."""
    if options.max_vocab_size is not None and options.vocab_file is None:
        raise ConfigError(
            "--max-vocab-size does not go with --replicas: what it prunes depends on the order of the text, which "
            "several workers read at once; they share out the counts, which bounds them: leave it out"
        )
    if "-" in map(str, inputs):
        raise _unshardable("standard input")


def _unshardable(name: str) -> ConfigError:
    return ConfigError(
        f"--replicas reads the text in parts, from several processes, and {name} has none: save it first"
    )


class _Encoding:
    """One run over a text."""

    def __init__(
        self,
        workers: Workers,
        folder: Path,
        sources: list[Source],
        options: CorpusOptions,
        report: Report,
        progress: Progress | None,
    ) -> None:
        self._start = time.perf_counter()
        self._workers, self._sources, self._report, self._progress = workers, sources, report, progress
        self._given = given_vocabulary(options)
        self._shards = cut_into_shards(sources, workers.count, LEAST_SHARD)
        self._stamps = [
            [source.identity() if source.regular and not source.remote else None for source in shard.files]
            for shard in self._shards
        ]
        keys = tuple(secrets.randbits(64) | 1 for _ in range(3))
        parts = min(len(self._shards), _MOST_PARTS)
        self._job = Job(folder, options, parts, keys, progress is not None)
        self._done: dict[int, int] = {}

    def run(self, identity: list) -> tuple[Vocabulary, dict[str, float]]:
        """Fill the folder; gives the vocabulary, and the seconds by phase."""
        if self._given is not None:
            vocabulary, counted, kept, numbered = self._look_up()
        else:
            vocabulary, counted = self._count()
            kept = int(vocabulary.counts.sum())
            numbered = self._number(counted)
        totals = self._totals(counted)
        report_totals(len(vocabulary), kept, totals.raw_tokens, totals.bad_bytes, self._job.options, self._report)
        ids = self._place(numbered)
        for path in self._job.folder.glob(f"{counting.PREFIX}*"):
            path.unlink(missing_ok=True)
        write_entry(self._job.folder, vocabulary, ids, totals, self._job.options, identity)
        return vocabulary, {**totals.seconds, "encode": self._encoding_seconds(totals)}

    def _count(self) -> tuple[Vocabulary, list[Counted]]:
        from w2v.corpus.selection import require_words, select_words

        job, options = self._job, self._job.options
        calls = [(job, shard, stamps) for shard, stamps in zip(self._shards, self._stamps, strict=True)]
        counted = self._workers.run(counting.count_shard, calls, self._tick)
        self._tell(sum(shard.bytes for shard in counted))
        require_tokens(sum(shard.raw_tokens for shard in counted), self._sources)
        runs = [[(shard.name, shard.runs[part]) for shard in counted] for part in range(job.parts)]
        parts = self._workers.run(counting.merge_part, [(job, of_part) for of_part in runs])
        kept, met = (sum(len(part.counts) for part in parts), sum(part.met for part in parts))
        require_words(min(kept, options.max_final_vocab or kept), met, options)
        # Words are lower-cased by now, and have no bad bytes.
        vocabulary, _ = select_words(counting.merged_table(parts), replace(options, lowercase=False))
        self._write_words(vocabulary.words)
        return vocabulary, counted

    def _number(self, counted: list[Counted]) -> list[Numbered]:
        numbered = self._workers.run(counting.number_shard, [(self._job, shard) for shard in counted])
        for shard in counted:
            counting.forget(self._job, shard.name)
        return numbered

    def _look_up(self) -> tuple[Vocabulary, list[Counted], int, list[Numbered]]:
        job = self._job
        numbers = words_of_text(self._given.words, job.options)
        self._write_words([self._given.words[number] for number in numbers])
        with written(job.folder):
            np.save(job.folder / f"{VOCABULARY}.npy", np.array(numbers, np.int32))
        calls = [(job, shard, stamps) for shard, stamps in zip(self._shards, self._stamps, strict=True)]
        found = self._workers.run(counting.look_up_shard, calls, self._tick)
        counted = [shard for shard, _, _ in found]
        self._tell(sum(shard.bytes for shard in counted))
        return self._given, counted, sum(kept for _, kept, _ in found), [numbered for _, _, numbered in found]

    def _write_words(self, words: list[str]) -> None:
        with written(self._job.folder), open(self._job.folder / VOCABULARY, "wb") as file:
            file.writelines(b"%b\n" % word.encode() for word in words)

    def _place(self, numbered: list[Numbered]) -> tuple[int, int, int, int]:
        """Put the ids together; gives their length, tokens, sentences and content hash."""
        from w2v.corpus.words import digest_without_first_mark, joined_digest

        length = tokens = marks = digest = 0
        closed = True
        calls = []
        for shard in numbered:
            # A mark where no sentence is open.
            skip = int(shard.leads and closed)
            more = digest_without_first_mark(shard.length, shard.digest) if skip else shard.digest
            calls.append((self._job, shard, skip, length))
            count = shard.length - skip
            length, digest = length + count, joined_digest(digest, count, more)
            tokens, marks = tokens + shard.tokens, marks + shard.marks - skip
            closed = shard.closed if count else closed
        with written(self._job.folder), open(self._job.folder / IDS, "wb") as file:
            file.truncate(4 * length)
        self._workers.run(counting.place_shard, calls)
        return length, tokens, marks, digest

    def _totals(self, counted: list[Counted]) -> TextTotals:
        seconds = {
            "read": sum(shard.seconds["read"] for shard in counted) / self._workers.count,
            "compile": max(shard.seconds["compile"] for shard in counted),
        }
        raw, bad = sum(shard.raw_tokens for shard in counted), sum(shard.bad_bytes for shard in counted)
        return TextTotals(raw, bad, seconds)

    def _encoding_seconds(self, totals: TextTotals) -> float:
        return max(0.0, time.perf_counter() - self._start - sum(totals.seconds.values()))

    def _tick(self) -> None:
        """Ask how far the shards are."""
        if self._progress is None:
            return
        for shard in self._shards:
            # Not there yet, or just being written.
            with suppress(OSError, ValueError):
                done = int(counting.progress_path(self._job.folder, shard.number).read_text())
                self._done[shard.number] = max(done, self._done.get(shard.number, 0))
        self._tell(sum(self._done.values()))

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done)
