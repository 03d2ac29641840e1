"""What a training step takes: compute, copies to and from the device, exchange with the others.

Each mode trains twice. First every copy is waited for before anything else is done, so that the
parts add up to the step; then as in training, where copies, kernels and exchange go on beside each
other. What the step is shorter by, of the time of its copies, is the share of them that is hidden.
Beside the copies stands the least they can take: a copy of as many bytes from and to page-locked
memory, by all ranks at once. Run it under the launcher:
``python -m mpitrain launch -n 2 bench step``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mpitrain.bench.timing import CUDA_ROUNDS
from mpitrain.build import open_exchange
from mpitrain.comm.world import World
from mpitrain.config import from_mapping
from mpitrain.core.batch import Batch
from mpitrain.devices.copy_times import CopyTimes
from mpitrain.devices.transfer import transfer_of
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan, make_plan
from mpitrain.running.device import placed
from mpitrain.running.loader import Loader
from mpitrain.running.totals import Totals
from mpitrain.running.training import train_steps

MODES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bsp", {"mode": {"kind": "bsp"}}),
    ("ssp 3", {"mode": {"kind": "ssp", "bound": 3}}),
    ("asp", {"mode": {"kind": "asp"}}),
    ("asp gap_aware", {"mode": {"kind": "asp"}, "staleness": {"compensation": "gap_aware"}}),
)
# 0.9 MiB and 80 MiB of parameters; steps of each rank
SIZES: tuple[tuple[Sequence[int], int], ...] = (((256, 128), 300), ((4096, 4096), 40))
DATA = {
    "source": "synthetic",
    "num_samples": 4096,
    "num_test": 64,
    "num_features": 784,
    "num_classes": 10,
    "batch_size": 64,
}


def measure(
    world: World, sizes: Sequence[tuple[Sequence[int], int]] = SIZES
) -> Iterator[dict[str, Any]]:
    """Yield one row per mode and size: median microseconds of a step of rank 0.

    ``step_us`` = ``compute_us`` + ``up_us`` + ``down_us`` + ``exchange_us`` (waiting, locks, memory
    of the window or the reduction, and the update) where nothing is done beside a copy;
    ``overlapped_us`` is the step of real training, and ``floor_us`` the least for the copies.
    ``hidden`` is (``step_us`` - ``overlapped_us``) / (``up_us`` + ``down_us``).

    Args:
        world: the ranks.
        sizes: hidden layers of the models, and steps of each rank.

    Collective: yes.
    """
    for hidden, num_steps in sizes:
        for name, given in MODES:
            plan = _plan(world, hidden, num_steps, given)
            yield {
                "mode": name,
                "ranks": world.size,
                "device": plan.device.text,
                "mib": _size_bytes(plan) / 2**20,
                **_split(world, plan),
            }


def _plan(world: World, hidden: Sequence[int], num_steps: int, given: dict[str, Any]) -> Plan:
    config = from_mapping(
        {
            "run": {"steps": world.size * num_steps},
            "data": DATA,
            "model": {"kind": "mlp", "hidden": hidden},
            "optimizer": {"kind": "momentum", "rate": 1e-4},
            **given,
        }
    )
    return placed(world, world.agree(lambda: make_plan(config, world.size)))


def _size_bytes(plan: Plan) -> int:
    return plan.model.layout.size * plan.model.layout.dtype.itemsize


def _split(world: World, plan: Plan) -> dict[str, Any]:
    on_device = plan.device.kind != "cpu"
    overlapped, plain = _Taker(None), _Taker(CopyTimes(plan.twin.xp) if on_device else None)
    for taker in (plain, overlapped):
        _train(world, plan, taker)
    step_s, compute_s, up_s, down_s = plain.medians()
    row = {
        "step_us": step_s * 1e6,
        "compute_us": compute_s * 1e6,
        "up_us": up_s * 1e6,
        "down_us": down_s * 1e6,
        "exchange_us": (step_s - compute_s - up_s - down_s) * 1e6,
        "overlapped_us": overlapped.medians()[0] * 1e6,
    }
    if on_device:
        row |= _floor(world, plan, plain.bytes_per_step())
    if up_s or down_s:  # one synchronous rank copies nothing
        row["hidden"] = (row["step_us"] - row["overlapped_us"]) / (row["up_us"] + row["down_us"])
    return row


class _Taker:
    """Takes the time of steps, and of the copies in them."""

    def __init__(self, times: CopyTimes | None) -> None:
        """Take also what ``times`` is told, which makes copies wait."""
        self.times = times
        self._rows: list[tuple[float, ...]] = []

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Note where clocks stand after a step."""
        copies = (0.0, 0.0) if self.times is None else self.times.seconds
        self._rows.append((time.perf_counter(), totals.compute_s, *copies))

    def medians(self) -> list[float]:
        """Return seconds of a step: all of it, batch and gradient, copies up and down."""
        return [float(value) for value in np.median(np.diff(self._rows, axis=0), axis=0)]

    def bytes_per_step(self) -> list[float]:
        """Return what goes up and what comes down."""
        assert self.times is not None
        return [num / len(self._rows) for num in self.times.num_bytes]


class _End:
    """Ends the run when all ranks have no work left."""

    def hold(self, _totals: Totals) -> bool:
        """The run is over."""
        return True

    def note_bad_step(self, _record: StepRecord) -> None:
        """A diverging model says nothing about times."""
        raise AssertionError


def _train(world: World, plan: Plan, taker: _Taker) -> None:
    """Train without log and checkpoints."""
    exchange = open_exchange(world, plan, world.patience)
    mode, layout = exchange.mode, plan.model.layout
    loader = Loader(plan.source, plan.order, layout.dtype, world.size, plan.twin.xp)
    for transfer in mode.transfers:
        transfer.watch = taker.times
    parameters, gradient = layout.views(mode.parameters), layout.views(mode.gradient)

    def compute(batch: Batch) -> float:
        loss = plan.model.loss_and_gradient(parameters, batch, gradient)
        plan.twin.wait()
        return loss

    mode.put(plan.initial)
    record = StepRecord(plan.shards.count)
    train_steps(mode, loader.load, compute, time.perf_counter, record, _End(), observers=(taker,))
    world.meet("all ranks have trained")
    exchange.close()


def _floor(world: World, plan: Plan, bytes_per_step: Sequence[float]) -> dict[str, float]:
    """Return the rate of a copy of the whole vector each way, and what a step's bytes take so."""
    xp, layout = plan.twin.xp, plan.model.layout
    transfer = transfer_of(xp, xp.zeros(layout.size, layout.dtype), [slice(0, layout.size)])
    transfer.watch = times = CopyTimes(xp)
    rows = [(0.0, 0.0)]
    for _ in range(CUDA_ROUNDS):
        world.meet("a copy is timed")
        transfer.upload(0)
        transfer.download((0,))
        rows.append((times.seconds[0], times.seconds[1]))
    transfer.close()
    vector = _size_bytes(plan)
    up_s, down_s = np.median(np.diff(rows, axis=0), axis=0).tolist()
    floor_s = (bytes_per_step[0] * up_s + bytes_per_step[1] * down_s) / vector
    return {
        "floor_us": floor_s * 1e6,
        "up_gb_s": vector / up_s / 1e9,
        "down_gb_s": vector / down_s / 1e9,
    }
