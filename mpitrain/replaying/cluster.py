"""A simulated cluster as the run file says: its schedule, and what that predicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.config import Config, Mode, Simulate, Straggler, from_mapping
from mpitrain.config.text import read_toml
from mpitrain.consistency.rules import Bounded, Rule, Unbounded
from mpitrain.consistency.work import EqualShare, SharedWork, Work
from mpitrain.core.errors import LogError, UserError
from mpitrain.core.position import Position
from mpitrain.core.shards import Shards
from mpitrain.names import make_model, make_source
from mpitrain.plan import MOST_SHARDS, make_work
from mpitrain.schedules import durations
from mpitrain.schedules.durations import Draw, Durations, durations_of
from mpitrain.schedules.fit import Fit, fit_of, num_levels
from mpitrain.schedules.measures import summary_of
from mpitrain.schedules.schedule import Schedule
from mpitrain.schedules.simulator import (
    Costs,
    Dealing,
    simulate_collective,
    simulate_windowed,
)
from mpitrain.schedules.what_if import BOUNDS
from mpitrain.storage.rank_log import RankLog
from mpitrain.storage.reading import RunLog, open_log

STEPS_PER_RANK = 500  # of a prediction
SEEDS = 3  # predictions are means over as many


def predicted_schedule(config: Config) -> Schedule:
    """Return the schedule of the run that a run file asks for, without training.

    Raises:
        UserError: something in the configuration cannot be had.
    """
    size = config.simulate.ranks
    source = make_source(config)
    layout = make_model(config, source).layout
    count = config.mode.shards or min(size, MOST_SHARDS, max(layout.size, 1))
    start = Position.first(config.mode.kind, config.share, size)
    work = make_work(config, source.num_samples, start)
    return schedule_of(config, Shards(layout.size, count, size), layout.dtype.itemsize, work)


def schedule_of(config: Config, shards: Shards, itemsize: int, work: Work) -> Schedule:
    """Simulate a cluster.

    Args:
        config: of the run; its tables simulate, mode and straggler count.
        shards: cut of the parameters.
        itemsize: bytes of a parameter.
        work: how tickets are dealt out.

    Raises:
        UserError: what is to be measured from a run's log cannot be.
    """
    settings = config.simulate
    fit = _fit(settings) if settings.compute == "measured" else None
    costs = costs_of(config, shards, itemsize, fit)
    return simulated(config.mode, shards, work, _durations(config, shards.num_ranks, fit), costs)


def simulated(
    mode: Mode, shards: Shards, work: Work, compute: Sequence[Durations], costs: Costs
) -> Schedule:
    """Simulate ranks in one mode."""
    if mode.kind == "bsp":
        assert isinstance(work, EqualShare)
        return simulate_collective(
            shards.num_ranks, work.num_rounds, shards.count, compute, work.ticket, costs
        )
    rule: Rule = Unbounded() if mode.bound is None else Bounded(mode.bound)
    return simulate_windowed(shards, rule, Dealing(work.is_left, work.take), compute, costs)


def costs_of(config: Config, shards: Shards, itemsize: int, fit: Fit | None) -> Costs:
    """Return what a step costs beside computing: measured, or by latency and bandwidth.

    A message of a shard takes the latency and its bytes over the bandwidth, a write as long as a
    read; a reduction goes up and down a tree. What was given counts before what was measured.
    """
    settings, size = config.simulate, shards.num_ranks
    total_bytes = shards.size * itemsize
    message_s = settings.latency_s + total_bytes / shards.count / settings.bandwidth
    collective_s = 2 * (num_levels(size) * settings.latency_s + total_bytes / settings.bandwidth)
    costs = Costs(
        read_s=message_s,
        write_s=message_s + settings.service_s,
        service_s=settings.service_s,
        overhead_s=settings.overhead_s,
        collective_s=collective_s,
    )
    if fit is None:
        return costs
    network = {"simulate.latency_s", "simulate.bandwidth", "simulate.service_s"}
    if not network & config.given:
        scale = fit.num_shards / shards.count  # the same bytes in other pieces
        deeper = num_levels(size) / num_levels(fit.size)
        costs = replace(
            fit.costs,
            read_s=fit.costs.read_s * scale,
            write_s=fit.costs.write_s * scale,
            collective_s=fit.costs.collective_s * deeper,
        )
    if "simulate.overhead_s" not in config.given:
        costs = replace(costs, overhead_s=fit.costs.overhead_s)
    return costs


def _durations(config: Config, size: int, fit: Fit | None) -> list[Durations]:
    settings = config.simulate
    seed = config.run.seed if settings.seed is None else settings.seed
    speeds = settings.speeds or (1.0,)
    straggler: Straggler | None = config.straggler
    if fit is None:
        draws, scale_s = [_draw(settings)] * size, settings.compute_s
    else:
        draws = [durations.measured(fit.compute_s[p % fit.size]) for p in range(size)]
        scale_s = 1.0
        if straggler == _straggler_of(Path(str(settings.measured_from))):
            straggler = None  # that lateness is in what was measured
    scales = [scale_s / speeds[p % len(speeds)] for p in range(size)]
    return durations_of(draws, scales, seed, straggler, config.run.seed)


def _straggler_of(root: Path) -> Straggler:
    return from_mapping(read_toml(root / "run.toml")).straggler


def _draw(settings: Simulate) -> Draw:
    if settings.compute == "lognormal":
        return durations.lognormal(settings.spread)
    if settings.compute == "pareto":
        return durations.pareto(settings.exponent)
    return durations.exponential() if settings.compute == "exponential" else durations.constant()


def _fit(settings: Simulate) -> Fit:
    try:
        return fit_of(open_log(Path(str(settings.measured_from))))
    except LogError as error:
        message = f"simulate.measured_from: {error}"
        raise UserError(message) from error


def predictions(root: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what is predicted for every mode on the ranks of a real run, by name.

    The first row is what the run itself was, by its log.

    Raises:
        UserError: the log has too little to measure, or cannot be read.
    """
    try:
        log = open_log(root)
        fit = fit_of(log)
    except LogError as error:
        raise UserError(str(error)) from error
    logs = [log.lives[-1].ranks[rank] for rank in range(fit.size)]
    yield {"mode": fit.mode, "bound": fit.bound, "is_measured": True, **_measured(logs)}
    for kind, bound in (("bsp", None), *(("ssp", bound) for bound in BOUNDS), ("asp", None)):
        mode = Mode(kind=kind, bound=bound)
        num_steps = STEPS_PER_RANK * fit.size
        found = [_predicted(fit, mode, seed, num_steps) for seed in range(SEEDS)]
        means = {name: float(np.mean([row[name] for row in found])) for name in found[0]}
        yield {"mode": kind, "bound": bound, "is_measured": False, **means}


def predicted_like(
    log: RunLog, num_steps: int, seed: int
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what a run was by its log, and what is predicted of it from the same log.

    Raises:
        UserError: the log has too little to measure.
    """
    fit = fit_of(log)
    logs = [log.lives[-1].ranks[rank] for rank in range(fit.size)]
    mode = Mode(kind=fit.mode, bound=fit.bound)
    return _measured(logs), _predicted(fit, mode, seed, num_steps)


def _predicted(fit: Fit, mode: Mode, seed: int, steps: int) -> Mapping[str, Any]:
    size = fit.size
    compute = durations_of([durations.measured(s) for s in fit.compute_s], [1.0] * size, seed)
    work: Work = EqualShare(steps, size) if mode.kind == "bsp" else SharedWork(steps)
    shards = Shards(fit.num_shards, fit.num_shards, size)
    return summary_of(simulated(mode, shards, work, compute, fit.costs))


def _measured(logs: Sequence[RankLog]) -> Mapping[str, Any]:
    steps = {
        name: np.concatenate([log.steps[name] for log in logs]).astype(np.float64)
        for name in ("began_s", "wait_s", "read_s", "compute_s", "write_s", "staleness_mean")
    }
    phases = steps["wait_s"] + steps["read_s"] + steps["compute_s"] + steps["write_s"]
    seconds = float((steps["began_s"] + phases).max() - steps["began_s"].min())
    return {
        "steps_per_s": len(steps["began_s"]) / seconds if seconds else 0.0,
        "wait_share": float(steps["wait_s"].sum() / phases.sum()) if seconds else 0.0,
        "staleness_mean": float(steps["staleness_mean"].mean()),
        "staleness_p99": float(np.quantile(steps["staleness_mean"], 0.99)),
        "staleness_max": float(max(log.steps["staleness_max"].max(initial=0) for log in logs)),
        "lead_max": float(max(log.steps["lead"].max(initial=0) for log in logs)),
    }
