"""What is said where a run and its jobs do not agree."""

from __future__ import annotations

import pytest

from mpitrain.batch.contradictions import remarks
from mpitrain.batch.job_standing import GONE, SILENT, JobStanding
from mpitrain.batch.ledger import Entry
from mpitrain.batch.run_standing import RunStanding

RESUME = "go on by: python -m mpitrain launch resume r"


def run(state: str, *, job_id: str = "12", is_abandoned: bool = False) -> RunStanding:
    """Return a run, of job 12."""
    return RunStanding(
        directory="r",
        name="r",
        state=state,
        life=2,
        job=job_id,
        evaluation={},
        is_abandoned=is_abandoned,
    )


def job(state: str, reason: str = "", number: str = "12") -> JobStanding:
    """Return a job."""
    is_alive = state in ("PENDING", "RUNNING")
    return JobStanding(job=number, state=state, reason=reason, is_alive=is_alive)


SILENT_JOB = job(SILENT, "there is no scontrol here")

# run, jobs, what is said
CASES: dict[str, tuple[RunStanding, list[JobStanding], list[str]]] = {
    "runs in its job": (run("running"), [job("RUNNING")], []),
    "runs without any job": (run("running"), [], []),
    "done": (run("done"), [], []),
    "done and gone": (run("done"), [job(GONE)], []),
    "submitted": (run("not begun"), [job("PENDING", "Priority")], []),
    "starting": (run("not begun"), [job("RUNNING")], []),
    "stopped, goes on by itself": (run("stopped"), [job("PENDING", "BeginTime")], []),
    "killed with its job": (
        run("running"),
        [job(GONE)],
        [
            "status.json says running, but job 12 is not in the queue: it was killed; "
            f"sbatch r/job.sbatch, or {RESUME}"
        ],
    ),
    "cancelled": (
        run("running"),
        [job("CANCELLED", "Priority")],
        [
            "status.json says running, but job 12 is CANCELLED: it was killed; "
            f"sbatch r/job.sbatch, or {RESUME}"
        ],
    ),
    "over its limit": (
        run("running"),
        [job("TIMEOUT", "TimeLimit")],
        [
            "status.json says running, but job 12 is TIMEOUT (TimeLimit): it was killed; "
            f"sbatch r/job.sbatch, or {RESUME}"
        ],
    ),
    "killed, the next job waits": (
        run("running"),
        [job(GONE), job("PENDING", "Priority", "13")],
        [
            "status.json says running, but job 12 is not in the queue: it was killed; "
            "job 13 goes on with it"
        ],
    ),
    "runs outside of Slurm after its job": (run("running", job_id=""), [job(GONE)], []),
    "runs in a job after another": (run("running"), [job("TIMEOUT", "", "11"), job("RUNNING")], []),
    "killed, requeued by Slurm": (
        run("running"),
        [job("PENDING", "BeginTime")],
        [
            "status.json says running, but job 12 waits in the queue: life 2 was killed, and the "
            "job goes on when it begins again"
        ],
    ),
    "killed on this host": (
        run("running", job_id="", is_abandoned=True),
        [],
        [f"status.json says running, but its processes are gone: it was killed; {RESUME}"],
    ),
    "never began": (
        run("not begun"),
        [job("FAILED", "NonZeroExitCode")],
        [
            "the run never began, and job 12 is FAILED (NonZeroExitCode); sbatch r/job.sbatch, or "
            "look into the job's output"
        ],
    ),
    "Slurm could not start the script": (
        run("not begun"),
        [job("FAILED", "JobLaunchFailure")],
        [
            "the run never began, and job 12 is FAILED (JobLaunchFailure); sbatch r/job.sbatch, or "
            "see whether the nodes can write the job's folder and output"
        ],
    ),
    "requeued, then cancelled": (
        run("stopped"),
        [job(GONE)],
        [
            "job 12 is not in the queue, and the run is stopped, not done; sbatch r/job.sbatch, "
            f"or {RESUME}"
        ],
    ),
    "stopped by hand": (run("stopped"), [], [RESUME]),
    "between two lives": (
        run("failed"),
        [job("RUNNING")],
        [
            "job 12 runs, but status.json tells of life 2, which is failed: the next one is about "
            "to begin, or the job to end"
        ],
    ),
    "a job too many": (
        run("done"),
        [job("PENDING", "Priority", "13")],
        ["the run is done, so job 13 has nothing to do; scancel 13"],
    ),
    "held": (
        run("stopped"),
        [job("PENDING", "JobHeldUser")],
        ["job 12 is held (JobHeldUser); scontrol release 12"],
    ),
    "never": (
        run("not begun"),
        [job("PENDING", "DependencyNeverSatisfied")],
        ["job 12 can never begin (DependencyNeverSatisfied); scancel 12"],
    ),
    "more nodes than there are": (
        run("not begun"),
        [job("PENDING", "PartitionConfig")],
        [
            "job 12 cannot begin as its partition is now (PartitionConfig); scancel 12, and ask "
            "for what sinfo shows"
        ],
    ),
    "Slurm says nothing": (
        run("running"),
        [SILENT_JOB],
        ["nobody tells how job 12 stands: there is no scontrol here"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_remarks(name: str) -> None:
    """Nothing where all is well, else what is, and what to do."""
    standing, jobs, said = CASES[name]
    assert remarks(standing, jobs, [], "r/job.sbatch") == said


def test_the_last_word_of_a_chain_that_gave_up_is_repeated() -> None:
    """Without a script the job must be made anew."""
    text = "not requeued (failed): it would fail again (loss is nan); the run is at step 40"
    chain = [Entry(time="t", job="12", what="gave up", text=text)]
    assert remarks(run("failed"), [], chain, "") == [
        f"no job goes on with it ({text}); submit it again, or {RESUME}"
    ]


def test_a_run_that_never_began_and_whose_job_gave_up_is_told() -> None:
    """A mistake in its words, say: the same script would end the same."""
    chain = [Entry(time="t", job="12", what="gave up", text="not requeued (mistake)")]
    assert remarks(run("not begun", job_id=""), [], chain, "r/job.sbatch") == [
        "the run never began, and job 12 gave up (not requeued (mistake)); mend that, then sbatch "
        "r/job.sbatch"
    ]
