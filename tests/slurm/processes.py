"""Daemons that end with the process that started them, and ports of their own."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.slurm.needs import PATH

PORTS = range(15000, 32000, 32)  # first ports; Linux gives out higher ones by itself


def start(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a daemon in the foreground of a session of its own.

    The kernel kills it when the calling thread ends, however it ends. A command that is run by
    ``unshare --fork --kill-child`` is process 1 of a namespace, with which all in it are killed.

    Args:
        words: the command.
        log: its output is added to this file.
    """
    with log.open("ab") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words],
            env={"PATH": PATH, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(daemon: subprocess.Popen[bytes]) -> None:
    """Kill a daemon and, when it is ``unshare``, all of its namespace; return when they are gone.

    The end of a namespace's process 1 is only reported when nothing else is left in it.
    """
    if daemon.poll() is None:
        for pid in _children(daemon.pid) or [daemon.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    daemon.wait()


def claim_ports(number: int) -> tuple[socket.socket, int]:
    """Return a claim, valid until it is closed or this process ends, and the first port.

    Others that ask here, from whatever process, get other ports.
    """
    for first in random.sample(PORTS, len(PORTS)):
        claim = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            claim.bind(f"\0mpitrain-test-slurm-{first}")  # a name without a file
            if all(_is_free(first + k) for k in range(number)):
                return claim, first
        claim.close()
    message = f"no {number} free ports between {PORTS.start} and {PORTS.stop}"
    raise OSError(message)


def is_listening(port: int) -> bool:
    """Tell whether somebody accepts connections at a port of this machine."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("", port))
        except OSError:
            return False
    return True


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
