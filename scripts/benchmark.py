"""What the benchmark scripts share: the machine that figures belong to, and percentiles."""

import platform
import statistics
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
    # Folders say nothing about a figure, and belong to whoever ran it.
    words = [Path(sys.argv[0]).name, *(Path(word).name if "/" in word else word for word in sys.argv[1:])]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "command": "scripts/" + " ".join(words),
        "processor": str(describe_devices()[0]["note"]),
        "system": platform.platform(),
        "versions": ", ".join(found),
        "settings": settings,
    }


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
