"""The wish to stop: signals set it, and all ranks meet at their next step boundary.

Only the standard library is imported here, so that the command line can listen before anything
slow is loaded: the default action of most of these signals would end the rank.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any

STOP_SIGNALS = ("USR1", "USR2", "TERM")
EARLY_SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
POLITE = (signal.SIGTERM, signal.SIGINT)
AGAIN_S = 1.0  # a launcher may pass one on twice; later than this it is a second one


class Stop:
    """Whether a signal asked this rank to stop.

    Attributes:
        reason: "signal USR1" once it came, before that None.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._first_s = 0.0
        self._before: dict[int, Any] = {}

    def listen(self, numbers: Iterable[int]) -> None:
        """Take these signals as a wish to stop; in another than the main thread, do nothing."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in numbers:
            if number not in self._before:
                self._before[number] = signal.signal(number, self._note)

    def ignore(self) -> None:
        """Ignore these signals from now on, also when the interpreter ends."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def restore(self) -> None:
        """Stop listening; a second call does nothing."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self.reason is None:
            self.reason = f"signal {signal.Signals(number).name.removeprefix('SIG')}"
            self._first_s = now_s
        elif number in POLITE and now_s - self._first_s > AGAIN_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def number_of(name: str) -> int:
    """Return the number of a signal, for example of "USR1"."""
    return int(signal.Signals[f"SIG{name}"])


COMMAND_LINE = Stop()
"""The one that the command line listens with from its first moment on."""
