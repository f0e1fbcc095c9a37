"""Ctrl-C and SIGTERM: as exceptions, and held back where something is to be saved first."""

from __future__ import annotations

import signal
from types import FrameType

# SIGHUP comes where a terminal or a session is closed; Windows has none.
NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """Another signal than Ctrl-C's, which unwinds like that, so that temporary files go."""

    number = signal.SIGTERM


def exit_code(error: BaseException) -> int:
    """What a shell expects of a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


def stop_on_terminate() -> None:
    """Let SIGTERM and SIGHUP unwind like Ctrl-C, unless they are ignored."""
    for number in NUMBERS:
        if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


def ignore_interruptions() -> None:
    """For the last moments of a process."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


class HeldInterruptions:
    """While held, the first signal is noted, for ``noted`` to tell; the second one interrupts at once."""

    def __init__(self) -> None:
        """Nothing is held."""
        self._number: int | None = None
        self._handlers: dict[int, object] = {}

    @property
    def noted(self) -> bool:
        """Whether a signal came while they were held."""
        return self._number is not None

    def hold(self) -> None:
        """From now on the first signal is only noted; one that is ignored stays so. Called in the main thread."""
        self._number = None
        heeded = [number for number in NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
        self._handlers = {number: signal.signal(number, self._note) for number in heeded}

    def release(self) -> None:
        """What it was before."""
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def exception(self, message: str) -> KeyboardInterrupt:
        """What the signal that was noted would have raised."""
        return _exception(self._number, message)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is not None:
            _raise(number, frame)
        self._number = number


def _exception(number: int | None, *message: str) -> KeyboardInterrupt:
    if number in (None, signal.SIGINT):
        return KeyboardInterrupt(*message)
    terminated = Terminated(*message)
    terminated.number = number
    return terminated


def _raise(number: int, frame: FrameType | None) -> None:
    raise _exception(number)
