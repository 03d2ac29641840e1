"""Predictions for people: of a cluster that one does not have, and of other modes on one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpitrain.config import Config
from mpitrain.core.console import tell
from mpitrain.core.errors import UserError
from mpitrain.replaying.cluster import predicted_schedule, predictions
from mpitrain.replaying.distributions import check_plot, draw
from mpitrain.schedules.measures import summary_of
from mpitrain.schedules.schedule import Schedule
from mpitrain.schedules.stored import write_schedule

NEARLY = 0.95  # of the speed without a bound


def predict(config: Config, *, out: str | None = None, plot: str | None = None) -> dict[str, Any]:
    """Return what the cluster that a run file describes would do, and say it to people.

    Args:
        config: of the run; simulate.kind must be "events".
        out: HDF5 file to keep the schedule in.
        plot: file to draw the distributions of staleness and lead in.

    Raises:
        UserError: something in the configuration cannot be had, or a file not be written.
    """
    if config.simulate.kind != "events":
        message = (
            "--schedule-only predicts simulate.kind 'events', which has times, "
            f"got '{config.simulate.kind}'"
        )
        raise UserError(message)
    if plot is not None:
        check_plot(plot)
    schedule = predicted_schedule(config)
    if out is not None:
        write_schedule(out, schedule)
    if plot is not None:
        draw(schedule, plot, _title(config, schedule))
    facts = {"mode": config.mode.kind, "bound": config.mode.bound, **summary_of(schedule)}
    _say(
        f"predicted: {_title(config, schedule)}: {facts['steps_per_s']:.0f} steps/s, "
        f"waiting {facts['wait_share']:.0%}"
    )
    _say(
        f"staleness: mean {facts['staleness_mean']:.2f}, median {facts['staleness_p50']:.2f}, 99 % "
        f"up to {facts['staleness_p99']:.2f}, largest {facts['staleness_max']}; lead: mean "
        f"{facts['lead_mean']:.2f}, largest {facts['lead_max']}"
    )
    return facts


def advise(root: Path) -> list[Mapping[str, Any]]:
    """Return what every mode would do on the ranks of a real run, and say it to people.

    Raises:
        UserError: the log has too little to measure, or cannot be read.
    """
    rows = list(predictions(root))
    synchronous = next(row for row in rows if row["mode"] == "bsp" and not row["is_measured"])
    heads = f"{'':12}{'steps/s':>9}{'x bsp':>7}{'waiting':>9}{'staleness: mean':>17}"
    _say(f"{heads}{'99 %':>7}{'largest':>9}")
    for row in rows:
        faster = row["steps_per_s"] / max(synchronous["steps_per_s"], 1e-12)
        measured = "  (this run, measured)" if row["is_measured"] else ""
        _say(
            f"{_name(row):12}{row['steps_per_s']:9.0f}{faster:7.2f}{row['wait_share']:9.0%}"
            f"{row['staleness_mean']:17.2f}{row['staleness_p99']:7.1f}"
            f"{row['staleness_max']:9.0f}{measured}"
        )
    _say(_advice(rows[1:]))
    return rows


def _advice(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one sentence: the smallest bound that is nearly as fast as none."""
    asynchronous, synchronous = rows[-1], rows[0]
    enough = NEARLY * asynchronous["steps_per_s"]
    chosen = next(row for row in rows if row["steps_per_s"] >= enough)
    if chosen is synchronous:
        return f"advice: bsp is within {1 - NEARLY:.0%} of asp's speed, and nothing is stale"
    faster = chosen["steps_per_s"] / max(synchronous["steps_per_s"], 1e-12)
    return (
        f"advice: {_name(chosen)} is the least that is within {1 - NEARLY:.0%} of asp's speed: "
        f"{faster:.2f} times that of bsp, at a mean staleness of {chosen['staleness_mean']:.2f}; "
        "what that does to the model, replay and simulate show"
    )


def _name(row: Mapping[str, Any]) -> str:
    return str(row["mode"]) if row["bound"] is None else f"{row['mode']} {row['bound']}"


def _title(config: Config, schedule: Schedule) -> str:
    bound = "" if config.mode.bound is None else f" bound {config.mode.bound}"
    counts = f"{schedule.size} ranks, {schedule.num_shards} shards, {schedule.num_updates} steps"
    return f"{config.mode.kind}{bound}, {counts}"


def _say(line: str) -> None:
    tell(f"mpitrain: {line}\n")
