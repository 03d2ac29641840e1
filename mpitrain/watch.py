"""A watch on this rank's own main thread: it notices when a step never ends.

The others have their patience for a rank that they wait for, but in asynchronous training nobody
waits. A thread looks now and then at what the main thread noted last. It needs the interpreter to
run: a main thread that hangs inside a library without giving up the interpreter's lock is found by
the other ranks alone.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection

from mpitrain.core.console import tell
from mpitrain.core.phases import COMPUTE, PHASES, READ, WRITE

WATCHED = (READ, COMPUTE, WRITE)  # waits, evaluations and checkpoints have patience of their own
SHORTEST_S, LONGEST_S = 0.2, 10.0


class Watch:
    """Speaks up, once, when the main thread has not gone on for ``limit_s``."""

    def __init__(
        self,
        who: str,
        place: Callable[[], tuple[int, int]],
        limit_s: float,
        on_stuck: Callable[[str], None],
        *,
        watched: Collection[int] = WATCHED,
        limit_name: str = "mode.limit_s",
    ) -> None:
        """Start watching the thread that calls this.

        Args:
            who: this rank, for example "rank 1 of 4 on HOST".
            place: phase and clock that the rank noted last; called in another thread.
            limit_s: seconds that a watched phase may last.
            on_stuck: told in one line what is stuck, after it was printed; in another thread.
            watched: phases that are watched. In synchronous training leave out WRITE, in which
                ranks wait for each other.
            limit_name: setting to name in the message.
        """
        self._who, self._place, self._limit_s = who, place, limit_s
        self._on_stuck, self._watched, self._limit_name = on_stuck, watched, limit_name
        self._main = threading.get_ident()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mpitrain-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a second call does nothing."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        pause_s = min(max(self._limit_s / 10, SHORTEST_S), LONGEST_S)
        before, stood_s, looked_s = self._place(), 0.0, time.monotonic()
        while not self._closed.wait(pause_s):
            now, now_s = self._place(), time.monotonic()
            if now == before and now[0] in self._watched:
                # a whole process that was suspended finds nothing late when it goes on
                stood_s += min(now_s - looked_s, 2 * pause_s)
            else:
                stood_s = 0.0
            before, looked_s = now, now_s
            if stood_s >= self._limit_s:
                self._speak(now, stood_s)
                return

    def _speak(self, place: tuple[int, int], stood_s: float) -> None:
        phase, clock = place
        line = (
            f"{self._who}: stuck in {PHASES[phase]} at clock {clock} "
            f"for {stood_s:.0f} s ({self._limit_name} = {self._limit_s:g})"
        )
        frame = sys._current_frames().get(self._main)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        tell(f"mpitrain: error: {line}\n{stack}")
        self._on_stuck(line)
