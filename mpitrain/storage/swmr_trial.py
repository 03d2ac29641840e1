"""Trying HDF5's single-writer mode for real, in processes of its own.

A file system that hangs or kills them harms nobody else, and neither does an HDF5 that cannot be
loaded: this module does without it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class SingleWriter:
    """How a trial went.

    Attributes:
        hdf5: versions of HDF5 and h5py; empty when they cannot be loaded.
        error: what went wrong, in one line; empty when nothing did.
    """

    hdf5: str = ""
    error: str = ""


def try_single_writer(folder: Path) -> SingleWriter:
    """Read a log in ``folder`` while it is written; what is written is removed again.

    Collective: no.
    """
    command = [sys.executable, "-m", "mpitrain.storage.swmr_reader", str(folder)]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        told = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout
        return SingleWriter(hdf5=_first_line(told), error=f"no answer within {LIMIT_S:g} s")
    hdf5, _, answer = ended.stdout.partition("\n")
    try:
        return SingleWriter(hdf5=hdf5, error=json.loads(answer))
    except ValueError:
        last = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}"]
        return SingleWriter(hdf5=hdf5, error=last[0])


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0]
