"""What a mode needs between the ranks, opened: the one place where a plan meets MPI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpitrain.comm.probe import WindowProbe
from mpitrain.comm.reduction import REDUCTIONS
from mpitrain.comm.waiting import Patience
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.world import World
from mpitrain.consistency.rules import Bounded, Rule, Unbounded
from mpitrain.consistency.work import EqualShare
from mpitrain.modes.message import Message
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
        close: ends everything, in order; collective; a second call does nothing.
    """

    mode: Mode
    update: Update
    window_mechanism: str
    progress_remedy: str
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
    position, layout = plan.start.position, plan.model.layout
    message = Message(layout.size, layout.dtype, plan.twin)
    update = make_update(plan, message.gradient)
    update.age = int(position.ages[world.rank])
    reduce = REDUCTIONS[plan.config.mode.reduction]
    reductions = [reduce(world, vector) for vector in message.vectors]
    assert isinstance(plan.work, EqualShare)
    mode = Synchronous(update, message, reductions, plan.order, plan.work, world.rank, position)
    return Exchange(
        mode=mode,
        update=update,
        window_mechanism="none",
        progress_remedy="none",
        close=mode.close,
    )


def _open_windowed(world: World, plan: Plan, patience: Patience) -> Exchange:
    config, update = plan.config, make_update(plan)
    update.age = int(plan.start.position.ages[world.rank])
    rule: Rule = Unbounded() if config.mode.bound is None else Bounded(config.mode.bound)
    window = ParameterWindow(world, plan.shards, plan.model.layout.dtype, patience)
    probe = WindowProbe(world, window)
    findings = probe.run(config.mode.progress)
    if findings.is_blocked and world.is_root:
        world.speak(f"warning: reads wait for busy ranks: {findings.text()}")
    mode = Windowed(
        world,
        window,
        rule,
        plan.work,
        update,
        plan.start.position,
        patience=patience,
    )

    def close() -> None:
        mode.close()
        probe.close()

    return Exchange(
        mode=mode,
        update=update,
        window_mechanism=f"ticket lock, optimistic read, {findings.add_mechanism}",
        progress_remedy=findings.text(),
        close=close,
    )
