"""Ending a job of MPICH's launcher, Hydra, from a rank that has not started MPI.

Other launchers end the job when a rank ends with an exit code. Hydra waits until all have ended,
unless the rank had started MPI: those that are starting it would wait for this one.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from contextlib import suppress

from mpitrain.core.errors import FAILED

LAST_WORDS_S = 0.2  # for the launcher to pass on what was written before
_MARK = "HYDI_CONTROL_FD"  # Hydra alone sets it; Slurm's PMI has another protocol
_DESCRIPTOR = "PMI_FD"


def end_hydra_job(environ: Mapping[str, str]) -> None:
    """End all ranks with exit code 1, where Hydra started this one; else do nothing.

    Args:
        environ: usually ``os.environ``; names the socket to the launcher.

    Source: the wire protocol of PMI-1, command ``abort``.
    """
    named = environ.get(_DESCRIPTOR, "")
    if _MARK not in environ or not named.isdecimal():
        return
    time.sleep(LAST_WORDS_S)
    with suppress(OSError):  # a program in between has closed it
        if stat.S_ISSOCK(os.fstat(int(named)).st_mode):
            os.write(int(named), f"cmd=abort exitcode={FAILED}\n".encode())
