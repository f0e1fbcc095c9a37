"""Starts the tests that need numba's simulator of CUDA, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "simulator"


def run(environment: dict[str, str]) -> subprocess.CompletedProcess:
    """pytest on the folder with these additions to the environment; the simulator is off without them."""
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(FOLDER), "-q", "-p", "no:cacheprovider"],
        env={**inherited, **environment}, cwd=FOLDER.parent.parent, capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def test_kernels_in_the_simulator():
    done = run({"NUMBA_ENABLE_CUDASIM": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_folder_is_left_alone_without_the_simulator():
    done = run({})
    assert done.returncode == 5, done.stdout + done.stderr  # no tests collected
    assert "no tests ran" in done.stdout
