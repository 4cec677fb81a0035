"""Stop a run on a signal: the first asks it to save and stop, a second Ctrl-C stops it at once.

SIGUSR1 and SIGHUP, where the platform has them, ask as SIGTERM does: SLURM sends SIGUSR1 before
the time limit, a lost connection sends SIGHUP, often twice.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

ASKING = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGHUP") if hasattr(signal, name))
"""Signals that only ask: however many come, none of them stops the run at once."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *ASKING)


class Stopping:
    """While it is entered, signals are noted instead of ending the process.

    A later Ctrl-C or SIGTERM raises ``KeyboardInterrupt``, and the next one meets what was there
    before. A SIGHUP that was ignored, as under ``nohup``, stays ignored, and so does SIGUSR1.
    Outside the main thread, where Python takes no signals, nothing is changed. The first signal
    writes the text ``told`` to standard error.
    """

    def __init__(self, *, told: str = "") -> None:
        self._told = told.encode()
        self.number = 0
        """The signal that came; 0 while none has."""
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.number != 0

    @property
    def status(self) -> int:
        """The exit status, 128 + the signal: 130 for Ctrl-C, 143 for SIGTERM, 138 for SIGUSR1."""
        return 128 + (self.number or signal.SIGINT)

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number in ASKING and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number and number not in ASKING:
            self._restore()
            raise KeyboardInterrupt
        if self.number:
            return
        self.number = number
        with suppress(OSError):  # after a lost connection there is no terminal to write to
            # Python's own stream may be in the middle of a write
            os.write(2, self._told)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            # None: it was not Python that had set it, and Python cannot set it again
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()
