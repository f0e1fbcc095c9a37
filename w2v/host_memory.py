"""How much memory this process may still take.

On Linux the least of what the system has, of what the process's control group and those above it leave, and of the
limits set by ``ulimit``. Elsewhere what psutil says, where it is installed; else nothing is known, and None says so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

# A limit this high is none: version 1 of control groups writes the largest number of pages.
_NO_LIMIT = 1 << 60
# Of each version of control groups: the line of /proc/self/cgroup, the folders it may be mounted at, and the files
# with the limits, the use, and the names that reclaimable pages of files have in memory.stat.
_VERSIONS = (
    ("", ("", "unified"), ("memory.max", "memory.high"), "memory.current", ("inactive_file", "active_file")),
    (
        "memory", ("memory",), ("memory.limit_in_bytes",), "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
)  # fmt: skip


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take without swapping or being stopped; None where that is not known.

    Pages that only cache files count as available: the system takes them back. root: where proc and sys are.
    """
    if not (root / "proc/meminfo").exists():
        return _by_psutil()
    bounds = [*_system(root), *_control_groups(root), *_process_limits(root)]
    return max(0, min(bounds)) if bounds else None


def _by_psutil() -> int | None:
    """What an installed psutil says (macOS, Windows)."""
    try:
        import psutil
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def _system(root: Path) -> Iterator[int]:
    """What the whole machine has left."""
    found = _kilobytes(root / "proc/meminfo")
    if "MemAvailable" in found:
        yield found["MemAvailable"]


def _control_groups(root: Path) -> Iterator[int]:
    """What every control group that holds this process leaves, of either version."""
    groups = dict(_memory_groups(root))
    for controller, mounts, limits, usage, reclaimable in _VERSIONS:
        if controller not in groups:
            continue
        # In a container the path may be the host's, which is not mounted; its own group is then the mount itself.
        own = Path(groups[controller].lstrip("/"))
        for mount in mounts:
            for part in (own, *own.parents):
                folder = root / "sys/fs/cgroup" / mount / part
                yield from _left(folder, limits, usage, reclaimable)


def _memory_groups(root: Path) -> Iterator[tuple[str, str]]:
    """(controller, path) of the groups that may limit memory: "" for version 2."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield "", path
        elif "memory" in controllers.split(","):
            yield "memory", path


def _left(folder: Path, limits: tuple[str, ...], usage: str, reclaimable: tuple[str, ...]) -> Iterator[int]:
    """What one group leaves; nothing where it has no limit."""
    numbers = [_text(folder / name).strip() for name in (*limits, usage)]
    limit = min((int(text) for text in numbers[:-1] if text.isdigit()), default=_NO_LIMIT)
    if limit >= _NO_LIMIT or not numbers[-1].isdigit():
        return
    pages = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    yield limit - int(numbers[-1]) + sum(int(pages.get(name, "0")) for name in reclaimable)


def _process_limits(root: Path) -> Iterator[int]:
    """What ``ulimit -v`` and ``ulimit -d`` leave."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    used = _kilobytes(root / "proc/self/status")
    for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY and name in used:
            yield soft - used[name]


def _kilobytes(path: Path) -> dict[str, int]:
    """Bytes by name, of a file of lines such as ``MemAvailable:  123 kB``."""
    found = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if unit == "kB" and number.isdigit():
            found[name] = int(number) << 10
    return found


def _text(path: Path) -> str:
    """What a file holds; nothing where there is none, or none that may be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
