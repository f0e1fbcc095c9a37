"""Starts the tests that have Ray in their own process, in another one: Ray ends a process where it finds a fault."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "on_ray"


def run_folder(**environment: str) -> subprocess.CompletedProcess:
    """pytest on the folder with these additions to the environment."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER)]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=400, check=False
    )


def test_encoding_on_ray():
    pytest.importorskip("ray")
    done = run_folder(W2V_TEST_ON_RAY="1")
    if " passed" not in done.stdout and " failed" not in done.stdout:  # Ray ended it: that is not ours to mend
        print("Ray ended the process: once more", done.stdout[-2000:], done.stderr[-2000:])
        done = run_folder(W2V_TEST_ON_RAY="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_folder_is_left_alone_otherwise():
    assert run_folder().returncode == 5  # nothing was collected
