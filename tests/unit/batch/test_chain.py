"""What is read from a job chain as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from mpitrain.batch.chain import has_failed, newest_steps, num_idle, num_requeues, open_jobs
from mpitrain.batch.ledger import Entry


def entry(job: str, what: str, **more: Any) -> Entry:
    """Return an entry."""
    return Entry(time="t", job=job, what=what, **more)


def life(steps: int, cause: str = "a lost rank or node", what: str = "requeued") -> Entry:
    """Return the entry of a life that ended."""
    return entry("1", what, outcome="killed", cause=cause, steps=steps)


def test_open_jobs_are_those_whose_last_word_is_that_they_come() -> None:
    """Oldest first; a job that ended or gave up is none of them."""
    chain = [
        entry("1", "submitted"),
        entry("2", "submitted"),
        entry("1", "requeued"),
        entry("3", "submitted"),
        entry("2", "gave up"),
        entry("4", "ended"),
    ]
    assert open_jobs(chain) == ["1", "3"]
    assert open_jobs([]) == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], 0),
        ([-1], 1),
        ([0], 0),
        ([5, 5], 1),
        ([5, 5, 5], 2),
        ([5, 5, 6], 0),
        ([5, 6, 6, 3], 2),
    ],
)
def test_idle_lives_are_counted_from_the_end(steps: list[int], expected: int) -> None:
    """Those in a row that left no newer checkpoint than the one before."""
    assert num_idle([life(number) for number in steps]) == expected


def test_lives_that_slurm_ended_for_others_are_no_idle_ones() -> None:
    """They do not end the row either, unless they left a checkpoint."""
    assert num_idle([life(5), life(5), life(5, "preemption"), life(5, "Slurm's requeue")]) == 1
    assert num_idle([life(5), life(5), life(6, "preemption")]) == 0


def test_a_job_that_a_person_submits_again_is_counted_anew() -> None:
    """Behind a job that gave up, or a run that was done and is to be longer now."""
    limit = "time limit"
    before = [life(5), life(5), life(5, what="gave up")]
    assert num_idle(before) == 0
    assert num_idle([*before, entry("2", "submitted"), life(5)]) == 1
    assert num_idle([life(5), life(5), life(9, "done", "ended"), life(9)]) == 1
    made = [life(5, limit), life(6, "preemption"), life(7, "signal"), life(8, limit)]
    assert num_requeues(made) == 3
    assert num_requeues([*made, life(9, limit, "gave up")]) == 0
    assert num_requeues([*made, life(9, "done", "ended"), life(10, limit)]) == 1


def test_newest_steps_are_those_of_the_last_life() -> None:
    """Entries that tell of no life say nothing of checkpoints."""
    assert newest_steps([]) == -1
    assert newest_steps([entry("1", "submitted")]) == -1
    assert newest_steps([life(5), life(3), entry("2", "submitted", steps=9)]) == 3


def test_failure_counts_until_a_person_goes_on() -> None:
    """Of the last life alone, and not behind one that gave up: that was looked after."""
    failed = life(5, "failed")
    assert has_failed([life(5), failed])
    assert has_failed([failed, entry("2", "submitted")])
    assert not has_failed([failed, life(7)])
    assert not has_failed([life(5, "failed", "gave up")])
    assert not has_failed([])
