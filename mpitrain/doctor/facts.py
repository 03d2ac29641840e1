"""Gathers facts of this process and this host; loads no MPI."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpitrain import environment
from mpitrain.core.errors import UserError
from mpitrain.doctor.cores import CoreFacts
from mpitrain.doctor.files import FolderFacts, existing_folder, file_system
from mpitrain.doctor.launchers import LauncherFacts
from mpitrain.doctor.shared_memory import MemoryFacts
from mpitrain.mpiexec import find_mpiexec, first_on_path, version_text
from mpitrain.storage.swmr_trial import try_single_writer


@dataclass(frozen=True, kw_only=True)
class RankFacts:
    """What every rank tells of itself.

    Attributes:
        cores: what it computes on.
        versions: of its software, and its processor, by name.
    """

    cores: CoreFacts
    versions: Mapping[str, str]


def rank_facts() -> RankFacts:
    """Look at this process."""
    versions = environment.facts()
    cores = CoreFacts(
        host=socket.gethostname(),
        cores=frozenset(os.sched_getaffinity(0)),
        num_cores=os.cpu_count() or 1,
        blas_threads=versions.pop("blas_threads"),
    )
    return RankFacts(cores=cores, versions=versions)


def launcher_facts(environ: Mapping[str, str]) -> LauncherFacts:
    """Look for programs that start ranks."""
    chosen, error, chosen_version = None, "", ""
    try:
        found = find_mpiexec(environ)
        chosen = (found.kind, str(found.path))
        chosen_version = version_text(chosen[1], environ)
    except UserError as mistake:
        error = str(mistake)
    first = first_on_path(environ)
    path = environ.get("PATH", os.defpath)
    return LauncherFacts(
        chosen=chosen,
        error=error,
        chosen_version=chosen_version,
        first=first,
        first_version=version_text(first, environ) if first else "",
        has_srun=shutil.which("srun", path=path) is not None,
    )


def memory_facts(folder: str) -> MemoryFacts | None:
    """Look at this host's shared memory; None where there is none."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return MemoryFacts(
        folder=folder,
        size_bytes=found.f_blocks * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
    )


def folder_facts(path: Path) -> FolderFacts:
    """Try the place of the logs on this host."""
    folder = existing_folder(path).resolve()
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        mounts = ""
    return FolderFacts(
        path=str(folder),
        file_system=file_system(folder, mounts),
        trial=try_single_writer(folder),
    )


def interpreter() -> tuple[str, str]:
    """Return version and path of the interpreter."""
    return ".".join(map(str, sys.version_info[:3])), sys.executable
