"""Jobs of one run directory that follow each other and are never requeued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpitrain.batch import ledger
from mpitrain.batch.after_life import check_follows
from mpitrain.batch.chain import gave_up
from mpitrain.batch.decision import (
    CANCELLED,
    FAIL,
    KILLED,
    LOST,
    NEVER,
    STOP,
    After,
    decide,
    is_worth_another_attempt,
)
from mpitrain.batch.ledger import GAVE_UP, HANDED_ON
from mpitrain.batch.queue import Record
from mpitrain.core.errors import UserError


def entry(job: str, what: str, **more: Any) -> ledger.Entry:
    """Return a line of a job chain."""
    return ledger.Entry(time="t", job=job, what=what, **{"outcome": STOP, **more})


def after(**more: Any) -> After:
    """Return a life of a job that is not to be requeued, which stopped and got somewhere."""
    return After(**{"outcome": STOP, "steps": 9, "steps_before": 5, "may_requeue": False, **more})


def test_a_job_that_is_never_requeued_leaves_the_run_to_another() -> None:
    """However many requeues are allowed, for they are not its own; it ends as it would."""
    decision = decide(after(most_requeues=0, num_requeues=7))
    assert (decision.goes_on, decision.code) == (True, 3)
    assert decision.text == "ended (run.limit_s); another job may go on from step 9"
    assert not decide(after(may_requeue=True)).goes_on


def test_it_gives_up_where_a_requeued_one_would() -> None:
    """What would fail again, and lives that get nowhere."""
    assert not decide(after(outcome=FAIL, steps=5, has_failed_before=True)).goes_on
    assert decide(after(outcome=FAIL)).goes_on
    assert not decide(after(outcome=KILLED, steps=5, num_idle=2)).goes_on
    assert not decide(after(is_cancelled=True)).goes_on


def test_a_lost_node_is_nobodys_wish() -> None:
    """Slurm ends a job that it may not requeue with the signals of scancel."""
    lost = Record({"JobState": "COMPLETING", "Reason": "NodeDown"})
    ended = Record({"JobState": "COMPLETING", "Reason": "None"})
    assert (lost.has_lost_node, lost.is_ending) == (True, False)
    assert (ended.has_lost_node, ended.is_ending) == (False, True)
    decision = decide(after(has_lost_node=True, signal="TERM", left_s=0.0))
    assert (decision.goes_on, decision.cause) == (True, LOST)
    assert decide(after(is_cancelled=True, signal="TERM")).cause == CANCELLED
    assert not is_worth_another_attempt(after(outcome=NEVER, has_lost_node=True), 1)
    assert is_worth_another_attempt(after(outcome=NEVER), 1)


def test_a_job_gave_up_by_what_is_known_last_of_it() -> None:
    """Of others nothing counts, whether they came before or after."""
    history = [
        entry("1", GAVE_UP, text="an old mistake"),
        entry("2", HANDED_ON),
        entry("3", HANDED_ON),
        entry("3", GAVE_UP, text="it would fail again"),
    ]
    assert gave_up(history, "3") == "job 3 gave up: it would fail again"
    assert gave_up(history, "2") == ""
    assert gave_up(history, "4") == ""
    assert gave_up([], "1") == ""


def test_a_link_that_does_not_begin_hands_on_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third link names the first, which has the reason."""
    ledger.append(tmp_path, entry("1", GAVE_UP, text="why"))
    for job in (2, 3):
        monkeypatch.setenv("SLURM_JOB_ID", str(job))
        with pytest.raises(UserError, match=r"^job 1 gave up: why$"):
            check_follows(tmp_path, str(job - 1))
    assert [e.job for e in ledger.entries(tmp_path)] == ["1", "2", "3"]
    check_follows(tmp_path, "9")
