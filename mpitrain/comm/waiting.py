"""Waiting that gives the core away, speaks up after a while and gives up at a limit.

Ranks may exceed cores, and blocking MPI calls spin. So every wait of this package polls: first it
only yields, then it sleeps, longer each time. No MPI here: the poll is the caller's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from mpitrain.core.errors import StallError

YIELD_S = 1e-3  # yield only, for as long as a short exchange between ranks takes
FIRST_SLEEP_S = 20e-6
LAST_SLEEP_S = 1e-3


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a wait may last before it speaks and before it fails.

    Attributes:
        warn_s: seconds after which ``speak`` is told what is waited for, once, then each
            time the wait has doubled.
        limit_s: seconds after which the wait raises StallError.
        speak: takes one line for people.
    """

    warn_s: float
    limit_s: float
    speak: Callable[[str], None]

    def wait_until(
        self,
        ready: Callable[[], bool],
        describe: Callable[[], str],
        moved: Callable[[], bool] | None = None,
    ) -> None:
        """Return as soon as ``ready()`` is true.

        Args:
            ready: polled; cheap, and drives MPI progress by itself.
            describe: called only when the wait is long; says what is waited for and names
                the rank, for example "rank 2 waits for rank 3 (clock 17) ...".
            moved: tells, after a poll, whether those waited for went on: patience starts anew.

        Raises:
            StallError: ``limit_s`` passed; the message is ``describe()`` and the limit.
        """
        if not ready():
            self._wait_long(ready, describe, moved)

    def _wait_long(
        self,
        ready: Callable[[], bool],
        describe: Callable[[], str],
        moved: Callable[[], bool] | None,
    ) -> None:
        began = time.perf_counter()
        pause = FIRST_SLEEP_S
        warn_at = self.warn_s
        os.sched_yield()
        while not ready():
            waited = time.perf_counter() - began
            if waited < YIELD_S:
                os.sched_yield()
                continue
            if moved is not None and moved():
                began, warn_at = time.perf_counter(), self.warn_s
            elif waited > self.limit_s:
                message = f"{describe()}; gave up after {self.limit_s:g} s"
                raise StallError(message)
            elif waited > warn_at:
                self.speak(f"{describe()}; waited {waited:.1f} s so far")
                warn_at *= 2
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_SLEEP_S)
