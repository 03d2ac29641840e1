"""A thread that lets others reach this rank's window while it computes.

Between hosts an MPI library moves one-sided data only while the target is inside MPI. This
thread asks MPI for messages that never come, on a communicator of its own, once a millisecond:
about one per cent of a core, and every operation on a busy target takes milliseconds.
"""

from __future__ import annotations

import sys
import threading
import traceback

from mpitrain.comm.world import World

PAUSE_S = 1e-3
SWITCH_INTERVAL_S = 5e-4  # the interpreter's default of 5 ms would keep the thread waiting


class ProgressThread:
    """Drives MPI progress on this rank until closed."""

    def __init__(self, world: World) -> None:
        """Start the thread; MPI must have given thread level "multiple".

        Collective: yes.
        """
        self._world = world
        self._comm = world.comm.Dup()
        self._stop = threading.Event()
        self._switch_interval_s = sys.getswitchinterval()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="mpitrain-progress", daemon=True
        )
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(PAUSE_S):
                self._comm.Iprobe()
        except BaseException:  # without it the job could hang: end it
            traceback.print_exc()
            self._world.abort()

    def close(self) -> None:
        """Stop the thread and free its communicator; a second call does nothing.

        Collective: yes.
        """
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            sys.setswitchinterval(self._switch_interval_s)
            self._comm.Free()
