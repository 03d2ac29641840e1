"""Shared memory that MPI libraries keep under a name, and that stays when a job ends badly.

Open MPI's launcher removes what its ranks leave, whatever ends them. MPICH from 5.0 on keeps one
file per host (``mpich_shm_*``) under its name for the whole job, and nobody removes it after an
abort or a kill; older ones unlink theirs at once. A name is needed only until all have mapped it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mpitrain.launch_environment import RANK_VARIABLES
from mpitrain.mpiexec import OPENMPI

FOLDER = "/dev/shm"  # where POSIX shared memory is on Linux
# names that MPI libraries, and no one else, give
_OWN = re.compile(r"(mpich_sh(m|ar)_|sm_segment\.|osc_(sm|rdma)\.|vader_segment\.|ucx_shm_)[\w.-]+")
BACKING = "OMPI_MCA_osc_sm_backing_directory"
_EARLY = re.compile(r"mpich_sh(m|ar)_\w+")


def backing_folder(kind: str | None, environ: Mapping[str, str]) -> str:
    """Return where an MPI library keeps windows between ranks of a host; Open MPI can be told."""
    return (environ.get(BACKING) if kind == OPENMPI else "") or FOLDER


def free_bytes(folder: str) -> int:
    """Return what is free there; 0 where there is no such folder."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def mapped_paths(pid: int | str = "self") -> set[Path]:
    """Return the files that a process has mapped and that still have their names."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").split("\n")
    except OSError:
        return set()
    places = {line.partition("/")[2] for line in lines}
    return {Path(f"/{place}") for place in places if place and not place.endswith(" (deleted)")}


def mapped_segments(pid: int | str = "self") -> set[Path]:
    """Return the MPI library's named shared memory among them."""
    return {path for path in mapped_paths(pid) if is_segment(path)}


def is_segment(path: Path) -> bool:
    """Tell whether a file is shared memory that an MPI library named."""
    return str(path.parent) == FOLDER and _OWN.fullmatch(path.name) is not None


def unlink_segments() -> list[Path]:
    """Take away the names of MPICH's shared memory in this process; the memory stays while used.

    Call it when every rank has left ``MPI_Init``, on every rank or one per host. Open MPI maps the
    memory of other ranks by name later on, so its names are left alone; but a process that no
    launcher started has no other ranks, and Open MPI would leave its memory behind.

    Returns:
        what this process unlinked.
    """
    is_alone = not any(name in os.environ for name in RANK_VARIABLES)
    found = [path for path in mapped_segments() if is_alone or _EARLY.fullmatch(path.name)]
    return [path for path in sorted(found) if unlink_own(path)]


def unlink_own(path: Path) -> bool:
    """Unlink a file of this user's; return whether it was there."""
    with suppress(OSError):
        if path.lstat().st_uid == os.geteuid():
            path.unlink()
            return True
    return False
