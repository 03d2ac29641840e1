"""What happened between steps, placed between them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mpitrain.analysis.trace_events import checkpoints_of, events_between

S = 10**9
STARTS, ENDS = np.array([1 * S, 3 * S]), np.array([2 * S, 4 * S])


def told(text: str) -> tuple[str, float, float | None]:
    """Return name, beginning and length of an event, in seconds."""
    event = json.loads(text)
    length = event.get("dur")
    return event["name"], event["ts"] / 1e6, None if length is None else length / 1e6


def test_an_evaluation_fills_the_time_since_the_step_before() -> None:
    """And what follows it in the same pause begins at its end; moments have no length."""
    events: list[tuple[float, str, dict[str, Any]]] = [
        (0.5, "straggler", {"delay": 0.1}),
        (2.25, "evaluation", {"steps": 2, "loss": float("nan"), "versions": [1] * 99}),
        (2.5, "coherence", {"deep": [float("inf")]}),
        (4.5, "evaluation", {"steps": 4}),
        (5.0, "digest", {}),
    ]
    found = events_between(0, events, 0, STARTS, ENDS)
    assert [one.row for one in found] == [-1, 0, 0, 1, 1]
    assert [told(one.text) for one in found] == [
        ("straggler", 0.5, None), ("evaluation", 2.0, 0.25), ("coherence", 2.25, 0.25),
        ("evaluation", 4.0, 0.5), ("digest", 5.0, None),
    ]  # fmt: skip
    assert json.loads(found[1].text)["args"] == {"steps": 2, "loss": None}
    assert json.loads(found[2].text)["args"] == {"deep": [None]}


def test_no_event_reaches_into_a_step() -> None:
    """One that is noted while a step goes on is put before it; a later life is moved."""
    events: list[tuple[float, str, dict[str, Any]]] = [(3.5, "evaluation", {}), (9.0, "stop", {})]
    found = events_between(0, events, 10 * S, STARTS + 10 * S, ENDS + 10 * S)
    assert [told(one.text) for one in found] == [("evaluation", 12.0, 1.0), ("stop", 19.0, None)]


def test_checkpoints_do_not_overlap() -> None:
    """Each took as long as its event says, but began after the one before."""
    events: list[tuple[float, str, dict[str, Any]]] = [
        (1.0, "checkpoint", {"steps": 0, "write_s": 0.25}),
        (2.0, "evaluation", {}),
        (3.0, "checkpoint", {"steps": 9, "write_s": 5.0}),
        (4.0, "checkpoint", {"steps": 12, "write_s": "long"}),
    ]
    assert [told(text) for _, text in checkpoints_of(0, events, 0)] == [
        ("checkpoint 0", 0.75, 0.25), ("checkpoint 9", 1.0, 2.0), ("checkpoint 12", 4.0, 0.0),
    ]  # fmt: skip
