"""Judges whether the ranks that were started are one job, and what their threads may do."""

from __future__ import annotations

from collections.abc import Mapping

from mpitrain.core.console import counted
from mpitrain.doctor.finding import Finding, ok, warning, wrong
from mpitrain.mpiexec import SRUN_MPI
from mpitrain.slurm import Slurm

_SIZES = (  # what launchers call the number of processes that they started
    ("mpiexec of Open MPI", "OMPI_COMM_WORLD_SIZE"),
    ("mpiexec of MPICH, or srun --mpi=pmi2,", "PMI_SIZE"),
    ("Slurm", "SLURM_STEP_NUM_TASKS"),
    ("Slurm", "SLURM_NTASKS"),
)


def expected_size(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return who started this process and how many with it, None when nobody says."""
    for who, name in _SIZES:
        text = environ.get(name, "")
        if text.isascii() and text.isdecimal() and len(text) < 10:
            return who, int(text)
    return None


def judge_ranks(size: int, expected: tuple[str, int] | None, kind: str | None) -> Finding:
    """Judge whether MPI has as many ranks as were started.

    Args:
        size: of MPI.
        expected: see ``expected_size``.
        kind: which MPI is loaded.
    """
    value = counted(size, "rank")
    if expected is None or expected[1] == size:
        hint = "; launch -n 4 doctor looks at more" if size == 1 else ""
        return ok("ranks", value + hint)
    who, number = expected
    if size == 1:
        srun = f"srun --mpi={SRUN_MPI.get(kind or '', 'TYPE')}"
        remedy = f"start them with {srun} under Slurm, else with 'python -m mpitrain launch'"
        return wrong(
            "ranks",
            f"MPI knows 1 rank, but {who} counts {number}: each would train alone, as if it were "
            "the whole job",
            remedy,
        )
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
