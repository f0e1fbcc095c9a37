"""Fixtures that several files of tests share."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where encoded corpora are kept during a test, never the user's own cache; it does not exist yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("W2V_CACHE", str(folder))
    return folder


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A file of seven tokens and six words, two of which differ in case only."""
    path = tmp_path / "text.txt"
    path.write_bytes(b"The cat sat\non the mat the\n")
    return path


@pytest.fixture
def gpu() -> None:
    """For tests marked ``gpu``: skipped, with the reason, where no CUDA device works."""
    from w2v.backends import choose_device
    from w2v.errors import DeviceError

    try:
        choose_device("cuda")
    except DeviceError as error:
        pytest.skip(str(error))
