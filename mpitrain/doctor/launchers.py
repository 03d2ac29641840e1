"""Judges whether ``mpiexec`` belongs to the MPI library that mpi4py loads."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mpitrain.doctor.finding import Finding, ok, warning, wrong
from mpitrain.mpiexec import MPICH, TITLES, kind_of_version


@dataclass(frozen=True, kw_only=True)
class LauncherFacts:
    """The programs that could start ranks.

    Attributes:
        chosen: kind and path of the one that ``launch`` takes; None when it finds none.
        error: why it finds none.
        chosen_version: what that one says of its version.
        first: path of the first mpiexec on PATH; empty when there is none.
        first_version: what that one says of its version.
        has_srun: whether srun is on PATH.
    """

    chosen: tuple[str, str] | None
    error: str = ""
    chosen_version: str = ""
    first: str = ""
    first_version: str = ""
    has_srun: bool = False


def judge_launchers(facts: LauncherFacts) -> list[Finding]:
    """Judge the launcher that ``launch`` takes, and the first mpiexec on PATH."""
    if facts.chosen is None:
        bad = warning if facts.has_srun else wrong
        also = "; srun is on PATH: srun --mpi=pmix or --mpi=pmi2" if facts.has_srun else ""
        problem, _, remedy = facts.error.partition("; ")
        return [bad("mpiexec", problem, (remedy or "install an MPI library") + also)]
    kind, path = facts.chosen
    return [ok("mpiexec", f"{path} ({TITLES[kind]})"), _judge_first(facts, kind, path)]


def _judge_first(facts: LauncherFacts, kind: str, path: str) -> Finding:
    name = "mpiexec on PATH"
    if not facts.first:
        return ok(name, "none; launch finds its own")
    first_kind = kind_of_version(facts.first_version)
    title = TITLES.get(first_kind or "", "an unknown MPI")
    major, needed = _major(facts.first_version), _major(facts.chosen_version)
    if first_kind == kind and (kind == MPICH or major == needed):  # Hydra starts any MPICH
        return ok(name, f"{facts.first} ({title})")
    loaded = TITLES[kind]
    if first_kind == kind:
        title, loaded = f"{title} {major}", f"{loaded} {needed}"
    value = f"{facts.first} is of {title}, but mpi4py loads {loaded}"
    folder = path.rpartition("/")[0] or "/"
    remedy = f"start ranks with 'python -m mpitrain launch', or put {folder} first on PATH"
    return warning(name, f"{value}: ranks that it starts do not know each other", remedy)


def _major(version: str) -> str:
    found = re.search(r"(\d+)\.\d+", version)
    return found[1] if found else "unknown"


def judge_library(library: str, kind: str | None, chosen: tuple[str, str] | None) -> Finding:
    """Judge whether the MPI library that was really loaded is the launcher's.

    Args:
        library: its name and version.
        kind: which MPI that is; None for another than those known.
        chosen: kind and path of the launcher; None without one.
    """
    if chosen is not None and kind != chosen[0]:
        remedy = f"unset MPI4PY_LIBMPI and LD_LIBRARY_PATH, or use the mpiexec of {library}"
        return wrong("mpi library", f"{library} is loaded, but {chosen[1]} is not of it", remedy)
    if kind is None:
        remedy = "Open MPI and MPICH are tested; with another look at the windows below"
        return warning("mpi library", f"{library} is not one that mpitrain is tested with", remedy)
    return ok("mpi library", library)
