"""What the benchmark scripts share: the machine that figures belong to, scores, and percentiles."""

import platform
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def describe(settings: str, packages: tuple[str, ...] = ("numpy", "numba")) -> dict[str, str]:
    """Date, command, processor, system, versions and settings: printed above every table of figures."""
    from w2v import __version__
    from w2v.backends import describe_devices

    found = [f"w2v {__version__}", f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "command": command_line(),
        "processor": str(describe_devices()[0]["note"]),
        "system": platform.platform(),
        "versions": ", ".join(found),
        "settings": settings,
    }


def command_line() -> str:
    """What was asked for. Folders say nothing about a figure, and belong to whoever ran it."""
    words = [Path(sys.argv[0]).name, *(Path(word).name if "/" in word else word for word in sys.argv[1:])]
    return "scripts/" + " ".join(words)


def describe_gpu() -> dict[str, str]:
    """The GPU, the driver and its clocks, as ``w2v info --device`` and nvidia-smi have them."""
    from w2v.backends import describe_devices

    notes = [str(device["note"]) for device in describe_devices() if device["name"] == "cuda"]
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=30)
        driver = found.stdout.splitlines()[0] if found.returncode == 0 else "nvidia-smi fails"
    except (OSError, subprocess.TimeoutExpired, IndexError):
        driver = "nvidia-smi does not answer"
    return {"gpu": notes[0], "driver, highest clock, power limit": driver}


def score(vectors: object, pairs: list[Path], analogies: list[Path]) -> dict[str, tuple[float, str]]:
    """(score, coverage) by the name of each file: Spearman × 100, and per cent of the analogies answered right.

    vectors: KeyedVectors; analogies are asked over the 30,000 most frequent words.
    """
    from w2v.evaluation import evaluate_analogies, evaluate_pairs

    found = {}
    for path in pairs:
        result = evaluate_pairs(vectors, path)
        found[path.stem] = 100 * result.spearman.statistic, f"{result.covered} of {result.total}"
    for path in analogies:
        total = evaluate_analogies(vectors, path, restrict=30000).total
        found[path.stem] = 100 * total.accuracy, f"{total.covered} of {total.total}"
    return found


def print_record(record: dict[str, str]) -> None:
    """The machine's description, a line each, and an empty line."""
    for name, value in record.items():
        print(f"{name}: {value}")
    print()


def outer_deciles(values: list[float]) -> tuple[float, float]:
    """The 10th and the 90th percentile."""
    if len(values) < 2:
        return values[0], values[0]
    deciles = statistics.quantiles(values, n=10, method="inclusive")
    return deciles[0], deciles[-1]
