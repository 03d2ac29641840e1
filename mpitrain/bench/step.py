"""What a training step takes: compute, copies to and from the device, exchange with the others.

Each mode trains twice. First every copy is waited for before anything else is done, so that the
parts add up to the step; then as in training, where copies, kernels and exchange go on beside each
other. The part of the copies' time that neither the host waits for nor the gradient is the share of
them that is hidden. A device that works in the window itself has nothing to hide it behind.
Beside the copies stands the least they can take: a copy of as many bytes from and to page-locked
memory, by all ranks at once. Run it under the launcher:
``python -m mpitrain launch -n 2 bench step``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mpitrain.bench.timing import CUDA_ROUNDS
from mpitrain.build import open_exchange
from mpitrain.comm.world import World
from mpitrain.config import from_mapping
from mpitrain.core.batch import Batch
from mpitrain.devices.copy_times import CopyTimes, CopyWaits, CopyWatch
from mpitrain.devices.transfer import transfer_of
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan, make_plan
from mpitrain.running.device import placed
from mpitrain.running.loader import Loader
from mpitrain.running.totals import Totals
from mpitrain.running.training import train_steps

_STAGED = {"device": {"exchange": "staged"}}
_GAP = {"staleness": {"compensation": "gap_aware"}}
MODES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bsp", {"mode": {"kind": "bsp"}}),
    ("bsp staged", {"mode": {"kind": "bsp"}, **_STAGED}),
    ("ssp 3", {"mode": {"kind": "ssp", "bound": 3}}),
    ("ssp 3 staged", {"mode": {"kind": "ssp", "bound": 3}, **_STAGED}),
    ("asp", {"mode": {"kind": "asp"}}),
    ("asp staged", {"mode": {"kind": "asp"}, **_STAGED}),
    ("asp gap_aware", {"mode": {"kind": "asp"}, **_GAP}),
    ("asp gap_aware staged", {"mode": {"kind": "asp"}, **_GAP, **_STAGED}),
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

    ``step_us`` = ``compute_us`` + ``exchange_us`` (waiting, locks, memory of the window or the
    reduction, and the update), and on a device ``up_us`` + ``down_us`` (an addition in place, which
    crosses both ways at once, counts as down) where nothing is done beside a copy. There
    ``overlapped_us`` is the step of real training, and ``floor_us`` the copies' least.
    ``hidden`` is the part of ``up_us`` + ``down_us`` that real training does not wait for.

    Args:
        world: the ranks.
        sizes: hidden layers of the models, and steps of each rank.

    Collective: yes.
    """
    for hidden, num_steps in sizes:
        for name, given in MODES:
            plan = _plan(world, hidden, num_steps, given)
            if plan.device.kind == "cpu" and "device" in given:
                continue  # nothing is staged
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
            "run": {"steps": world.size * num_steps, "share": "equal"},
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
    if plan.device.kind == "cpu":
        step_s, compute_s = _train(world, plan, None, tuple)
        parts = {"step": step_s, "compute": compute_s, "exchange": step_s - compute_s}
        return _in_us(parts)
    times, waits = CopyTimes(plan.twin.xp), CopyWaits()
    step_s, compute_s, up_s, down_s = _train(world, plan, times, lambda: tuple(times.seconds))
    overlapped_s, beside_s, waited_s = _train(world, plan, waits, lambda: (waits.seconds,))
    copies_s = up_s + down_s
    num_steps = plan.work.total_steps // world.size
    row = _in_us(
        {
            "step": step_s,
            "compute": compute_s,
            "up": up_s,
            "down": down_s,
            "exchange": step_s - compute_s - copies_s,
            "overlapped": overlapped_s,
        }
    )
    row |= _floor(world, plan, [num_bytes / num_steps for num_bytes in times.num_bytes])
    if waited_s:
        row["hidden"] = 1 - (waited_s + beside_s - compute_s) / copies_s
    return row


def _in_us(seconds: dict[str, float]) -> dict[str, float]:
    return {f"{name}_us": value * 1e6 for name, value in seconds.items()}


class _Taker:
    """Takes the time of steps."""

    def __init__(self, seconds: Callable[[], tuple[float, ...]]) -> None:
        """Note also what ``seconds`` returns, sums that grow."""
        self._seconds = seconds
        self._rows: list[tuple[float, ...]] = []

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Note where clocks stand after a step."""
        self._rows.append((time.perf_counter(), totals.compute_s, *self._seconds()))

    def medians(self) -> list[float]:
        """Return seconds of a step: all of it, batch and gradient, and the rest."""
        return [float(value) for value in np.median(np.diff(self._rows, axis=0), axis=0)]


class _End:
    """Ends the run when all ranks have no work left."""

    def hold(self, _totals: Totals) -> bool:
        """The run is over."""
        return True

    def note_bad_step(self, _record: StepRecord) -> None:
        """A diverging model says nothing about times."""
        raise AssertionError


def _train(
    world: World,
    plan: Plan,
    watch: CopyWatch | None,
    seconds: Callable[[], tuple[float, ...]],
) -> list[float]:
    """Train without log and checkpoints; return the medians of a step."""
    exchange = open_exchange(world, plan, world.patience)
    mode, layout, taker = exchange.mode, plan.model.layout, _Taker(seconds)
    loader = Loader(plan.source, plan.order, layout.dtype, world.size, plan.twin.xp)
    if watch is not None:
        mode.watch_copies(watch)
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
    return taker.medians()


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
