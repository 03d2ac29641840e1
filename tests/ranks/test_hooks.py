"""The places for compensation and factor inside the write section see what they should."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from mpi4py import MPI

from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.world import World
from mpitrain.consistency.rules import Bounded
from mpitrain.consistency.work import SharedWork
from mpitrain.core.position import Position
from mpitrain.core.shards import Shards
from mpitrain.modes.record import StepRecord
from mpitrain.modes.route import Staged
from mpitrain.modes.update import Update
from mpitrain.modes.window import Windowed
from mpitrain.optim.compensation import Compensation
from mpitrain.optim.schedules import Schedule
from mpitrain.optim.sgd import Sgd

Vector = npt.NDArray[Any]
STEPS = 60


class Watching(Compensation):
    """Changes nothing; notes the gradient, how far the parameters have moved, and the staleness."""

    state_names: ClassVar[tuple[str, ...]] = ("seen_gradient", "seen_move", "seen_change")
    needs_present: ClassVar[bool] = True
    needs_read: ClassVar[bool] = True
    learn: ClassVar[str] = "seen_change = change * tau"

    @property
    def correct(self) -> str:
        """Look at the parameters."""
        return "seen_gradient = gradient * one\nseen_move = parameters - present"

    def scalars(self, tau: int, clock: int) -> dict[str, float]:
        """Return the staleness."""
        return {"tau": float(tau), "one": 1.0}


def same(values: Vector) -> float:
    """Return the value that all elements have."""
    assert np.all(values == values[0])
    return float(values[0])


@pytest.mark.ranks(1, 2, 4, mpis=("openmpi", "mpich"))
def test_compensation_and_factor_see_present_values_and_staleness(comm: MPI.Intracomm) -> None:
    """Every gradient is ones: what a compensation sees moved by exactly its staleness.

    Without a factor each update adds -1 to each value, so the present value is minus the present
    version. The factor 2 is then applied to everything: values are minus twice the version.
    """
    world = World(comm)
    shards = Shards(40, 3, world.size)
    window = ParameterWindow(world, shards, "float64", world.patience)
    seen: list[tuple[float, float]] = []
    update = Update(
        Sgd(),
        Schedule("constant", 1.0),
        shards,
        "float64",
        factor=lambda _tau: 2.0,
        compensation=Watching(),
    )
    mode = Windowed(
        world,
        window,
        Bounded(3),
        SharedWork(STEPS),
        update,
        Position.first("ssp", "shared", world.size),
        patience=world.patience,
        route=Staged(window, update),
    )
    mode.put(np.zeros(40))
    record = StepRecord(3)
    while mode.start(record):
        mode.read(record)
        mode.gradient[:] = 8
        record.num_samples = 8
        assert mode.write(record)
        assert record.factor == 2.0
        for part in map(shards.slice, range(3)):
            assert same(update.state["seen_gradient"][part]) == 1
            tau = -same(update.state["seen_change"][part]) / 2  # the change, factor and all, is -2
            seen.append((same(update.state["seen_move"][part]), tau))
        assert record.update_norm == pytest.approx(2 * 40**0.5)
    world.meet("all have finished")
    assert mode.position().steps == STEPS
    assert all(moved == 2 * tau for moved, tau in seen)
    everyone = [pair for part in world.gather_obj(seen) for pair in part]
    assert len(everyone) == 3 * STEPS
    out, versions = np.zeros(40), np.zeros(3, np.int64)
    mode.snapshot_into(out, versions)
    assert versions.tolist() == [STEPS] * 3
    assert np.all(out == -2 * STEPS)
    world.meet("all have looked")
    mode.close()
    world.close()
