from __future__ import annotations

from mpitrain.comm.findings import Findings, Trial
from mpitrain.doctor.windows import judge_windows


def states(trial: Trial, num_ranks: int = 4) -> dict[str, str]:
    """Return the state of each finding by name."""
    return {finding.name: finding.state for finding in judge_windows(trial, num_ranks, "")}


def probed(*, read_s: float, remedied_read_s: float, progress: str) -> Trial:
    """Return a trial of exact windows."""
    return Trial(
        findings=Findings(
            add_mechanism="accumulate",
            progress=progress,
            read_s=read_s,
            remedied_read_s=remedied_read_s,
        )
    )


def test_window_that_cannot_be_made_is_wrong() -> None:
    """Gives the library's words and the component that was chosen; nothing more is claimed."""
    (finding,) = judge_windows(Trial(window_error="rank 1: MPI_ERR_WIN"), 4, "^sm,rdma,ucx")
    assert finding.state == "wrong"
    assert "MPI_ERR_WIN (OMPI_MCA_osc=^sm,rdma,ucx)" in finding.value
    assert finding.remedy.startswith("unset OMPI_MCA_osc")
    assert "mode.kind=bsp" in finding.remedy
    (finding,) = judge_windows(Trial(window_error="rank 1: MPI_ERR_WIN"), 4, "")
    assert "OMPI_MCA_osc" not in finding.line()


def test_torn_reads_are_wrong() -> None:
    """The window was made, but is not to be trusted."""
    trial = Trial(exactness_error="windows of X are not exact: reads were torn; use another")
    assert states(trial) == {"windows": "ok", "exactness": "wrong"}


def test_progress_that_a_thread_brings_is_ok_with_both_times() -> None:
    """What was measured without and with it is said."""
    trial = probed(read_s=0.093, remedied_read_s=0.0036, progress="thread")
    found = {finding.name: finding for finding in judge_windows(trial, 4, "")}
    assert set(states(trial).values()) == {"ok"}
    assert "93.00 ms, 3.60 ms with a progress thread" in found["progress"].value
    assert found["mechanism"].value.endswith("accumulate, a progress thread")


def test_progress_that_nothing_brings_is_a_warning() -> None:
    """Runs are right, but slow."""
    trial = probed(read_s=0.09, remedied_read_s=0.09, progress="none")
    assert states(trial)["progress"] == "warning"


def test_progress_of_a_lone_rank_is_not_claimed() -> None:
    """There is nobody to read from."""
    (finding,) = [
        finding
        for finding in judge_windows(probed(read_s=0, remedied_read_s=0, progress="none"), 1, "")
        if finding.name == "progress"
    ]
    assert "not measured" in finding.value
