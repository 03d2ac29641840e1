"""Judges whether the ranks that were started are one job, and what their threads may do."""

from __future__ import annotations

from mpitrain.core.console import counted
from mpitrain.doctor.finding import Finding, ok, warning, wrong
from mpitrain.mpiexec import lonely
from mpitrain.slurm import Slurm


def judge_ranks(size: int, expected: tuple[str, int] | None, kind: str | None) -> Finding:
    """Judge whether MPI has as many ranks as were started.

    Args:
        size: of MPI.
        expected: see ``launch_environment.expected_size``.
        kind: which MPI is loaded.
    """
    value = counted(size, "rank")
    if expected is None or expected[1] == size:
        hint = "; launch -n 4 doctor looks at more" if size == 1 else ""
        return ok("ranks", value + hint)
    who, number = expected
    if size == 1:
        return wrong("ranks", *lonely(expected, kind))
    return warning(
        "ranks", f"{value}, but {who} counts {number}", f"start all {number}, or ask for {size}"
    )


def judge_slurm(job: Slurm | None) -> list[Finding]:
    """Say which Slurm job this is, if any."""
    if job is None:
        return []
    tasks = "tasks unknown" if job.num_tasks is None else counted(job.num_tasks, "task")
    return [ok("slurm", f"job {job.job_id}, {tasks}" + (f" on {job.nodes}" if job.nodes else ""))]


def judge_threads(level: str) -> Finding:
    """Judge the thread level that MPI was started with."""
    if level == "multiple":
        return ok("thread level", level)
    remedy = (
        "without it no thread can help a busy rank along: unset MPI4PY_RC_THREAD_LEVEL, or use "
        "an MPI library built with MPI_THREAD_MULTIPLE"
    )
    return warning("thread level", level, remedy)
