"""Ranks whose ``mpiexec`` is gone: end them, and remove the shared memory that they leave.

A launcher that ends by itself ends its ranks first. One that is killed cannot. So this process
takes in the orphans of its descendants (a "subreaper"), and knows those of its job by a variable in
their environment. Ranks on other hosts are out of reach.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from mpitrain.segments import is_segment, mapped_paths, unlink_own

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GRACE_S = 1.0  # mpiexec may be gone a moment before the last of what it ends
LIMIT_S = 5.0


def take_in_orphans(*, is_wanted: bool = True) -> None:
    """Become the parent of descendants that lose theirs, or cease to."""
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_wanted), 0, 0, 0)


def end_orphans(mark: str, mpiexec_pid: int) -> list[int]:
    """Kill the job's processes that this process took in, and remove their shared memory.

    Args:
        mark: "NAME=value" in the environment of every process of the job.
        mpiexec_pid: process of the launcher, after which Open MPI names its folder.

    Returns:
        the processes that were ended.
    """
    began = time.monotonic()
    known: set[int] = set()
    ended: set[int] = set()
    mapped: set[Path] = set()
    # one that is dying loses its environment before its files and locks: remember it
    while known := _still_ours(known | {pid for pid in _children() if _has_mark(pid, mark)}):
        passed_s = time.monotonic() - began
        if passed_s > LIMIT_S:
            break
        for pid in known - ended if passed_s > GRACE_S else ():
            mapped |= mapped_paths(pid)
            os.kill(pid, signal.SIGKILL)  # the number is not used again before it is reaped
            ended.add(pid)
        time.sleep(0.02)
    _remove(mapped, mpiexec_pid)
    return sorted(ended)


def _still_ours(pids: set[int]) -> set[int]:
    """Reap those of ``pids`` that are dead; return the others."""
    left = set()
    for pid in pids:
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                left.add(pid)
    return left


def _remove(mapped: set[Path], mpiexec_pid: int) -> None:
    for path in mapped:
        if is_segment(path):
            unlink_own(path)
    for folder in {_session_folder(path, mpiexec_pid) for path in mapped} - {None}:
        assert folder is not None
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink():
                shutil.rmtree(folder)


def _session_folder(path: Path, mpiexec_pid: int) -> Path | None:
    """Return Open MPI's folder of the job that ``path`` is in, None when it is in none."""
    name = f"ompi.{mpiexec_pid}"
    return next((parent for parent in path.parents if parent.name == name), None)


def _children() -> list[int]:
    own = os.getpid()
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if _parent(pid) == own]


def _parent(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(text.rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return -1


def _has_mark(pid: int, mark: str) -> bool:
    try:
        return os.fsencode(mark) in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
