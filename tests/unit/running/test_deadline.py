"""When a life is to stop by itself."""

from __future__ import annotations

import time

from mpitrain.config import from_mapping
from mpitrain.running.deadline import Deadline, earliest_deadline
from mpitrain.slurm import Slurm


def job(left_s: float | None) -> Slurm:
    """Return a job that has so much time left."""
    return Slurm(job_id="0", end_s=None if left_s is None else time.time() + left_s)


def found(left_s: float | None, **run: object) -> Deadline | None:
    """Return the deadline of a run in a job that has so much time left."""
    return earliest_deadline(from_mapping({"run": run}), time.monotonic(), job(left_s))


def seconds_to(deadline: Deadline | None) -> float:
    """Return the seconds until then."""
    assert deadline is not None
    return round(deadline.at_s - time.monotonic(), 1)


def test_in_a_slurm_job_it_is_a_minute_before_the_limit() -> None:
    """Also where no signal comes; outside there is no limit."""
    deadline = found(3600)
    assert seconds_to(deadline) == 3540
    assert deadline is not None
    assert deadline.reason == "60 s before Slurm's limit"
    assert earliest_deadline(from_mapping({}), 0.0, None) is None


def test_a_short_job_uses_half_of_its_time() -> None:
    """Stopping at once would make an endless chain of lives without a step."""
    assert seconds_to(found(80)) == 40
    assert seconds_to(found(3600, stop_before_limit_s=7200.0)) == 1800


def test_what_is_said_counts() -> None:
    """Another time, none, or an earlier limit of the life."""
    assert seconds_to(found(3600, stop_before_limit_s=600.0)) == 3000
    assert found(3600, stop_before_limit_s=None) is None
    deadline = found(3600, limit_s=10.0)
    assert deadline is not None
    assert deadline.reason == "run.limit_s = 10"


def test_without_checkpoints_nothing_stops_by_itself() -> None:
    """There would be nothing to go on from."""
    config = from_mapping({"checkpoint": {"enabled": False}})
    assert earliest_deadline(config, 0.0, job(100)) is None
