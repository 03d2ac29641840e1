"""Judges whether a directory can hold staleness logs, which are read while they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpitrain.doctor.finding import Finding, ok, warning, wrong

# no network file system, or one that keeps the order of writes between hosts, as HDF5 needs it
_ORDERED = ("gpfs", "lustre")
_NETWORK = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "ncpfs"),
    *("nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs", "wekafs"),
)
_LOCAL = "log.directory=FOLDER on a disk of the node itself (/tmp, /scratch) keeps logs there"


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """A folder that logs are to be in.

    Attributes:
        path: the folder, or the one in which it will be made.
        file_system: its type, for example "ext4" or "nfs4"; empty when unknown.
        error: why HDF5's single-writer mode failed there; empty when it worked.
    """

    path: str
    file_system: str
    error: str


def existing_folder(path: Path) -> Path:
    """Return the nearest folder above ``path``, or ``path`` itself, that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that ``path`` is on.

    Args:
        path: absolute, without symbolic links.
        mounts: contents of ``/proc/mounts``; of two mounts on one point the later counts.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].encode("latin-1", "replace").decode("unicode_escape")  # \\040 is a space
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind


def judge_folder(facts: FolderFacts, host: str) -> Finding:
    """Judge a folder for logs, as seen from ``host``."""
    name = "log directory"
    value = f"{facts.path} of {host} ({facts.file_system or 'unknown file system'})"
    if facts.error:
        remedy = f"choose a run.directory that can be written, or {_LOCAL}"
        return wrong(name, f"{value}: HDF5's single-writer mode fails: {facts.error}", remedy)
    if facts.file_system in _NETWORK:
        return warning(
            name, f"{value}: HDF5 does not promise its single-writer mode on network files", _LOCAL
        )
    return ok(name, f"{value}: HDF5's single-writer mode works")
