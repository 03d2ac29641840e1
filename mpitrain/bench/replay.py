"""What replaying costs, beside a plain loop over the same gradients and updates.

The plain loop has one set of parameters and takes the steps one after the other: load, gradient,
optimiser, add. The replay does the same steps as a schedule of 4 ranks says, so it has to keep the
versions that are still to be read and to copy them to where gradients are computed. Both run in
turn on one thread of the CPU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mpitrain.config import from_mapping
from mpitrain.devices.device import CPU
from mpitrain.plan import Plan, make_plan
from mpitrain.replaying.ranks import Worker, workers_in_turn
from mpitrain.replaying.windowed import WindowedReplay
from mpitrain.running.loader import Loader
from mpitrain.schedules.schedule import Schedule

ROUNDS = 5
RANKS = 4
CASES: tuple[dict[str, Any], ...] = (
    {"name": "softmax, 784 features", "model": {"kind": "softmax"}, "steps": 4000},
    {"name": "mlp 256", "model": {"hidden": [256]}, "steps": 800},
    {"name": "mlp 1024 1024", "model": {"hidden": [1024, 1024]}, "steps": 120},
)


def measure() -> Iterator[dict[str, Any]]:
    """Yield one row per model: median seconds per step of both, and replay / loop."""
    for case in CASES:
        for optimizer in ("sgd", "momentum"):
            yield {"model": case["name"], "optimizer": optimizer, **_measure(case, optimizer)}


def _measure(case: dict[str, Any], optimizer: str) -> dict[str, Any]:
    num_steps = case["steps"]
    plan = _plan(case["model"], optimizer, num_steps)
    alone = _plan(case["model"], optimizer, num_steps, "bsp", 1)
    schedule = staggered(num_steps, RANKS, plan.shards.count)
    actions: dict[str, Callable[[], float]] = {
        "loop_s": lambda: _loop(alone, num_steps),
        "replay_s": lambda: _replay(plan, schedule),
    }
    times: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(ROUNDS):
        for name in sorted(actions, reverse=bool(number % 2)):
            times[name].append(actions[name]() / num_steps)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = [r / s for r, s in zip(times["replay_s"], times["loop_s"], strict=True)]
    return {
        "parameters": plan.model.layout.size,
        "shards": plan.shards.count,
        **medians,
        "ratio": statistics.median(ratios),
    }


def staggered(num_steps: int, size: int, num_shards: int) -> Schedule:
    """Return a schedule in which ranks take turns: each gradient is size - 1 updates old."""
    made = np.arange(num_steps)
    order = np.lexsort((made, made % size))
    rank, clock = (made % size)[order], (made // size)[order]
    read = np.maximum(made - size + 1, 0)[order]
    versions = np.repeat(read[:, np.newaxis], num_shards, axis=1)
    written = np.repeat(made[order][:, np.newaxis] + 1, num_shards, axis=1)
    return Schedule(
        is_collective=False,
        size=size,
        rank=rank,
        clock=clock,
        ticket=made[order],
        read=versions,
        written=written,
        lead=np.zeros(num_steps, np.int64),
    )


def _plan(
    model: dict[str, Any], optimizer: str, num_steps: int, mode: str = "asp", ranks: int = RANKS
) -> Plan:
    data = {"source": "synthetic", "num_samples": 4096, "num_features": 784, "batch_size": 32}
    tables: dict[str, dict[str, Any]] = {
        "run": {"steps": num_steps},
        "data": data,
        "model": model,
        "optimizer": {"kind": optimizer, "rate": 0.001},
        "mode": {"kind": mode},
    }
    return make_plan(from_mapping(tables), ranks).on(CPU)


def _loop(plan: Plan, num_steps: int) -> float:
    worker = Worker(plan, 0)
    update, record = worker.update, worker.record
    np.copyto(update.parameters, plan.initial)
    load = Loader(plan.source, plan.order, plan.model.layout.dtype, ahead=1).load
    began_s = time.perf_counter()
    for step in range(num_steps):
        record.clock = step
        worker.compute(load(step))
        update.begin(record, record.num_samples, step)
        update.apply()
        record.update_norm = update.norm()
    return time.perf_counter() - began_s


def _replay(plan: Plan, schedule: Schedule) -> float:
    workers = workers_in_turn(plan, schedule.size)
    load = Loader(plan.source, plan.order, plan.model.layout.dtype, ahead=1).load
    engine = WindowedReplay(plan, schedule, workers, load, lambda _row, _record: None)
    began_s = time.perf_counter()
    engine.advance_to(schedule.last_version)
    return time.perf_counter() - began_s
