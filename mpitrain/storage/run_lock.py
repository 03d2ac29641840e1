"""A lock on a run directory, so that two jobs never write one run at the same time.

The lock is the kernel's (flock) and ends with the process that holds it, however that ends. Where a
file system has no locks, there is none.
"""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path

from mpitrain.core.errors import UserError, reason

NAME = ".lock"
WRITABLE = "make it writable, or take a copy of it"


class RunLock:
    """The lock on one run directory, held until closed."""

    def __init__(self, root: Path, remedy: str = WRITABLE) -> None:
        """Take the lock.

        Args:
            root: the run directory.
            remedy: what to do where that cannot be written.

        Raises:
            UserError: a running job holds it; names that job. Or the directory cannot be written.

        Collective: no.
        """
        path = root / NAME
        try:
            self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            message = f"run directory {root} cannot be written: {reason(error)}; {remedy}"
            raise UserError(message) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 200).decode(errors="replace").strip() or "another process"
            self.close()
            message = f"{root} is in use by a running job ({holder}); wait for it, or end it"
            raise UserError(message) from None
        except OSError:
            return  # no locks on this file system
        with suppress(OSError):  # a full disk
            os.ftruncate(self._file, 0)
            os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def close(self) -> None:
        """Let go; a second call does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
