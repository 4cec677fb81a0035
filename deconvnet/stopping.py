"""Ctrl-C and SIGTERM: the first asks for an end in good order, the second takes it at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """While it is entered, signals are noted instead of ending the process.

    The second signal raises ``KeyboardInterrupt``, the third meets what was there before. Outside
    the main thread, where Python takes no signals, nothing is changed.
    """

    def __init__(self, *, told: str = "") -> None:
        """Prepare for signals.

        Args:
            told: what the first one writes to standard error.
        """
        self._told = told.encode()
        self.number = 0
        """The signal that came; 0 while none has."""
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.number != 0

    @property
    def status(self) -> int:
        """The exit status of a process that a signal has ended: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            self._restore()
            raise KeyboardInterrupt
        self.number = number
        if self._told:
            os.write(2, self._told)  # Python's own stream may be in the middle of a write

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: it was not Python that had set it, and Python cannot set it again
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()
