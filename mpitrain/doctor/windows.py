"""Judges the trial of a real window: was it made, is it exact, is its busy owner reached."""

from __future__ import annotations

from mpitrain.comm.findings import Findings, Trial
from mpitrain.doctor.finding import Finding, ok, warning, wrong

_BSP = "mode.kind=bsp, which needs no window"


def judge_windows(trial: Trial, num_ranks: int, osc: str) -> list[Finding]:
    """Judge a trial.

    Args:
        trial: of all ranks.
        num_ranks: that took part.
        osc: value of OMPI_MCA_osc, which selects Open MPI's window components; may be empty.
    """
    if trial.window_error:
        chosen = f" (OMPI_MCA_osc={osc})" if osc else ""
        also = "unset OMPI_MCA_osc; " if osc else ""
        remedy = f"{also}use an MPI with one-sided communication, or {_BSP}"
        return [wrong("windows", f"cannot be made: {trial.window_error}{chosen}", remedy)]
    among = "on 1 rank" if num_ranks == 1 else f"among {num_ranks} ranks"
    made = ok("windows", f"made and freed {among}")
    if trial.exactness_error or trial.findings is None:
        remedy = f"use Open MPI 5 or MPICH 4.2.3, or {_BSP}"
        return [made, wrong("exactness", trial.exactness_error.partition(";")[0], remedy)]
    exact = ok("exactness", f"no torn read, no lost write {among}")
    return [made, exact, _judge_progress(trial.findings, num_ranks), _mechanism(trial.findings)]


def _judge_progress(findings: Findings, num_ranks: int) -> Finding:
    if num_ranks == 1:
        return ok("progress", "not measured with 1 rank; launch -n 4 doctor does")
    value = f"a read from a busy rank takes {findings.read_s * 1e3:.2f} ms"
    if findings.progress == "thread":
        value += f", {findings.remedied_read_s * 1e3:.2f} ms with a progress thread"
    if findings.is_blocked:
        remedy = (
            "give each rank a core more (fewer ranks per host, no binding) and an MPI with "
            "thread level multiple; runs are right but slow"
        )
        return warning("progress", value, remedy)
    return ok("progress", value)


def _mechanism(findings: Findings) -> Finding:
    help_ = "a progress thread" if findings.progress == "thread" else "no progress thread"
    return ok("mechanism", f"ticket lock, optimistic read, {findings.add_mechanism}, {help_}")
