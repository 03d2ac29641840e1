"""What a mode needs between the ranks, opened: the one place where a plan meets MPI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpitrain.comm.probe import WindowProbe
from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.consistency.rules import Bounded, Rule, Unbounded
from mpitrain.consistency.work import EqualShare
from mpitrain.device_exchange import gradient_sum, open_window, route_to
from mpitrain.modes.gradient_sum import IN_PLACE, NONE
from mpitrain.modes.mode import Mode
from mpitrain.modes.synchronous import Synchronous
from mpitrain.modes.update import Update
from mpitrain.modes.window import Windowed
from mpitrain.plan import Plan, make_update


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A mode that is open, and what was chosen for it.

    Attributes:
        mode: the mode.
        update: this rank's optimiser.
        window_mechanism: how shards are locked and added to; "none" without a window.
        progress_remedy: what lets others reach a busy rank, and what was measured.
        device_exchange: how a device exchanges with other ranks: "in place" in memory that they
            share, or "staged" through host memory of its own; "none" without a device.
        close: ends everything, in order; collective; a second call does nothing.
    """

    mode: Mode
    update: Update
    window_mechanism: str
    progress_remedy: str
    device_exchange: str
    close: Callable[[], None]


def open_exchange(world: World, plan: Plan, patience: Patience) -> Exchange:
    """Open what the configured mode needs between the ranks.

    Raises:
        MpitrainError: the MPI library's windows are not exact.

    Collective: yes.
    """
    if plan.config.mode.kind == "bsp":
        return _open_synchronous(world, plan)
    return _open_windowed(world, plan, patience)


def _open_synchronous(world: World, plan: Plan) -> Exchange:
    position = plan.start.position
    gradients = gradient_sum(world, plan)
    update = make_update(plan, gradients.gradient)
    update.age = int(position.ages[world.rank])
    assert isinstance(plan.work, EqualShare)
    mode = Synchronous(update, gradients, plan.order, plan.work, world.rank, position)
    return Exchange(
        mode=mode,
        update=update,
        window_mechanism="none",
        progress_remedy="none",
        device_exchange=gradients.text if world.size > 1 else NONE,
        close=mode.close,
    )


def _open_windowed(world: World, plan: Plan, patience: Patience) -> Exchange:
    config, update = plan.config, make_update(plan)
    update.age = int(plan.start.position.ages[world.rank])
    rule: Rule = Unbounded() if config.mode.bound is None else Bounded(config.mode.bound)
    window = open_window(world, plan, patience)
    probe = WindowProbe(world, window)
    findings = probe.run(config.mode.progress)
    if findings.is_blocked and world.is_root:
        world.speak(f"warning: reads wait for busy ranks: {findings.text()}")
    route = route_to(world, plan, window, update)
    mode = Windowed(
        world,
        window,
        rule,
        plan.work,
        update,
        plan.start.position,
        patience=patience,
        route=route,
    )

    adds = "added by the device" if route.text == IN_PLACE else findings.add_mechanism

    def close() -> None:
        mode.close()
        probe.close()

    return Exchange(
        mode=mode,
        update=update,
        window_mechanism=f"ticket lock, optimistic read, {adds}",
        progress_remedy=findings.text(),
        device_exchange=route.text,
        close=close,
    )
