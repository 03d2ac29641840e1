"""A run in one value: its timeline in bins, its events, what it was asked to do, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.analysis.binned import Binned, binned_of
from mpitrain.analysis.facts import settings_of
from mpitrain.analysis.happenings import events_of
from mpitrain.analysis.overview import overview_of
from mpitrain.analysis.readable import open_readable

NOT_SETTINGS = ("run.directory", "environment.run_id")
"""What is never the same in two runs."""

TOTALS = ("samples", "seconds", "steps_per_s", "samples_per_s", "shares")
QUANTILES = {"0.5": "p50", "0.9": "p90", "0.99": "p99", "1.0": "max"}


@dataclass(frozen=True, eq=False)
class Outline:
    """What is told of a run.

    Attributes:
        root: the run directory.
        overview: what ``summary`` tells of it.
        binned: its timeline.
        events: on the timeline, in order.
        num_lives: lives on the timeline.
        notes: what is lacking.
        missing: those of them that are about pieces of logs.
    """

    root: Path
    overview: Mapping[str, Any]
    binned: Binned
    events: list[dict[str, Any]]
    num_lives: int
    notes: list[str]
    missing: Sequence[str]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """Those of the events that are."""
        found: list[dict[str, Any]] = self.overview["evaluations"]
        return found

    @property
    def config(self) -> Mapping[str, Any]:
        """The tables of run.toml; empty where it cannot be read."""
        tables: Mapping[str, Any] = self.overview["configuration"]
        return tables

    @property
    def result(self) -> Mapping[str, Any]:
        """What result.json says; empty where there is none."""
        result: Mapping[str, Any] = self.overview["result"]
        return result

    @property
    def mode(self) -> str:
        """The mode of the newest life."""
        return self.binned.pieces[-1].mode

    @property
    def bound(self) -> int | None:
        """The bound of the newest life."""
        return self.binned.pieces[-1].bound

    @property
    def metric_name(self) -> str | None:
        """The metric that the result names, else that of the evaluations."""
        said = [self.result.get("metric_name"), *(one["metric_name"] for one in self.evaluations)]
        return next((name for name in said if isinstance(name, str)), None)


def outline_of(directory: Path, log_root: Path | None = None) -> Outline:
    """Read a run, finished, running or killed; what is lacking is noted.

    Raises:
        LogError: there is no log with a step in it.
    """
    run = open_readable(directory, log_root)
    binned = binned_of(run)
    overview, run_toml = overview_of(run), run.log.directory.run_toml
    has_config = bool(overview["configuration"])
    unread = [] if has_config else [f"{run_toml}: is not there or cannot be read"]
    return Outline(
        root=directory,
        overview=overview,
        binned=binned,
        events=events_of(run),
        num_lives=len(run.chain),
        notes=[*run.missing, *binned.notes, *unread],
        missing=run.missing,
    )


def totals(run: Outline) -> dict[str, Any]:
    """Return a run's numbers, those of ``summary``: counts, rates, shares of time, staleness."""
    said = run.overview
    staleness = said["staleness"]
    return {
        "lives": run.num_lives,
        **{name: said[name] for name in TOTALS},
        "staleness_mean": staleness["mean"],
        "staleness_quantiles": {share: staleness[name] for share, name in QUANTILES.items()},
        "lead_max": said["lead"]["max"],
        "loss": said["final"]["loss"],
        "metric_name": run.metric_name,
        "metric": said["final"]["metric"],
    }


def waited_for_most(run: Outline) -> tuple[int, float] | None:
    """Return the rank that was waited for most, and its share of all waiting."""
    waited_s = run.binned.waited_s
    by_rank = waited_s[:, :-1].sum(axis=0)
    worst = int(np.argmax(by_rank))
    return (worst, float(by_rank[worst] / waited_s.sum())) if by_rank[worst] else None


def differences(runs: Sequence[Outline]) -> dict[str, list[Any]]:
    """Return the settings in which runs differ, by dotted name; None where a run has none."""
    flat = [settings_of(run.config) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    table = {name: [settings.get(name) for settings in flat] for name in names}
    return {
        name: values
        for name, values in table.items()
        if name not in NOT_SETTINGS and any(value != values[0] for value in values)
    }
