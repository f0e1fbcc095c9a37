"""The end of a soak: fuzz cases for every reader, and memory over 50 epochs."""

import json
import subprocess
import sys

from benchmark import ROOT
from soak_commands import BrokenError
from soak_memory import BAND, EPOCHS, growth
from soak_place import Operation

OBJECTIVES = ("ns", "hs", "class", "adaptive", "full")
# Seconds for a thousand cases of every reader, far more than they take.
_FUZZ_SECONDS = 1800.0
_MEMORY_SECONDS = 1200.0


def fuzz(work: Operation, cases: int, record: dict[str, object]) -> None:
    """``scripts/fuzz``: what it printed goes to ``record["fuzz"]``."""
    script, output = ROOT / "scripts" / "fuzz", work.folder / "fuzz.json"
    if not script.exists():
        raise BrokenError(f"{script} is missing")
    command = [sys.executable, str(script), "--cases", str(cases), "--output", str(output)]
    done = _done(work, command, _FUZZ_SECONDS * max(1.0, cases / 1000))
    found = json.loads(output.read_text("utf-8")) if output.exists() else None
    record["fuzz"] = {"cases": cases, "exit": done.returncode, "printed": done.stdout, "record": found}
    if done.returncode != 0:
        raise BrokenError(f"scripts/fuzz exited {done.returncode}: {done.stderr.strip()[-500:]}")


def memory(work: Operation, record: dict[str, object]) -> None:
    """Anonymous memory over the epochs of every objective: to ``record["memory"]``; BrokenError where it grows."""
    lines, grown = ["objective\tfirst MB\tlast MB\tmost MB\tgrowth kB"], []
    found = {}
    for objective in OBJECTIVES:
        command = [sys.executable, str(ROOT / "scripts" / "soak_memory.py"), str(work.place.small), objective]
        done = _done(work, command, _MEMORY_SECONDS)
        if done.returncode != 0:
            raise BrokenError(f"50 epochs of {objective}: {done.stderr.strip()[-500:]}")
        sizes = json.loads(done.stdout.splitlines()[-1])["bytes"]
        more = growth(sizes)
        megabytes = "\t".join(f"{size / 1e6:.1f}" for size in (sizes[0], sizes[-1], max(sizes)))
        lines.append(f"{objective}\t{megabytes}\t{more / 1e3:.0f}")
        found[objective] = sizes
        if len(sizes) != EPOCHS or more > BAND:
            grown.append(f"{objective} by {more / 1e6:.1f} MB in {len(sizes)} epochs")
    record["memory"] = {"printed": "\n".join(lines), "bytes": found}
    if grown:
        raise BrokenError(f"memory grows: {', '.join(grown)}")


def _done(work: Operation, command: list[str], seconds: float) -> subprocess.CompletedProcess:
    work.commands.done.append(" ".join(command))
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=work.folder)
    except subprocess.TimeoutExpired:
        raise BrokenError(f"still running after {seconds:g} s: {' '.join(command)}") from None
