"""Judges whether the run's window fits into each host's shared memory.

Open MPI raises an error when it does not; MPICH dies by a bus error. So it is judged before
anything large is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpitrain.doctor.finding import Finding, ok, warning, wrong
from mpitrain.doctor.wording import size_text
from mpitrain.mpiexec import OPENMPI

FOLDER = "/dev/shm"
SMALL_BYTES = 64 << 20  # what container engines give when they are not asked
MARGIN_BYTES = 2 << 20  # per rank: what MPI keeps beside the window
_BACKING = "OMPI_MCA_osc_sm_backing_directory"


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


def backing_folder(environ: Mapping[str, str]) -> str:
    """Return where the MPI library keeps shared memory; Open MPI can be told."""
    return environ.get(_BACKING) or FOLDER


def judge_memory(
    hosts: Mapping[str, MemoryFacts | None], needed: Mapping[str, int], kind: str | None
) -> list[Finding]:
    """Judge the shared memory of every host; findings of the first and of those that are short.

    Args:
        hosts: what each has; None where nothing can be found out.
        needed: window bytes of the run on each host, all its ranks; empty without a run file.
        kind: which MPI is loaded.
    """
    found = [_judge(host, facts, needed.get(host), kind) for host, facts in hosts.items()]
    bad = [finding for finding in found if finding.remedy]
    return bad or found[:1]


def fits(facts: MemoryFacts | None, num_bytes: int) -> bool:
    """Tell whether a window of ``num_bytes`` on one host fits, as far as can be known."""
    return facts is None or num_bytes <= facts.free_bytes


def _judge(host: str, facts: MemoryFacts | None, needed: int | None, kind: str | None) -> Finding:
    name = "shared memory"
    if facts is None:
        remedy = f"mount a tmpfs on {FOLDER}: windows between ranks of a host live there"
        return wrong(name, f"{FOLDER} of {host} cannot be read", remedy)
    free = f"{size_text(facts.free_bytes)} of {size_text(facts.size_bytes)} free"
    value = f"{facts.folder} of {host}: {free}"
    remedy = _remedy(facts.folder, needed, kind)
    if needed is None:
        if facts.free_bytes <= SMALL_BYTES:
            most = max(0, facts.free_bytes - MARGIN_BYTES) // 4
            return warning(name, f"{value}, for about {most:,} float32 parameters", remedy)
        return ok(name, value)
    if not needed:
        return ok(name, f"{value}; the run needs no window (bsp)")
    value = f"{value}, the run's window needs {size_text(needed)}"
    if not fits(facts, needed):
        return wrong(name, value, remedy)
    return ok(name, value)


def _remedy(folder: str, needed: int | None, kind: str | None) -> str:
    ask = size_text(needed) if needed else "1 GiB"
    words = [
        f"mount it larger (root: mount -o remount,size=50% {folder}; "
        f"docker: --shm-size, more than {ask})"
    ]
    if kind == OPENMPI:
        words.append(f"set {_BACKING}=/tmp and OMPI_MCA_osc_rdma_backing_directory=/tmp")
    if needed:
        words.append("use mode.kind=bsp, which needs no window")
    return ", or ".join(words)


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
