"""Where a run and its jobs do not tell the same, or cannot go on: in plain words. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from mpitrain.batch.job_standing import GONE, SILENT, JobStanding
from mpitrain.batch.ledger import GAVE_UP, Entry
from mpitrain.batch.run_standing import DONE, FAILED, NOT_BEGUN, RUNNING, STOPPED, RunStanding

_HELD = ("JobHeldUser", "JobHeldAdmin", "launch_failed_requeued_held")
_NEVER = ("DependencyNeverSatisfied", "BadConstraints", "PartitionNodeLimit", "PartitionTimeLimit")


def remarks(
    run: RunStanding, jobs: Sequence[JobStanding], entries: Sequence[Entry], script: str
) -> list[str]:
    """Return what somebody should know, or do.

    Args:
        run: how it stands.
        jobs: that should be there.
        entries: of the job chain.
        script: the job script in the run directory; empty without one.
    """
    again = f"sbatch {shlex.quote(script)}" if script else "submit it again"
    return [*_of_run(run, jobs, entries, again), *_of_jobs(run, jobs)]


def _of_run(
    run: RunStanding, jobs: Sequence[JobStanding], entries: Sequence[Entry], again: str
) -> Iterator[str]:
    ended = [job for job in jobs if not job.is_alive and job.state != SILENT]
    is_alone = len(ended) == len(jobs)
    if run.state == RUNNING:
        yield from _of_running(run, jobs, again)
    elif run.state == NOT_BEGUN and ended and is_alone:
        where = _where(ended[-1])
        cause = "look into the job's output"
        if ended[-1].reason == "JobLaunchFailure":  # then there is no output either
            cause = "see whether the nodes can write the job's folder and output"
        yield f"the run never began, and {where}; {again}, or {cause}"
    elif run.state == NOT_BEGUN and not jobs and _last_word(entries):
        gave_up = f"job {entries[-1].job} gave up{_last_word(entries)}"
        yield f"the run never began, and {gave_up}; mend that, then {again}"
    elif run.state in (STOPPED, FAILED) and ended and is_alone:
        where = _where(ended[-1])
        yield f"{where}, and the run is {run.state}, not done; {again}, or {_resume(run)}"
    elif run.state in (STOPPED, FAILED) and not jobs:
        chain = f"no job goes on with it{_last_word(entries)}; {again}, or " if entries else ""
        yield f"{chain}{_resume(run)}"


def _of_running(run: RunStanding, jobs: Sequence[JobStanding], again: str) -> Iterator[str]:
    """Say so where the newest life was killed: its job has ended, or its processes are gone."""
    mine = next((job for job in jobs if job.job == run.job), None)
    others = [job.job for job in jobs if job.is_alive and job is not mine]
    go_on = f"job {others[0]} goes on with it" if others else ""
    if mine is not None and not mine.is_alive and mine.state != SILENT:
        killed = f"status.json says running, but {_where(mine)}: it was killed"
        yield f"{killed}; {go_on or f'{again}, or {_resume(run)}'}"
    elif mine is None and run.is_abandoned:
        killed = "status.json says running, but its processes are gone: it was killed"
        yield f"{killed}; {go_on or _resume(run)}"
    elif mine is not None and mine.state == "PENDING":
        yield (
            f"status.json says running, but job {mine.job} waits in the queue: life {run.life} "
            "was killed, and the job goes on when it begins again"
        )


def _of_jobs(run: RunStanding, jobs: Sequence[JobStanding]) -> Iterator[str]:
    for job in jobs:
        if job.state == SILENT:
            yield f"nobody tells how job {job.job} stands: {job.reason}"
        elif job.state == "PENDING" and run.state == DONE:
            yield f"the run is done, so job {job.job} has nothing to do; scancel {job.job}"
        elif job.is_alive and job.reason in _HELD:
            yield f"job {job.job} is held ({job.reason}); scontrol release {job.job}"
        elif job.is_alive and job.reason in _NEVER:
            yield f"job {job.job} can never begin ({job.reason}); scancel {job.job}"
        elif job.is_alive and job.reason == "PartitionConfig":  # too many nodes, or too large ones
            yield (
                f"job {job.job} cannot begin as its partition is now (PartitionConfig); scancel "
                f"{job.job}, and ask for what sinfo shows"
            )
        elif job.state == "RUNNING" and run.state in (STOPPED, FAILED):
            yield (
                f"job {job.job} runs, but status.json tells of life {run.life}, which is "
                f"{run.state}: the next one is about to begin, or the job to end"
            )


def _where(job: JobStanding) -> str:
    if job.state == GONE:
        return f"job {job.job} is not in the queue"
    # a cancelled job keeps the reason that it waited for
    why = f" ({job.reason})" if job.reason and job.state != "CANCELLED" else ""
    return f"job {job.job} is {job.state}{why}"


def _last_word(entries: Sequence[Entry]) -> str:
    last = entries[-1] if entries else None
    return f" ({last.text})" if last is not None and last.what == GAVE_UP and last.text else ""


def _resume(run: RunStanding) -> str:
    return f"go on by: python -m mpitrain launch resume {shlex.quote(run.directory)}"
