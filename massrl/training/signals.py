"""Signals: a run that is asked to end does so after a step, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from massrl.runs.quiet import is_first

# Ctrl-C; what a system that shuts down, a scheduler or `kill` sends; a terminal that closes; a scheduler's notice.
HANDLED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))


class Stopped(BaseException):
    """Ends a run that a signal has asked to end; `signal` is its number."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class Signals:
    """While it is entered, signals are noted in `received`; Ctrl-C after a signal raises KeyboardInterrupt.

    A handler may run between any two instructions, so it sets this flag alone: who takes steps (`stepping`) asks for it
    after each one. Where no steps are taken, as before the first one, the signal raises Stopped.
    """

    def __init__(self) -> None:
        self.received = 0  # number of the first signal, 0 for none
        self.stepping = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self.install()
        return self

    def __exit__(self, *_: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)
        self._before = {}

    def install(self) -> None:
        """Handle the signals from here on; Lightning replaces handlers when it starts, so it is called again then."""
        if threading.current_thread() is not threading.main_thread():  # Python allows it nowhere else
            return
        for number in HANDLED:
            now = signal.getsignal(number)
            if self._before.get(number, now) != signal.SIG_IGN:  # as under nohup: it stays ignored
                self._before.setdefault(number, now)
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.stepping:
            raise Stopped(number)
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        if not self.received:
            self.received = number
            again = "; Ctrl-C once more ends at once" if number == signal.SIGINT else ""
            if is_first():  # print is not safe here
                os.write(2, f"\n{signal.Signals(number).name}: saving after this step{again}\n".encode())
