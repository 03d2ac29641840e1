"""The delay model: what it must be where it can be computed otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mpitrain.config import from_mapping
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan, make_plan
from mpitrain.replaying.collective import CollectiveReplay
from mpitrain.replaying.delayed import DelayedReplay
from mpitrain.replaying.ranks import Worker
from mpitrain.running.loader import Loader
from mpitrain.schedules.delays import Delays, constant, drawn, geometric, uniform
from mpitrain.schedules.schedule import Schedule

Vector = npt.NDArray[Any]
STEPS = 40


def plan_of(size: int, mode: str, optimizer: str = "sgd", dtype: str = "float64") -> Plan:
    """Return a small softmax run on synthetic data."""
    tables = {
        "run": {"steps": STEPS * size, "share": "equal"},
        "data": {
            "source": "synthetic",
            "num_samples": 204,  # no ticket is short: a mean over workers is one over samples
            "num_test": 10,
            "num_features": 5,
            "num_classes": 3,
            "batch_size": 4,
        },
        "model": {"kind": "softmax", "dtype": dtype},
        "optimizer": {"kind": optimizer, "rate": 0.05},
        "mode": {"kind": mode, "shards": 1},
    }
    return make_plan(from_mapping(tables), size)


def loader(plan: Plan) -> Loader:
    """Return what loads the batches of ``plan``."""
    return Loader(plan.source, plan.order, plan.model.layout.dtype, ahead=1)


def delayed(
    plan: Plan,
    delays: Delays,
    tell: Callable[[int, StepRecord], None] = lambda _row, _record: None,
) -> DelayedReplay:
    """Train under ``delays`` to the end."""
    workers = [Worker(plan, rank) for rank in range(delays.size)]
    engine = DelayedReplay(plan, delays, workers, loader(plan).load, tell)
    assert engine.advance_to(delays.num_ticks)
    engine.settle()
    return engine


def reference(plan: Plan, delay: int) -> Vector:
    """Return what one worker's parameters become when each update is ``delay`` ticks late."""
    loads, layout = loader(plan), plan.model.layout
    x, g, late = plan.initial.copy(), np.empty_like(plan.initial), []
    for tick in range(STEPS):
        if tick > delay:
            x += late.pop(0)
        batch = loads.load(tick)
        plan.model.loss_and_gradient(layout.views(x), batch, layout.views(g))
        late.append(-0.05 * (g * (1 / len(batch.y))))
    for change in late:
        x += change
    return x


@pytest.mark.parametrize("delay", [0, 1, 3, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_worker_with_a_constant_delay_is_delayed_sgd(delay: int, dtype: str) -> None:
    """Bit for bit; with no delay that is SGD."""
    plan = plan_of(1, "asp", dtype=dtype)
    engine = delayed(plan, drawn(constant(delay), 0, STEPS, 1))
    assert engine.parameters.tobytes() == reference(plan, delay).tobytes()
    assert engine.most_kept == delay + 1


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_without_delay_it_is_synchronous_training(size: int) -> None:
    """Within 1e-13 of the largest weight: the sums are the same, added in another order."""
    plan = plan_of(size, "asp")
    engine = delayed(plan, drawn(uniform(0), 0, STEPS, size))
    for worker in engine.workers:
        assert worker.update.parameters.tobytes() == engine.parameters.tobytes()
    together = plan_of(size, "bsp")
    rows = STEPS * size
    clock, rank = np.divmod(np.arange(rows), size)
    version = clock[:, np.newaxis]
    schedule = Schedule(
        is_collective=True,
        size=size,
        rank=rank,
        clock=clock,
        ticket=np.arange(rows),
        read=version,
        written=version + 1,
        lead=np.zeros(rows, np.int64),
    )
    wanted = CollectiveReplay(
        together,
        schedule,
        [Worker(together, 0)],
        loader(together).load,
        lambda _row, _record: None,
    )
    assert wanted.advance_to(STEPS)
    largest = np.abs(wanted.parameters).max()
    assert np.abs(engine.parameters - wanted.parameters).max() <= 1e-13 * largest


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_every_update_arrives_everywhere_once(optimizer: str) -> None:
    """At the end all copies know all updates; the same arguments give the same bits."""
    plan = plan_of(4, "asp", optimizer)
    rows: list[tuple[int, int, int, int]] = []

    def tell(row: int, record: StepRecord) -> None:
        rows.append((row, record.ticket, record.staleness_max, record.own_missing))

    delays = drawn(uniform(5), 3, STEPS, 4)
    engine = delayed(plan, delays, tell)
    assert engine.num_done == STEPS * 4 == engine.versions[0]
    first = engine.workers[0].update.parameters
    for worker in engine.workers[1:]:
        assert np.abs(worker.update.parameters - first).max() < 1e-12
    assert [row for row, *_ in rows] == [ticket for _, ticket, *_ in rows] == list(range(160))
    for row, _, staleness, own in rows:
        tick, worker = divmod(row, 4)
        late = [
            (source == worker)
            for t in range(tick)
            for source in range(4)
            if t + 1 + delays.ticks[t, source, worker] > tick
        ]
        assert (staleness, own) == (late.count(False), late.count(True))
    again = delayed(plan, drawn(uniform(5), 3, STEPS, 4))
    assert again.parameters.tobytes() == engine.parameters.tobytes()


@pytest.mark.parametrize(
    ("draw", "probabilities"),
    [
        (uniform(7), [1 / 8] * 8),
        (geometric(2.0), [1 / 3 * (2 / 3) ** r for r in range(12)]),
    ],
)
def test_histogram_of_delays_is_what_it_should_be(draw: Any, probabilities: list[float]) -> None:
    """Chi-square: beyond the 1 - 1e-4 quantile only with a broken generator (the seed is fixed)."""
    found = drawn(draw, 1, 200, 16).ticks.ravel()
    last = len(probabilities)
    counts = np.bincount(np.minimum(found, last), minlength=last + 1)
    wanted = found.size * np.array([*probabilities, max(1 - sum(probabilities), 0)])
    is_there = wanted > 1e-6
    assert not counts[~is_there].any()
    chi_square = (((counts - wanted) ** 2)[is_there] / wanted[is_there]).sum()
    quantiles = {7: 29.9, 12: 39.1}  # of chi-square, by degrees of freedom, at 1 - 1e-4
    assert chi_square < quantiles[int(is_there.sum()) - 1]
