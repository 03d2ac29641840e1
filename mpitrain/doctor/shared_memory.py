"""Judges whether the run's window fits into each host's shared memory.

Open MPI raises an error when it does not; MPICH dies by a bus error. So it is judged before
anything large is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpitrain.core.console import size_text
from mpitrain.doctor.finding import Finding, ok, warning, wrong
from mpitrain.mpiexec import OPENMPI
from mpitrain.segments import BACKING, FOLDER

_NAME = "shared memory"
SMALL_BYTES = 64 << 20  # what container engines give when they are not asked
START_BYTES = 8 << 20  # with less MPI libraries die while they start
MARGIN_BYTES = 64 << 10  # per rank: what MPI keeps beside the window, ten times what was measured


@dataclass(frozen=True, kw_only=True)
class MemoryFacts:
    """The file system that window memory comes from.

    Attributes:
        folder: where it is mounted, usually /dev/shm.
        size_bytes: its size.
        free_bytes: what is free.
    """

    folder: str
    size_bytes: int
    free_bytes: int


def judge_memory(
    hosts: Mapping[str, MemoryFacts | None],
    needed: Mapping[str, int],
    kind: str | None,
    num_ranks: int,
) -> list[Finding]:
    """Judge the shared memory of every host; findings of the first and of those that are short.

    Args:
        hosts: what each has; None where nothing can be found out.
        needed: window bytes of the run on each host, all its ranks; empty without a run file.
        kind: which MPI is loaded.
        num_ranks: of MPI; a lone rank has its window elsewhere, so that nothing is wrong yet.
    """
    found = [
        _judge(host, facts, needed.get(host), kind, num_ranks) for host, facts in hosts.items()
    ]
    bad = [finding for finding in found if finding.remedy]
    return bad or found[:1]


def judge_start(host: str, facts: MemoryFacts | None) -> list[Finding]:
    """Judge whether MPI can be started without harm; no finding when it can."""
    if facts is None or fits(facts, START_BYTES):
        return []
    value = f"{_room(host, facts)}, too little to try MPI ({size_text(START_BYTES)})"
    return [wrong(_NAME, value, _mount(facts.folder, START_BYTES))]


def fits(facts: MemoryFacts | None, num_bytes: int) -> bool:
    """Tell whether a window of ``num_bytes`` on one host fits, as far as can be known."""
    return facts is None or num_bytes <= facts.free_bytes


def _judge(
    host: str, facts: MemoryFacts | None, needed: int | None, kind: str | None, num_ranks: int
) -> Finding:
    if facts is None:
        remedy = f"mount a tmpfs on {FOLDER}: windows between ranks of a host live there"
        return wrong(_NAME, f"{FOLDER} of {host} cannot be read", remedy)
    value = _room(host, facts)
    if needed is None:
        if facts.free_bytes > SMALL_BYTES:
            return ok(_NAME, value)
        most = max(0, facts.free_bytes - MARGIN_BYTES) / 4e6
        remedy = _mount(facts.folder, SMALL_BYTES)
        return warning(_NAME, f"{value}, for about {most:.3g} million float32 parameters", remedy)
    if not needed:
        return ok(_NAME, f"{value}; the run needs no window (bsp)")
    value = f"{value}, the run's window needs {size_text(needed)}"
    if fits(facts, needed):
        return ok(_NAME, value)
    remedies = [_mount(facts.folder, needed)]
    if kind == OPENMPI:
        remedies.append(f"set {BACKING}=/tmp")
    remedies.append("use mode.kind=bsp, which needs no window")
    bad = wrong if num_ranks > 1 else warning
    return bad(_NAME, value, ", or ".join(remedies))


def _room(host: str, facts: MemoryFacts) -> str:
    free, size = size_text(facts.free_bytes), size_text(facts.size_bytes)
    return f"{facts.folder} of {host}: {free} of {size} free"


def _mount(folder: str, needed: int) -> str:
    return (
        f"mount it larger (root: mount -o remount,size=50% {folder}; "
        f"docker: --shm-size, more than {size_text(needed)})"
    )


def host_sums(hosts: Sequence[str], per_rank: Sequence[int]) -> dict[str, int]:
    """Return the bytes that the ranks of each host allocate, with MPI's own beside them.

    Args:
        hosts: of each rank.
        per_rank: bytes of each rank; all 0 when there is no window.
    """
    sums = dict.fromkeys(hosts, 0)
    for host, num_bytes in zip(hosts, per_rank, strict=True):
        sums[host] += num_bytes + MARGIN_BYTES if num_bytes else 0
    return sums
