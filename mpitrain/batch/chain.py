"""What the entries of a job chain say together. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mpitrain.batch.decision import COUNTED, FAIL, NO_FAULT
from mpitrain.batch.ledger import ENDED, GAVE_UP, REQUEUED, SUBMITTED, Entry

OVER = (ENDED, GAVE_UP)
"""Whoever goes on behind one of these was asked to by a person, and is counted anew."""


def open_jobs(entries: Sequence[Entry]) -> list[str]:
    """Return the jobs that were submitted or requeued last, so should be there; oldest first."""
    newest = {entry.job: entry.what for entry in entries}
    return [job for job, what in newest.items() if what in (SUBMITTED, REQUEUED)]


def gave_up(entries: Sequence[Entry], job_id: str) -> str:
    """Return which job gave up and why, by what is known last of one; nothing where it did not.

    It is an earlier one where this one gave up for that reason.
    """
    last = next((entry for entry in reversed(entries) if entry.job == job_id), None)
    if last is None or last.what != GAVE_UP:
        return ""
    return f"job {job_id} gave up: {last.text}" if last.outcome else last.text


def newest_steps(entries: Sequence[Entry]) -> int:
    """Return the steps of the newest checkpoint when the last life ended, -1 without one."""
    return next((entry.steps for entry in reversed(entries) if entry.outcome), -1)


def has_failed(entries: Sequence[Entry]) -> bool:
    """Tell whether the last life failed, and nobody has looked after it since."""
    last = next((entry for entry in reversed(entries) if entry.outcome), None)
    return last is not None and last.cause == FAIL and last.what not in OVER


def num_idle(entries: Sequence[Entry]) -> int:
    """Return how many of the last lives in a row left no newer checkpoint than those before.

    Those that Slurm ended for others' sake neither count nor end the row.
    """
    number, steps = 0, -1
    for entry in entries:
        if entry.what in OVER or (entry.outcome and entry.steps > steps):
            number = 0
        elif entry.outcome and entry.cause not in NO_FAULT:
            number += 1
        steps = entry.steps if entry.outcome else steps
    return number


def num_requeues(entries: Sequence[Entry]) -> int:
    """Return how many requeues were made of those that are limited in number."""
    number = 0
    for entry in entries:
        if entry.what in OVER:
            number = 0
        number += entry.what == REQUEUED and entry.cause in COUNTED
    return number
