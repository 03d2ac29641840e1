"""Judges whether a directory can hold staleness logs, which are read while they are written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mpitrain.doctor.finding import Finding, ok, warning, wrong
from mpitrain.storage.swmr_trial import SingleWriter

NAME = "log directory"
LOCAL = "log.directory=FOLDER on a disk of the node itself (/tmp, /scratch) keeps logs there"
# not gpfs and lustre: they keep the order of writes between hosts, which is what HDF5 needs
_NETWORK = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "ncpfs"),
    *("nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs", "wekafs"),
)


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """A folder that logs are to be in.

    Attributes:
        path: the folder, or the one in which it will be made.
        file_system: its type, for example "ext4" or "nfs4"; empty when unknown.
        trial: of HDF5's single-writer mode there.
    """

    path: str
    file_system: str
    trial: SingleWriter


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


def judge_files(facts: FolderFacts, host: str) -> list[Finding]:
    """Judge HDF5 and a folder for logs, as seen from ``host``."""
    hdf5, error = facts.trial.hdf5, facts.trial.error
    if not hdf5:
        remedy = "pip install --force-reinstall h5py"
        return [wrong("hdf5", f"cannot be loaded on {host}: {error}", remedy)]
    return [ok("hdf5", hdf5), _judge_folder(facts, host)]


def _judge_folder(facts: FolderFacts, host: str) -> Finding:
    value = f"{facts.path} of {host} ({facts.file_system or 'unknown file system'})"
    if facts.trial.error:
        value += f": HDF5's single-writer mode fails: {facts.trial.error}"
        return wrong(NAME, value, f"choose a run.directory that can be written, or {LOCAL}")
    if facts.file_system in _NETWORK:
        value += ": HDF5 does not promise its single-writer mode on network files"
        return warning(NAME, value, LOCAL)
    return ok(NAME, f"{value}: HDF5's single-writer mode works")
