"""What happened in a run beside steps: evaluations, checkpoints, pauses, from the logs' events."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mpitrain.analysis.facts import number_of
from mpitrain.analysis.readable import Opened

_NO_METRIC = ("steps", "loss")


def events_of(run: Opened) -> list[dict[str, Any]]:
    """Return the events on the timeline: time_s on the axis, life, rank, kind, detail; in order.

    What a life did after the checkpoint that the next one started from does not count, where its
    detail has the number of steps.
    """
    found = []
    for index, stretch in enumerate(run.chain):
        after = run.chain[index + 1].life.start.steps if index + 1 < len(run.chain) else None
        for rank, log in stretch.life.ranks.items():
            for time_s, kind, detail in log.events:
                steps = detail.get("steps")
                if after is not None and isinstance(steps, int) and steps > after:
                    continue
                found.append(
                    {"time_s": run.axis.moment_s(index, time_s), "life": stretch.life.life,
                     "rank": rank, "kind": kind, "detail": detail}
                )  # fmt: skip
    return sorted(found, key=lambda event: (event["life"], event["time_s"]))


def evaluations_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the evaluations: time_s, steps, loss, metric_name, metric."""
    return [
        {
            "time_s": event["time_s"],
            "steps": number_of(event["detail"], "steps"),
            "loss": number_of(event["detail"], "loss"),
            **_metric(event["detail"]),
        }
        for event in events
        if event["kind"] == "evaluation"
    ]


def counts_by_kind(events: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many events of each kind there are, most first."""
    return dict(Counter(event["kind"] for event in events).most_common())


def _metric(detail: dict[str, Any]) -> dict[str, Any]:
    """Return the first number of an evaluation that is not its steps or loss."""
    numbers = {
        name: number
        for name in detail
        if name not in _NO_METRIC and (number := number_of(detail, name)) is not None
    }
    name = next(iter(numbers), None)
    return {"metric_name": name, "metric": numbers[name] if name is not None else None}
