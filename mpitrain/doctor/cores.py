"""Judges cores, binding and the threads of BLAS, host by host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpitrain.core.console import counted
from mpitrain.doctor.finding import Finding, ok, warning

_UNBIND = (
    "start ranks with 'python -m mpitrain launch', mpiexec --bind-to none or srun --cpu-bind=none, "
    "without taskset"
)


@dataclass(frozen=True, kw_only=True)
class CoreFacts:
    """What one rank may compute on.

    Attributes:
        host: name of its host.
        cores: numbers of the cores that it may run on.
        num_cores: cores of the host.
        blas_threads: threads that its BLAS uses, as text; "unknown" when it does not say.
    """

    host: str
    cores: frozenset[int]
    num_cores: int
    blas_threads: str


def judge_cores(ranks: Sequence[CoreFacts]) -> Finding:
    """Judge how the ranks of each host share its cores; one finding, of the first host in trouble.

    Args:
        ranks: of all ranks.
    """
    found = [_judge_host(host, mine) for host, mine in by_host(ranks).items()]
    bad = [finding for finding in found if finding.remedy]
    return bad[0] if bad else found[0]


def _judge_host(host: str, ranks: Sequence[CoreFacts]) -> Finding:
    num, total = len(ranks), ranks[0].num_cores
    usable = frozenset().union(*(rank.cores for rank in ranks))
    if num > 1 and len(usable) == 1 and total > 1:
        (core,) = usable
        value = f"all {num} ranks of {host} are bound to core {core} of {total}"
        return warning("cores", value, _UNBIND)
    value = f"{counted(num, 'rank')} on {counted(len(usable), 'core')} of {host}"
    if len(usable) < total:
        value += f", which has {total}"
    is_bound = num > 1 and all(len(rank.cores) == 1 for rank in ranks)
    if num > len(usable):
        fewer = f"start at most {len(usable)} ranks per host; more work, but wait for each other"
        remedy = _UNBIND if is_bound and len(usable) < total else fewer
        return warning("cores", value, remedy)
    if is_bound:
        value += ", each bound to its own"
    return ok("cores", value)


def judge_blas(ranks: Sequence[CoreFacts], blas: str) -> Finding:
    """Judge the threads that BLAS uses on each rank.

    Args:
        ranks: of all ranks.
        blas: name and version of rank 0's.
    """
    many = [(rank, facts) for rank, facts in enumerate(ranks) if facts.blas_threads != "1"]
    if not many:
        return ok("blas", f"{blas}, 1 thread")
    rank, facts = many[0]
    if facts.blas_threads == "unknown":
        remedy = "set OMP_NUM_THREADS=1 and look at the load: a run is repeatable with one only"
        return warning("blas", f"{blas}, unknown number of threads", remedy)
    where = f" on rank {rank} of {len(ranks)}, {facts.host}" if len(ranks) > 1 else ""
    value = f"{blas}, {facts.blas_threads} threads{where}"
    remedy = (
        "set OPENBLAS_NUM_THREADS, MKL_NUM_THREADS and OMP_NUM_THREADS to 1: ranks share the "
        "cores, and a run is bit-identical with one thread only"
    )
    return warning("blas", value, remedy)


def by_host(ranks: Sequence[CoreFacts]) -> dict[str, list[CoreFacts]]:
    """Return the ranks of each host, hosts in the order of their first rank."""
    hosts: dict[str, list[CoreFacts]] = {}
    for facts in ranks:
        hosts.setdefault(facts.host, []).append(facts)
    return hosts
