"""A run in a process of its own, and what to do when that ends badly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from w2v.atomic import write_failure
from w2v.comparison.plan import RunSpec
from w2v.comparison.worker import TIED, blank_entry

# Seconds that a run has to end by itself.
_GRACE = 5.0
# The file descriptor, which is there even where ``sys.stderr`` is not a file; what a library prints goes there too.
_STDERR = 2


# Of the folders through which this process and that of a run speak.
_PREFIX = ".run-"


def clear_leftovers(folder: Path) -> None:
    """Remove what a comparison in ``folder`` that was killed may have left behind."""
    for path in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def launch(spec: RunSpec, folder: Path) -> dict[str, Any]:
    """Do the run in a fresh interpreter and give its entry; a process that dies leaves a failed one.

    folder: the comparison's, which holds a hidden folder meanwhile (see ``clear_leftovers``).

    The child's messages and its progress go to this process's stderr. It ends with this process, however that ends;
    KeyboardInterrupt passes through once it is gone. Raises OutputError where nothing can be written in ``folder``.
    """
    with _folder_inside(folder) as inner:
        spec_file, result_file = Path(inner) / "spec.json", Path(inner) / "result.json"
        try:
            spec_file.write_text(spec.to_json(), "utf-8")
        except OSError as error:
            raise write_failure(spec_file, error) from None
        child = subprocess.Popen(
            [*_interpreter(), str(spec_file), str(result_file), TIED],
            stdin=subprocess.PIPE,
            stdout=_STDERR,
            # Whatever the run puts down goes with the folder, however its process ends.
            env={**os.environ, "TMPDIR": inner},
        )
        try:
            status = child.wait()
        finally:
            _end(child)
        if result_file.is_file():
            return json.loads(result_file.read_text("utf-8"))
    return {**blank_entry(spec), "status": "failed", "error": _why(status)}


def _folder_inside(folder: Path) -> TemporaryDirectory:
    try:
        return TemporaryDirectory(prefix=_PREFIX, dir=folder)
    except OSError as error:
        raise write_failure(folder, error) from None


def _interpreter() -> list[str]:
    """Python as it runs here, with the same places to import from, whether installed or not.

    Ctrl-C, which goes to every process of a terminal, is left to the one that compares: that one ends it by SIGTERM.
    """
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_DFL); "
        f"import sys; sys.path[:] = {sys.path!r}; from w2v.comparison.worker import main; sys.exit(main())"
    )
    return [sys.executable, "-c", code]


def _end(child: subprocess.Popen) -> None:
    """Make sure that the child is gone."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    child.stdin.close()


def _why(status: int) -> str:
    """One line on a process that ended without a result."""
    if status >= 0:
        return f"its process ended with status {status} and no result: see the messages above"
    name = signal.Signals(-status).name if -status in signal.valid_signals() else f"signal {-status}"
    advice = ": perhaps for want of memory" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{advice}"
