"""Starting ranks: find ``mpiexec``, set what it needs, pass on signals, keep the exit code.

This process loads no MPI. ``mpiexec`` runs in a process group of its own, so that Ctrl-C reaches
this process alone, which decides what the ranks get to see.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from mpitrain.config import load
from mpitrain.core.errors import UserError
from mpitrain.launch_environment import TERMINAL_VARIABLE, launcher_defaults
from mpitrain.mpiexec import TITLES, Mpiexec, find_mpiexec

PACKAGE_COMMANDS = ("bench", "train")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
NUM_POLITE = 2  # signals passed on as such; from the next one on the ranks are killed


def launch(options: argparse.Namespace) -> int:
    """Start ranks and wait for them; return the exit code of ``mpiexec``.

    Args:
        options: ``ranks`` (None takes one per core), ``mpi``, ``dry_run`` and ``command``.

    Raises:
        UserError: the command or the configuration is not valid, or there is no launcher.
    """
    program = program_of(options.command)
    environ = dict(os.environ)
    mpiexec = find_mpiexec(environ)
    if options.mpi not in ("auto", mpiexec.kind):
        msg = (
            f"--mpi {options.mpi}: the MPI library of {sys.executable} is {TITLES[mpiexec.kind]}; "
            f"use the Python of an environment with {TITLES[options.mpi]}"
        )
        raise UserError(msg)
    launcher_defaults(environ, is_root=os.geteuid() == 0)
    tell_terminal(environ)
    num_ranks = options.ranks or len(os.sched_getaffinity(0))
    command = [*mpiexec.command(num_ranks), *program]
    if options.dry_run:
        sys.stdout.write(described(command, environ) + "\n")
        return 0
    return _Job(mpiexec).run(command, environ)


def program_of(words: Sequence[str]) -> list[str]:
    """Return what each rank runs, checked before anything is started.

    Args:
        words: ``train RUN.toml key=value ...``, ``bench NAME`` or ``script.py arguments ...``.

    Raises:
        UserError: neither of the two, or a mistake in the configuration.
    """
    first, *others = words or [""]
    if first in PACKAGE_COMMANDS:
        if first == "train":
            load(*train_words(others))
        return [sys.executable, "-m", "mpitrain", first, *others]
    if first.endswith(".py"):
        if not Path(first).is_file():
            msg = f"there is no script {first}"
            raise UserError(msg)
        # an exception on one rank must end all of them: mpi4py's runner sees to that
        return [sys.executable, "-m", "mpi4py", first, *others]
    got = f"got '{first}'" if first else "got nothing"
    msg = f"launch needs train [RUN.toml] [key=value ...], bench NAME or a script.py, {got}"
    raise UserError(msg)


def train_words(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split the words after ``train`` into the run file, if there is one, and overrides."""
    if words and (words[0].endswith(".toml") or "=" not in words[0]):
        return words[0], list(words[1:])
    return None, list(words)


def tell_terminal(environ: MutableMapping[str, str]) -> None:
    """Pass on the size of the terminal; ranks see pipes or terminals of size 0."""
    if sys.stderr.isatty():
        with suppress(OSError):
            size = os.get_terminal_size(sys.stderr.fileno())
            environ.setdefault(TERMINAL_VARIABLE, f"{size.columns}x{size.lines}")


def described(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return a shell line that does the same as starting ``command`` in ``environ``."""
    new = {name: value for name, value in environ.items() if os.environ.get(name) != value}
    settings = [f"{name}={shlex.quote(value)}" for name, value in new.items()]
    return " ".join([*settings, shlex.join(command)])


class _Job:
    """One running ``mpiexec``, to which the signals of this process are passed on."""

    def __init__(self, mpiexec: Mpiexec) -> None:
        self._mpiexec = mpiexec
        self._process: subprocess.Popen[bytes] | None = None
        self._received: list[int] = []

    def run(self, command: list[str], environ: Mapping[str, str]) -> int:
        """Start, wait, and return the exit code."""
        # under nohup a lost terminal stays ignored
        heard = [n for n in SIGNALS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._pass_on) for number in heard}
        try:
            self._start(command, environ)
            return self._wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self, command: list[str], environ: Mapping[str, str]) -> None:
        # a process outside the terminal's group is stopped when it reads from the terminal
        stdin = subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None
        try:
            self._process = subprocess.Popen(
                command, env=dict(environ), stdin=stdin, preexec_fn=_in_own_group
            )
        except OSError as error:
            msg = f"cannot start {command[0]}: {(error.strerror or str(error)).lower()}"
            raise UserError(msg) from error
        for number in self._received:  # came while it was being started
            self._send(number)

    def _wait(self) -> int:
        assert self._process is not None
        code = self._process.wait()
        return 128 - code if code < 0 else code

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)
        if self._process is not None:
            self._send(number)

    def _send(self, number: int) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            if len(self._received) > NUM_POLITE:
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.send_signal(_passed_on_as(number))


def _in_own_group() -> None:
    """Leave the terminal's group, and end when the launcher is killed; runs in the child."""
    os.setpgid(0, 0)
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _passed_on_as(number: int) -> int:
    """Return the signal that ``mpiexec`` gets: the same, but a lost terminal means TERM."""
    return signal.SIGTERM if number == signal.SIGHUP else number
