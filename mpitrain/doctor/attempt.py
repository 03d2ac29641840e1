"""Running the examination in a process of its own, which may hang or die without harm.

What starts MPI or makes windows can be killed by the library (an abort in MPI_Init, a bus error in
memory that is not there) or wait for ever. This process loads no MPI: it passes on what the
examination tells, and says so when it goes silent.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from mpitrain.doctor.finding import WRONG, Finding, wrong
from mpitrain.doctor.report import FIRST, MEETING, Stage, parsed

STAGE_LIMIT_S = 120.0
END_LIMIT_S = 20.0  # when all is told, and MPI is ended
_LOOK_S = 0.05  # Open MPI's launcher kills a quarter of a second after SIGTERM
_READ_BYTES = 1 << 16


class Attempt:
    """One examination, seen from outside.

    Attributes:
        state: the worst over all ranks; "wrong" until the examination has said its last word.
        broken_off: how the examination hung or died; None when it did not.
        has_met: whether the ranks came together; before that, others may wait for this one.
    """

    def __init__(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        noise: IO[bytes],
        *,
        limit_s: float = STAGE_LIMIT_S,
    ) -> None:
        """Prepare to examine, and to hear of SIGTERM and SIGINT.

        Args:
            words: program and arguments of the examination; the descriptor to report to is added.
            environ: of the examination.
            noise: takes what MPI libraries write on their own.
            limit_s: seconds that may pass without a word; at most 20 after the last one.
        """
        self.state = WRONG
        self.broken_off: Finding | None = None
        self.has_met = False
        self._words, self._environ, self._noise = list(words), dict(environ), noise
        self._limit_s = limit_s
        self._stage = FIRST
        self._has_ended = self._is_silent = False
        self._signal: int | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: setattr(self, "_signal", received))

    def findings(self) -> Iterator[Finding]:
        """Run the examination; yield its findings, and one more if it hangs or dies."""
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        with subprocess.Popen(
            [sys.executable, *self._words, str(writer)],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self._noise,
            stderr=self._noise,
            close_fds=False,  # some launchers talk to their ranks through descriptors
        ) as process:
            os.close(writer)
            try:
                yield from self._heard(reader, process)
                reason = self._reason(process)
            finally:
                process.kill()
                os.close(reader)
        if reason:
            self.state = WRONG
            stage = self._stage
            self.broken_off = wrong(stage.name, f"{reason} while {stage.doing}", stage.remedy)
            yield self.broken_off

    def wait_for_signal(self, limit_s: float) -> None:
        """Return when SIGTERM or SIGINT has come, or after ``limit_s`` seconds."""
        until = time.monotonic() + limit_s
        while self._signal is None and time.monotonic() < until:
            time.sleep(_LOOK_S)

    def _heard(self, reader: int, process: subprocess.Popen[bytes]) -> Iterator[Finding]:
        """Yield what is told, until there is no more or the limit has passed."""
        rest, until = b"", time.monotonic() + self._patience_s
        while time.monotonic() < until:
            # asked before the look, so that all it wrote is there
            is_over = self._signal is not None or process.poll() is not None
            if not select.select([reader], [], [], 0 if is_over else _LOOK_S)[0]:
                if is_over:
                    return
                continue
            data = os.read(reader, _READ_BYTES)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from filter(None, map(self._take, lines))
            until = time.monotonic() + self._patience_s
        self._is_silent = True

    @property
    def _patience_s(self) -> float:
        return min(self._limit_s, END_LIMIT_S) if self._has_ended else self._limit_s

    def _take(self, line: bytes) -> Finding | None:
        message = parsed(line.decode())
        if isinstance(message, Finding):
            return message
        if isinstance(message, Stage):
            self._stage = message
            self.has_met |= message.name == MEETING
        else:
            self.state, self._has_ended = message.state, True
        return None

    def _reason(self, process: subprocess.Popen[bytes]) -> str:
        """Return how the examination broke off, "" when it did not."""
        if self._signal is not None:
            if self._has_ended:  # another rank has gone already
                return ""
            name = signal.Signals(self._signal).name
            return f"was ended by {name} (launchers do so when another rank has failed)"
        if self._is_silent:
            return f"gave no sign for {self._patience_s:g} s"
        code = process.wait()  # it has closed its end
        if code < 0:
            return f"died of {signal.Signals(-code).name}"
        return "" if code == 0 and self._has_ended else f"ended with exit code {code}"
