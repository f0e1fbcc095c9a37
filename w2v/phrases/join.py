"""Find the phrases of a text and write it with them joined. Importing this imports no numba."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from w2v.cores import available_cores
from w2v.corpus.sources import Source, find_sources, identities, unchanged
from w2v.errors import ConfigError, CorpusError, OutputError
from w2v.phrases.options import PhraseOptions
from w2v.phrases.output import check_output, open_output
from w2v.temporary import TemporaryFolder

Report = Callable[[str], None]
# Called with the inputs of a pass; its context gives what is told the bytes of text done, over both readings.
Progress = Callable[[Sequence[str]], AbstractContextManager[Callable[[int], None]]]
# More threads than this are never started, whatever was asked for.
_THREADS_PER_CORE = 4


class Phrase(NamedTuple):
    """A phrase that was joined: its text, how often the pair occurs (also where it is not joined), its score."""

    text: str
    count: int
    score: float


@dataclass
class PhraseTotals:
    """What was found. phrases: different ones; pairs: those that were counted, over all passes.

    words, words_after: tokens of the text before and after. found: by text, where it was asked for.
    """

    phrases: int = 0
    pairs: int = 0
    joins: int = 0
    words: int = 0
    words_after: int = 0
    bad_bytes: int = 0
    seconds: float = 0.0
    found: dict[str, Phrase] = field(default_factory=dict)

    def listed(self) -> list[Phrase]:
        """The phrases by falling score, ties by their text."""
        return sorted(self.found.values(), key=lambda phrase: (-phrase.score, phrase.text))


def join_phrases(
    inputs: Sequence[str | Path],
    output: str | Path,
    options: PhraseOptions | None = None,
    *,
    threads: int | None = None,
    keep_list: bool = False,
    report: Report | None = None,
    progress: Progress | None = None,
    finished: Callable[[PhraseTotals], None] | None = None,
) -> PhraseTotals:
    """Write the text of ``inputs`` (files, folders, "-") to ``output`` with its phrases joined.

    White space between the words of a phrase becomes the delimiter; all else stays as it is, lines and their number
    included. The result is the same at any number of ``threads`` (default: all cores). output: a file, compressed by
    its suffix, replaced only when complete; "-" for standard output. keep_list: fill ``found``. report: called with
    one-line messages. progress: see above. finished: called when all is found and written, just before ``output`` is
    replaced, which an exception prevents.

    Raises CorpusError (input missing, unreadable, damaged, empty, or changed meanwhile), OutputError, ConfigError
    (threads), MissingExtraError (.zst).
    """
    options = options or PhraseOptions()
    report = report or (lambda message: None)
    progress = progress or (lambda inputs: nullcontext(lambda done: None))
    finished = finished or (lambda totals: None)
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads {threads} is out of range: use 1 or more")
    start = time.perf_counter()
    output = Path(output)
    check_output(output)
    sources = find_sources(inputs)
    cores = available_cores()
    run = _Run(options, min(cores if threads is None else threads, _THREADS_PER_CORE * cores), keep_list, report)
    with _temporary_folder() as folder:
        sources = _rereadable(sources, folder)
        identity = identities(sources)
        for number in range(options.passes):
            last = number == options.passes - 1
            path = folder / f"pass{number}.txt"
            with open_output(output) if last else _open_between(path) as stream:
                with unchanged(sources, identity):
                    joined = run.run_pass(number, sources, stream, progress)
                if last:
                    finished(run.totals)
            (folder / f"pass{number - 1}.txt").unlink(missing_ok=True)
            if not last and not joined:
                report(f"pass {number + 1} of {options.passes} joined nothing, and later ones would not either")
                with open_output(output) as stream, open(path, "rb") as text:
                    shutil.copyfileobj(text, stream)
                    finished(run.totals)
                break
            sources = [Source(path)]
            identity = identities(sources)
    run.totals.seconds = time.perf_counter() - start
    return run.totals


class _Run:
    """All passes over a text: what was asked for, and the totals so far."""

    def __init__(self, options: PhraseOptions, threads: int, keep_list: bool, report: Report) -> None:
        self.totals = PhraseTotals()
        self._options = options
        self._threads = threads
        self._keep_list = keep_list
        self._report = report

    def run_pass(self, number: int, sources: list[Source], stream: BinaryIO, progress: Progress) -> int:
        """Count, then join and write to ``stream``; returns how many phrases were joined in the text."""
        # numba is imported and kernels are compiled here, not where the package is imported.
        from w2v.phrases.passes import Counting, Joining

        lowercase = self._options.lowercase and number == 0
        with progress([source.name for source in sources]) as update:
            counting = Counting(sources, self._options, lowercase)
            counting.run(self._threads, update)
            self._take_counts(number, counting, sources)
            note = self._note if self._keep_list else None
            joining = Joining(sources, self._options, lowercase, counting, stream, note)
            done = counting.done
            counting.table = None
            joining.run(self._threads, lambda count: update(done + count))
            joining.finish()
        self.totals.phrases += joining.known
        self.totals.joins += joining.joins
        self.totals.words_after = counting.tokens - joining.removed
        return joining.joins

    def _take_counts(self, number: int, counting, sources: list[Source]) -> None:  # noqa: ANN001 (a Counting)
        """Add what was counted to the totals, and say what has to be said."""
        if not counting.tokens:
            names = ", ".join(source.name for source in sources[:3]) + ", …" * (len(sources) > 3)
            raise CorpusError(f"{names}: no words: the text is empty or all white space")
        table = counting.table
        self.totals.pairs += len(table) - table.words
        if number == 0:
            self.totals.words = counting.tokens
            self.totals.bad_bytes = counting.bad_bytes
            if counting.bad_bytes:
                self._report(f"{counting.bad_bytes} bytes are not UTF-8: they are written as they are")
        if table.prunings:
            self._report(
                f"--max-vocab-size {table.limit} was reached {table.prunings} times: rare words and pairs were "
                f"forgotten on the way, and their counts are too low"
            )

    def _note(self, name: bytes, count: int, score: float) -> None:
        text = name.decode("utf-8", "replace")
        self.totals.found[text] = Phrase(text, count, score)


def _rereadable(sources: list[Source], folder: Path) -> list[Source]:
    """``sources`` with those that can be read only once copied to ``folder``."""
    copies = []
    for number, source in enumerate(sources):
        if not source.regular:
            (folder / str(number)).mkdir()
            source = source.spooled(folder / str(number))
        copies.append(source)
    return copies


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    folder = TemporaryFolder("phrases")
    try:
        yield folder.path
    finally:
        folder.remove()


@contextmanager
def _open_between(path: Path) -> Iterator[BinaryIO]:
    """A stream for the text between two passes."""
    try:
        with open(path, "wb", buffering=0) as file:
            yield file
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}: set TMPDIR to a folder with room"
        ) from None
