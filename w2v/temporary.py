"""Folders for what a run needs only while it lasts."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from w2v.abandoned import hold, remove_abandoned
from w2v.errors import OutputError

# Tells a folder of ours from any other one of such a name.
_MARK = ".w2v-temporary"


class TemporaryFolder:
    """A new folder where the system keeps temporary files (``TMPDIR``), held until ``remove``.

    Folders of the same kind that killed runs left are removed first: those that have our mark, and empty ones.
    """

    def __init__(self, kind: str) -> None:
        """kind: its name begins with ``w2v-`` and this. Raises OutputError."""
        prefix = f"w2v-{kind}-"
        try:
            for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
                if re.fullmatch(r"[a-z0-9_]{8}", left.name[len(prefix) :]):
                    with suppress(OSError):  # another user's
                        remove_abandoned(left, _remove)
            release = None
            while release is None:  # gone at once where another run took it for abandoned
                self.path = Path(tempfile.mkdtemp(prefix=prefix))
                release = hold(self.path)
            (self.path / _MARK).touch()
        except OSError as error:
            raise OutputError(f"cannot make a temporary folder: {error.strerror or error}: set TMPDIR") from None
        self._release = release

    def remove(self) -> None:
        """With all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()
        self._release = lambda: None


def _remove(left: Path) -> None:
    if (left / _MARK).is_file():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.rmdir()
