"""Folders for what a run needs only while it lasts."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from w2v.abandoned import hold, remove_abandoned
from w2v.errors import OutputError


class TemporaryFolder:
    """A new folder where the system keeps temporary files (``TMPDIR``), held until ``remove``.

    Folders of the same kind that killed runs left are removed first.
    """

    def __init__(self, kind: str) -> None:
        """kind: its name begins with ``w2v-`` and this. Raises OutputError."""
        prefix = f"w2v-{kind}-"
        try:
            for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
                with suppress(OSError):  # another user's
                    remove_abandoned(left, lambda path: shutil.rmtree(path, ignore_errors=True))
            release = None
            while release is None:  # gone at once where another run took it for abandoned
                self.path = Path(tempfile.mkdtemp(prefix=prefix))
                release = hold(self.path)
        except OSError as error:
            raise OutputError(f"cannot make a temporary folder: {error.strerror or error}: set TMPDIR") from None
        self._release = release

    def remove(self) -> None:
        """With all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._release()
        self._release = lambda: None
