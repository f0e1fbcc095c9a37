"""The progress bar while text is read."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tqdm import tqdm


class TextBar:
    """A tqdm bar on stderr over bytes of text; it has an end where the inputs are plain files of known size."""

    def __init__(self, inputs: Sequence[str], shown: bool) -> None:
        """Not shown, it prints nothing at all."""
        self._size = _plain_bytes(inputs)
        # Where a text does not end with a line end, one is added and counted.
        self._added = len(inputs)
        self._again = False
        self._bar = tqdm(
            total=self._size,
            unit="B",
            unit_scale=True,
            unit_divisor=1000,
            desc="reading",
            disable=not shown,
            dynamic_ncols=True,
            leave=False,
        )

    def __enter__(self) -> TextBar:
        """Use as a context that closes the bar."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the bar."""
        self.close()

    def update(self, done: int) -> None:
        """Show how many bytes of text are done so far; a second reading starts at nothing again."""
        if self._size:
            if done > self._size + self._added and not self._again:
                self._again = True
                self._bar.reset()
                self._bar.set_description("reading again", refresh=False)
            done = min(done - self._size * self._again, self._size)
        self._bar.update(done - self._bar.n)

    def write(self, message: str) -> None:
        """Print a line above the bar."""
        self._bar.write(message, file=self._bar.fp)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


def _plain_bytes(inputs: Sequence[str]) -> int | None:
    compressed = (".gz", ".bz2", ".xz", ".zst")
    if not all(os.path.isfile(name) and not name.endswith(compressed) for name in inputs):
        return None
    return sum(os.path.getsize(name) for name in inputs)
