"""Commands of a soak: the real command line in processes of its own, watched, stopped, and judged by how they end."""

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Seconds after which a command hangs.
LONGEST = 120.0
# What a user should never read. Python's warnings name their class; those of w2v are plain lines.
_NEVER = ("Traceback", "Exception ignored", "Fatal Python error", "Warning:", "Segmentation fault", "Bus error")
# Between two looks at a command or at the files that it writes.
_PAUSE = 0.005
#: An empty standard input.
NOTHING = subprocess.DEVNULL
STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


class BrokenError(Exception):
    """Something is not as it must be: the message says what."""


@dataclass
class Ended:
    """How a command ended. sent: the signal that it got while it ran, if any; seconds: how long it ran."""

    arguments: list[str]
    code: int
    stdout: str
    stderr: str
    seconds: float
    sent: signal.Signals | None = None

    def __str__(self) -> str:
        """The command, its exit code and the end of what it said."""
        said = self.stderr.strip().splitlines()[-3:]
        return f"{shlex.join(self.arguments)} exited {self.code}: {' | '.join(said)[-600:]}"

    def check(self, *codes: int) -> "Ended":
        """Itself; BrokenError unless it ended with one of the codes, and with an error of one line for 1 and 2."""
        if self.code not in codes:
            raise BrokenError(f"expected exit code {' or '.join(map(str, codes))}: {self}")
        for word in _NEVER:
            if word in self.stderr:
                raise BrokenError(f"{word} on stderr: {self}")
        if self.code in (1, 2) and not self._one_line():
            raise BrokenError(f"no error of one line: {self}")
        return self

    def _one_line(self) -> bool:
        """Whether the last line of stderr is the only error; usage errors come behind the usage."""
        lines = self.stderr.strip().splitlines()
        if lines and lines[-1].startswith("Error: "):
            return self.code == 2 and lines[0].startswith("Usage: ")
        errors = [line for line in lines if line.startswith("w2v: ") and not line.startswith("w2v: warning:")]
        return len(errors) == 1 and lines[-1] == errors[0]

    def says(self, *words: str) -> "Ended":
        """Itself; BrokenError unless stderr holds every one of the words."""
        for word in words:
            if word not in self.stderr:
                raise BrokenError(f"{word!r} is not on stderr: {self}")
        return self

    @property
    def early(self) -> bool:
        """Whether a signal met Python, or the command line while it was still being imported."""
        own = self._in_main or "w2v: " in self.stderr or self.late
        return self.sent in (signal.SIGINT, signal.SIGTERM) and self.code in (-self.sent, 1) and not own

    @property
    def late(self) -> bool:
        """Whether a signal met Python behind the end of the command, which had said that its output is there."""
        return self.sent is not None and "saved to " in self.stderr and not self._in_main

    @property
    def _in_main(self) -> bool:
        """Whether a trace goes through the command line's own beginning; Python's have functions of that name too."""
        return re.search(r'w2v/cli/__init__\.py", line \d+, in main\n', self.stderr) is not None


@dataclass
class Running:
    """A command that runs. Its output goes to files, so that it never waits for a reader."""

    arguments: list[str]
    process: subprocess.Popen
    begun: float
    output: tuple[Path, Path]

    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait(self, seconds: float = LONGEST, sent: signal.Signals | None = None) -> Ended:
        """How it ended; BrokenError where it does not in time, and then it is killed."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokenError(f"still running after {seconds:g} s: {shlex.join(self.arguments)}") from None
        except BaseException:
            self.kill()
            raise
        stdout, stderr = (path.read_text("utf-8", "replace") for path in self.output)
        return Ended(self.arguments, code, stdout, stderr, time.monotonic() - self.begun, sent)

    def kill(self) -> None:
        """End it, and what it started."""
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop_when(self, moment: Callable[[float], bool], number: signal.Signals) -> Ended:
        """Send the signal as soon as ``moment(seconds since the start)``; how it ended.

        ``sent`` stays None where it ended by itself before.
        """
        while self.alive():
            passed = time.monotonic() - self.begun
            if moment(passed):
                os.kill(self.process.pid, number)
                return self.wait(sent=number)
            if passed > LONGEST:
                break
            time.sleep(_PAUSE)
        return self.wait(0.1)


@dataclass
class Commands:
    """Starts ``w2v`` in one folder, and keeps the list of what was started for whoever wants to do it again.

    variables: of the environment, beside those of this process; limit: the largest file in bytes that a command may
    write, for a while.
    """

    folder: Path
    variables: dict[str, str]
    limit: int | None = None
    done: list[str] = field(default_factory=list)
    program: Sequence[str] = (sys.executable, "-m", "w2v")

    def start(self, *arguments: object, stdin: Path | int = NOTHING) -> Running:
        """Start ``w2v ARGUMENTS``. stdin: a file to read, or a descriptor."""
        words = [str(argument) for argument in arguments]
        source = f" < {shlex.quote(str(stdin))}" if isinstance(stdin, Path) else ""
        limited = "" if self.limit is None else f"# with files of at most {self.limit} bytes: "
        self.done.append(f"{limited}w2v {shlex.join(words)}{source}")
        paths = tuple(self.folder / f"command-{len(self.done)}.{name}" for name in ("stdout", "stderr"))
        opened = stdin.open("rb") if isinstance(stdin, Path) else None
        with paths[0].open("wb") as stdout, paths[1].open("wb") as stderr:
            process = subprocess.Popen(
                [*self.program, *words],
                stdin=opened or stdin, stdout=stdout, stderr=stderr, cwd=self.folder,
                env={**os.environ, **self.variables},
                start_new_session=True,
                preexec_fn=None if self.limit is None else self._limit,
            )  # fmt: skip
        if opened is not None:
            opened.close()
        return Running(["w2v", *words], process, time.monotonic(), paths)

    def run(self, *arguments: object, stdin: Path | int = NOTHING) -> Ended:
        """Start ``w2v ARGUMENTS`` and wait."""
        return self.start(*arguments, stdin=stdin).wait()

    def note(self, line: str) -> None:
        """Remember something that was done between the commands."""
        self.done.append(f"# {line}")

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
