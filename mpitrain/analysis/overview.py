"""A run on one page, as facts: what it was, how fast, where its time went, how stale, how good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpitrain.analysis.distribution import MEASURES, Counting, Distribution
from mpitrain.analysis.facts import (
    configuration_of,
    hosts_of,
    job_of,
    limit_of,
    number_of,
    run_facts,
)
from mpitrain.analysis.happenings import counts_by_kind, evaluations_of, events_of
from mpitrain.analysis.lacking import read_or_empty
from mpitrain.analysis.phase_times import PhaseTimes, totals_of
from mpitrain.analysis.readable import Opened
from mpitrain.analysis.scan import scan


def overview_of(run: Opened) -> dict[str, Any]:
    """Return all that ``summary`` tells of a run, as a JSON object; reads each log once."""
    distribution, times = Distribution(run.axis), dict[int, PhaseTimes]()
    for segment, offset_s in run.timed_segments():
        counting = Counting(distribution, segment, offset_s)
        phases = times.setdefault(segment.rank, PhaseTimes())
        scan(segment.log, [counting, phases], segment.num_rows)
    events = events_of(run)
    evaluations = evaluations_of(events)
    result = read_or_empty(run.log.directory, "result")
    return {
        **run_facts(run),
        **totals_of(run, times),
        "per_rank": _per_rank(run, times, distribution),
        "hosts": hosts_of(run.newest),
        "lives": _lives(run),
        "staleness_limit": limit_of(run),
        **{name: distribution.whole(name).facts() for name in MEASURES},
        "evaluations": evaluations,
        "final": _final(result, evaluations),
        "events": counts_by_kind(events),
        "result": dict(result),
        "configuration": dict(configuration_of(run.log.directory)),
    }


def _per_rank(
    run: Opened, times: Mapping[int, PhaseTimes], distribution: Distribution
) -> list[dict[str, Any]]:
    logs = run.newest.ranks
    return [
        {
            "rank": rank,
            "host": str(logs[rank].attributes.get("host", "?")) if rank in logs else None,
            **phases.facts(),
            **{name: distribution.per_rank[rank][name].facts() for name in MEASURES},
        }
        for rank, phases in sorted(times.items())
    ]


def _lives(run: Opened) -> list[dict[str, Any]]:
    """Return what each life added: rows on the timeline, and how it began and ended."""
    counted = {stretch.life.life: stretch for stretch in run.chain}
    return [
        {
            "life": life.life,
            "ranks": life.size,
            "rows": sum(log.num_rows for log in life.ranks.values()),
            "counted": sum(segment.num_rows for segment in counted[life.life].segments())
            if life.life in counted
            else 0,
            "from_life": life.start.life if life.start.life >= 0 else None,
            "from_steps": life.start.steps,
            "closed": bool(life.ranks)
            and not life.missing
            and all(log.is_closed for log in life.ranks.values()),
            "slurm": job_of(life),
        }
        for life in run.log.lives
    ]


def _final(result: Mapping[str, Any], evaluations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the last loss and metric: of the result, else of the last evaluation so far."""
    last = evaluations[-1] if evaluations else {}
    source = result if "loss" in result else last
    numbers = {name: number_of(source, name) for name in ("steps", "loss", "metric")}
    return {"metric_name": source.get("metric_name"), **numbers}
