"""A run in one value: its timeline in bins, its events, what it was asked to do, how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.analysis.binned import Binned, binned_of, quantile_of
from mpitrain.analysis.facts import configuration_of, hosts_of, read_or_empty, run_facts
from mpitrain.analysis.happenings import evaluations_of, events_of
from mpitrain.analysis.rank_rows import PHASES
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.time_axis import time_axis
from mpitrain.storage.reading import LifeLog

NOT_SETTINGS = ("run.directory", "environment.run_id")
"""What is never the same in two runs."""


@dataclass(frozen=True, eq=False)
class Outline:
    """What is told of a run.

    Attributes:
        root: the run directory.
        facts: of ``run_facts``.
        binned: its timeline.
        events: on the timeline, in order.
        evaluations: those of them that are.
        config: run.toml, by table; empty where it cannot be read.
        result: result.json, empty where there is none.
        newest: the newest life on the timeline.
        num_lives: lives on the timeline.
        notes: what is lacking.
    """

    root: Path
    facts: Mapping[str, Any]
    binned: Binned
    events: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    newest: LifeLog
    num_lives: int
    notes: list[str]

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
    axis = time_axis(run.chain)
    binned = binned_of(run, axis)
    config = configuration_of(run.log.directory)
    unread = [] if config else [f"{run.log.directory.run_toml}: is not there or cannot be read"]
    events = events_of(run, axis)
    return Outline(
        root=directory,
        facts=run_facts(run),
        binned=binned,
        events=events,
        evaluations=evaluations_of(events),
        config=config,
        result=read_or_empty(run.log.directory, "result"),
        newest=run.newest,
        num_lives=len(run.chain),
        notes=[*run.missing, *binned.notes, *unread],
    )


def totals(run: Outline) -> dict[str, Any]:
    """Return a run's numbers: counts, seconds, rates, shares of time, staleness, lead."""
    binned = run.binned
    seconds = float(binned.edges_s[-1])
    steps, samples = (int(binned.total(name).sum()) for name in ("steps", "samples"))
    rank_s = float(binned.elapsed_s.sum()) or 1.0
    counts = binned.staleness_counts()
    last = run.result if "loss" in run.result else (run.evaluations or [{}])[-1]
    return {
        "lives": run.num_lives,
        "samples": samples,
        "seconds": seconds,
        "steps_per_s": steps / seconds,
        "samples_per_s": samples / seconds,
        "shares": {name[:-2]: float(binned.total(name).sum()) / rank_s for name in PHASES},
        "staleness_mean": float(binned.total("staleness").sum()) / max(1, steps),
        "staleness_quantiles": {str(q): quantile_of(counts, q) for q in (0.5, 0.9, 0.99, 1.0)},
        "lead_max": int(binned.sums["lead_max"].max()),
        "loss": last.get("loss"),
        "metric_name": run.metric_name,
        "metric": last.get("metric"),
    }


def waited_for_most(run: Outline) -> tuple[int, float] | None:
    """Return the rank that was waited for most, and its share of all waiting."""
    waited_s = run.binned.waited_s
    by_rank = waited_s[:, :-1].sum(axis=0)
    worst = int(np.argmax(by_rank))
    return (worst, float(by_rank[worst] / waited_s.sum())) if by_rank[worst] else None


def hosts(run: Outline) -> dict[str, list[int]]:
    """Return the ranks of the newest life by host."""
    return hosts_of(run.newest)


def differences(runs: Sequence[Outline]) -> dict[str, list[Any]]:
    """Return the settings in which runs differ, by dotted name; None where a run has none."""
    flat = [dict(_flat(run.config)) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    table = {name: [settings.get(name) for settings in flat] for name in names}
    return {
        name: values
        for name, values in table.items()
        if name not in NOT_SETTINGS and any(value != values[0] for value in values)
    }


def _flat(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (f"{table}.{name}", value)
        for table, settings in config.items()
        if isinstance(settings, dict)
        for name, value in settings.items()
    ]
