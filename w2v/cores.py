"""How many cores there are to use."""

import os


def available_cores() -> int:
    """Cores that this process may use: what ``--threads`` defaults to."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
