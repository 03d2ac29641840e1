"""One running ``mpiexec``, and what the launcher does with signals.

A run is asked to stop by USR1, whatever signal the launcher got: Open MPI's ``mpiexec`` kills its
ranks half a second after a TERM or INT, and passes USR1 on. (Measured with Open MPI 5.0 and MPICH
4.2:) until a rank has its handler, 10 to 100 ms and more after the start, USR1 ends it and with it
the job, and that it is ignored is not inherited: both launchers reset it. So the signal is kept
until rank 0's note says that all ranks listen; then it is repeated until status.json says that the
run is not running any more, because in ``MPI_Finalize`` it could be deadly again.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FrameType

from mpitrain.core.console import tell
from mpitrain.core.errors import UserError
from mpitrain.launch_aftermath import still_runs
from mpitrain.launch_note import NOTE_VARIABLE, LaunchNote
from mpitrain.launch_orphans import end_orphans, take_in_orphans
from mpitrain.stop import AGAIN_S, COMMAND_LINE

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP = signal.SIGUSR1
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOOK_S = 0.1  # between two looks for the note
REPEAT_S = 1.0  # between two requests to stop
UNHEARD_S = 60.0  # a rank 0 on another host cannot leave its note here
Handler = Callable[[int, FrameType | None], None]
STOPPING = "mpitrain: stopping at the next step with a checkpoint; signal again to end at once\n"


class Job:
    """Ranks under ``mpiexec``, ended by signals to this process.

    Attributes:
        num_ended: signals that asked for an end at once.
    """

    def __init__(self, note: LaunchNote, *, is_stoppable: bool) -> None:
        """Prepare.

        Args:
            note: what rank 0 tells; its path is in the ranks' environment.
            is_stoppable: whether the ranks train, and stop with a checkpoint when asked to;
                otherwise the first signal is passed on as it is.
        """
        self.num_ended = 0
        self._note, self._is_stoppable = note, is_stoppable
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []  # signals that came while mpiexec was being started
        self._started_s = 0.0
        self._heard_s: float | None = None
        self._asked_s = -REPEAT_S

    def run(self, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Start, wait, and return the exit code; 128 + number where a signal ended ``mpiexec``.

        Afterwards this process ignores the signals that it listened to: it is about to end.

        Raises:
            UserError: it cannot be started.
        """
        heard = self._listen()
        if COMMAND_LINE.reason is not None:  # it came before anyone listened here
            self._stop(STOP, None)
        take_in_orphans()
        try:
            self._start(command, {**environ, NOTE_VARIABLE: str(self._note.path)})
            assert self._process is not None
            code = self._process.wait()
            if code != 0:
                end_orphans(f"{NOTE_VARIABLE}={self._note.path}", self._process.pid)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            take_in_orphans(is_wanted=False)
            for number in heard:  # what comes now must not spoil the exit code
                signal.signal(number, signal.SIG_IGN)
        return 128 - code if code < 0 else code

    def _listen(self) -> list[int]:
        handlers: dict[int, Handler] = {
            number: self._end
            for number in ENDING
            # under nohup a lost terminal stays ignored
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }
        handlers |= {STOP: self._stop, signal.SIGUSR2: self._stop, signal.SIGALRM: self._look}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return list(handlers)

    def _start(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        # a process outside the terminal's group is stopped when it reads from the terminal
        stdin = subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None
        self._started_s = time.monotonic()
        try:
            self._process = subprocess.Popen(
                command, env=environ, stdin=stdin, preexec_fn=_in_own_group
            )
        except OSError as error:
            msg = f"cannot start {command[0]}: {(error.strerror or str(error)).lower()}"
            raise UserError(msg) from error
        for number in self._waiting:
            self._send(number)

    def _can_stop(self) -> bool:
        """Tell whether the ranks train: by the command, or a script that has begun to."""
        return self._is_stoppable or self._note.read() is not None

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Ask the run to stop with a checkpoint; other programs get the signal as it is."""
        if not self._can_stop():
            self._send(number)
        elif self._heard_s is None:
            self._heard_s = time.monotonic()
            tell(STOPPING)
            signal.setitimer(signal.ITIMER_REAL, LOOK_S / 10, LOOK_S)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Stop the run at the first signal, end it at the next, kill it at the third."""
        if self._heard_s is None and self._can_stop():
            self._stop(number, frame)
            return
        if self._heard_s is not None and time.monotonic() - self._heard_s < AGAIN_S:
            return  # the same one, sent to this process and to its group
        self.num_ended += 1
        was_asked = self._heard_s is not None
        if self.num_ended <= (1 if was_asked else 2):
            self._send(signal.SIGTERM if number == signal.SIGHUP or was_asked else number)
        else:
            self._send(signal.SIGKILL)

    def _look(self, _number: int, _frame: FrameType | None) -> None:
        """Pass the request to stop on, when the ranks listen and as long as they run."""
        now_s = time.monotonic()
        if self._process is None or self.num_ended or now_s - self._asked_s < REPEAT_S:
            return
        found = self._note.read()
        if found is None and now_s - self._started_s < UNHEARD_S:
            return
        if found is None or still_runs(found):
            self._asked_s = now_s
            self._send(STOP)

    def _send(self, number: int) -> None:
        if self._process is None:
            self._waiting.append(number)
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)


def _in_own_group() -> None:
    """Leave the terminal's group, and end when the launcher is killed; runs in the child."""
    os.setpgid(0, 0)
    signal.signal(STOP, signal.SIG_IGN)  # until mpiexec has its own handler
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
