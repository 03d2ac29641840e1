"""How the jobs of a run stand, as Slurm tells it now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mpitrain.batch import queue
from mpitrain.batch.chain import open_jobs
from mpitrain.batch.ledger import Entry

GONE, SILENT = "gone", "no answer"


@dataclass(frozen=True, kw_only=True)
class JobStanding:
    """How a job stands.

    Attributes:
        job: its number.
        state: Slurm's, for example "PENDING"; "gone" where Slurm knows no such job any more, "no
            answer" where it says nothing.
        is_alive: it waits or runs; not known where Slurm says nothing.
        reason: why it waits or ended, in Slurm's word; why Slurm says nothing.
        nodes: where it runs, as Slurm abbreviates them.
        left_s: of its time limit, while it runs.
        restarts: times it was requeued.
        output: file of its output.
    """

    job: str
    state: str
    is_alive: bool = False
    reason: str = ""
    nodes: str = ""
    left_s: float | None = None
    restarts: int = 0
    output: str = ""


def job_standings(entries: Sequence[Entry], running: str) -> list[JobStanding]:
    """Ask Slurm for the jobs that should be there.

    Args:
        entries: of the job chain.
        running: job of a life that says that it runs; empty without one.
    """
    jobs = open_jobs(entries)
    if running and running not in jobs:
        jobs.insert(0, running)
    found = [_standing(job) for job in jobs]
    # one that died without a word is of no interest once another was submitted
    return [one for one in found if one.state != GONE or one.job in (running, jobs[-1])]


def _standing(job: str) -> JobStanding:
    record, trouble = queue.look_up(job)
    if record is None:
        return JobStanding(job=job, state=SILENT if trouble else GONE, reason=trouble)
    return JobStanding(
        job=job,
        state=record.state,
        is_alive=record.is_alive,
        reason=_said(record, "Reason"),
        nodes=_said(record, "NodeList"),
        left_s=record.left_s(time.time()) if record.state == "RUNNING" else None,
        restarts=record.num_restarts,
        output=_said(record, "StdOut"),
    )


def _said(record: queue.Record, name: str) -> str:
    value = record.fields.get(name, "")
    return "" if value in ("None", "(null)") else value
