"""What a job does after each kind of life."""

from __future__ import annotations

from typing import Any

import pytest

from mpitrain.batch.decision import After, cause_of, decide

# what is known | goes on, cause, exit code, a piece of the text
CASES: dict[str, tuple[dict[str, Any], tuple[bool, str, int, str]]] = {
    "done": ({"outcome": "done"}, (False, "done", 0, "the run is done")),
    "done, though the launcher failed at its end": (
        {"outcome": "done", "exit_code": 1, "signal": "USR1", "is_cancelled": True},
        (False, "done", 0, "the run is done"),
    ),
    "Slurm's limit is near": (
        {"outcome": "stopped", "reason": "60 s before Slurm's limit", "steps": 40},
        (True, "time limit", 3, "goes on from step 40"),
    ),
    "the limit's signal": (
        {"outcome": "stopped", "signal": "USR1", "left_s": 110.0, "steps": 40},
        (True, "time limit", 3, "goes on from step 40"),
    ),
    "somebody's signal, long before the limit": (
        {"outcome": "stopped", "signal": "USR1", "left_s": 3600.0, "steps": 40},
        (True, "signal", 3, "(signal)"),
    ),
    "a signal to the ranks alone, without a limit": (
        {"outcome": "stopped", "reason": "stopped (signal USR1)", "steps": 40},
        (True, "signal", 3, "(signal)"),
    ),
    "run.limit_s": (
        {"outcome": "stopped", "reason": "run.limit_s", "steps": 40},
        (True, "run.limit_s", 3, "goes on"),
    ),
    "preempted": (
        {"outcome": "killed", "is_preempted": True, "signal": "TERM", "steps": 40},
        (True, "preemption", 1, "goes on from step 40"),
    ),
    "preempted though all requeues are used up": (
        {"outcome": "killed", "is_preempted": True, "steps": 40, "num_requeues": 9},
        (True, "preemption", 1, "goes on"),
    ),
    "a rank was killed": (
        {"outcome": "killed", "exit_code": 137, "steps": 40},
        (True, "a lost rank or node", 1, "goes on from step 40"),
    ),
    "lost before the first checkpoint": (
        {"outcome": "killed", "exit_code": 137},
        (True, "a lost rank or node", 1, "goes on from the beginning"),
    ),
    "never began, the launcher was lost": (
        {"outcome": "never began", "exit_code": 1},
        (True, "a lost rank or node", 1, "goes on from the beginning"),
    ),
    "never began, a mistake of the user's": (
        {"outcome": "never began", "exit_code": 2},
        (False, "mistake", 2, "the run cannot begin"),
    ),
    "failed and got nowhere, as the life before": (
        {
            "outcome": "failed",
            "reason": "loss is nan",
            "steps": 40,
            "steps_before": 40,
            "has_failed_before": True,
        },
        (False, "failed", 1, "it would fail again (loss is nan)"),
    ),
    "failed and got nowhere, for the first time": (
        {"outcome": "failed", "reason": "a hung disk", "steps": 40, "steps_before": 40},
        (True, "failed", 1, "goes on from step 40"),
    ),
    "failed later than the life before": (
        {"outcome": "failed", "reason": "disk full", "steps": 40, "steps_before": 30},
        (True, "failed", 1, "goes on from step 40"),
    ),
    "cancelled": (
        {"outcome": "stopped", "is_cancelled": True, "signal": "TERM", "steps": 40},
        (False, "cancelled", 3, "somebody ended the job"),
    ),
    "Slurm requeued it by itself": (
        {"outcome": "killed", "is_requeued": True, "is_cancelled": True, "num_idle": 9},
        (True, "Slurm's requeue", 1, "goes on"),
    ),
    "a second idle life": (
        {"outcome": "killed", "steps": 40, "steps_before": 40, "num_idle": 1},
        (True, "a lost rank or node", 1, "goes on"),
    ),
    "a third idle life": (
        {"outcome": "killed", "steps": 40, "steps_before": 40, "num_idle": 2},
        (False, "a lost rank or node", 1, "3 lives in a row left no newer checkpoint"),
    ),
    "preempted again before its first checkpoint": (
        {"outcome": "never began", "is_preempted": True, "num_idle": 7},
        (True, "preemption", 1, "goes on from the beginning"),
    ),
    "idle before, not now": (
        {"outcome": "killed", "steps": 41, "steps_before": 40, "num_idle": 5},
        (True, "a lost rank or node", 1, "goes on from step 41"),
    ),
    "one requeue is left": (
        {"outcome": "stopped", "signal": "USR1", "left_s": 9.0, "steps": 40, "num_requeues": 8},
        (True, "time limit", 3, "goes on"),
    ),
    "all requeues are used up": (
        {"outcome": "stopped", "signal": "USR1", "left_s": 9.0, "steps": 40, "num_requeues": 9},
        (False, "time limit", 3, "9 requeues were allowed and made; the run is at step 40"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decision_after_each_kind_of_life(name: str) -> None:
    """Whether it goes on, why the life ended, the exit code and the words."""
    known, (goes_on, cause, code, text) = CASES[name]
    found = decide(After(most_requeues=9, **known))
    assert (found.goes_on, found.cause, found.code) == (goes_on, cause, code)
    assert text in found.text
    assert "\n" not in found.text


def test_no_requeue_is_made_where_none_is_allowed() -> None:
    """--at-most 0 ends a chain with its first life, unless nobody had a say."""
    stopped = {"outcome": "stopped", "signal": "USR1", "left_s": 9.0, "steps": 4}
    assert not decide(After(most_requeues=0, **stopped)).goes_on
    assert decide(After(most_requeues=0, outcome="killed", steps=4)).goes_on


def test_time_limit_is_told_from_a_signal_by_the_time_left() -> None:
    """600 s is near; a job without a limit has none that is."""
    causes = [
        cause_of(After(outcome="stopped", signal="USR1", left_s=left))
        for left in (0.0, 600.0, 600.1, None)
    ]
    assert causes == ["time limit", "time limit", "signal", "signal"]
