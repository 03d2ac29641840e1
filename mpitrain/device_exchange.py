"""How devices exchange with other ranks: in memory that all share, or through each rank's own.

Both ways give the same bits. In place takes one host, a GPU for each rank and a driver that lets it
into the memory; else, and where ``device.exchange`` says so, ranks copy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from mpitrain.comm.reduction import REDUCTIONS
from mpitrain.comm.shared_vectors import SharedVectors
from mpitrain.comm.waiting import Patience
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.world import World
from mpitrain.core.console import size_text
from mpitrain.core.errors import NoSharedMemoryError, reason
from mpitrain.devices.in_place import InPlace
from mpitrain.devices.transfer import Vector
from mpitrain.modes.gradient_sum import GradientSum, StagedSum
from mpitrain.modes.in_place_sum import InPlaceSum
from mpitrain.modes.message import NUM_SIGNALS, Message
from mpitrain.modes.route import Direct, Route, Staged
from mpitrain.modes.update import Update
from mpitrain.mpiexec import kind_of_version
from mpitrain.plan import Plan
from mpitrain.segments import backing_folder, free_bytes

MARGIN_BYTES = 64 << 10  # of shared memory per rank: what MPI keeps beside the vectors


def goes_in_place(world: World, plan: Plan) -> bool:
    """Tell whether devices are to work in memory of all ranks, as far as settings and hosts go."""
    config, are_on_one_host = plan.config, world.local_size == world.size
    if plan.device.kind == "cpu" or config.device.exchange == "staged" or not are_on_one_host:
        return False
    is_summed_here = world.size > 1 and config.mode.reduction == "tree"
    return config.mode.kind != "bsp" or is_summed_here


def open_window(world: World, plan: Plan, patience: Patience) -> ParameterWindow:
    """Open the parameter window, for devices to work in it where they are to.

    Collective: yes.
    """
    dtype = plan.model.layout.dtype
    if goes_in_place(world, plan):
        try:
            return ParameterWindow(world, plan.shards, dtype, patience, is_shared=True)
        except NoSharedMemoryError as error:
            _warn(world, str(error))
    return ParameterWindow(world, plan.shards, dtype, patience)


def route_to(world: World, plan: Plan, window: ParameterWindow, update: Update) -> Route:
    """Return the way to the window; each rank may have its own.

    Args:
        world: the ranks.
        plan: of this rank.
        window: of ``open_window``.
        update: of this rank.

    Collective: yes.
    """
    if not window.is_shared:
        return Staged(window, update)
    memory = [window.memory_of(shard) for shard in range(window.shards.count)]
    bus = _locked(plan, memory)
    _tell_refusals(world, bus)
    return Staged(window, update) if isinstance(bus, str) else Direct(window, update, bus)


def gradient_sum(world: World, plan: Plan) -> GradientSum:
    """Return what sums gradients, the same way on all ranks.

    Collective: yes.
    """
    if goes_in_place(world, plan) and _has_room(world, plan):
        gradients = _in_place_sum(world, plan)
        if gradients is not None:
            return gradients
    layout = plan.model.layout
    message = Message(layout.size, layout.dtype, plan.twin)
    reduce = REDUCTIONS[plan.config.mode.reduction]
    return StagedSum(message, [reduce(world, vector) for vector in message.vectors])


def _in_place_sum(world: World, plan: Plan) -> InPlaceSum | None:
    layout = plan.model.layout
    try:
        shared = SharedVectors(world, layout.size + NUM_SIGNALS, layout.dtype)
    except NoSharedMemoryError as error:
        _warn(world, str(error))
        return None
    bus = _locked(plan, shared.vectors)
    are_refused = _tell_refusals(world, bus)
    if not (are_refused or isinstance(bus, str)):
        return InPlaceSum(world.rank, shared, bus, plan.twin)
    if isinstance(bus, InPlace):
        bus.close()
    shared.close()
    return None


def _has_room(world: World, plan: Plan) -> bool:
    """Tell whether the gradients of all ranks fit into shared memory; say where not."""
    layout = plan.model.layout
    needed = world.size * (layout.size * layout.dtype.itemsize + MARGIN_BYTES)
    folder = backing_folder(kind_of_version(world.library), os.environ)
    free = world.from_root(lambda: free_bytes(folder))
    if free < needed:
        _warn(world, f"{size_text(needed)} are needed and {size_text(free)} free in {folder}")
    return free >= needed


def _locked(plan: Plan, memory: Sequence[Vector]) -> InPlace | str:
    """Return the way of this rank's device into memory, or why the driver refuses."""
    try:
        return InPlace(plan.twin.xp, memory)
    except plan.twin.xp.cuda.runtime.CUDARuntimeError as error:
        return reason(error)


def _tell_refusals(world: World, bus: InPlace | str) -> bool:
    """Say once which driver refuses, and tell whether one does. Collective: yes."""
    mine = bus if isinstance(bus, str) else ""
    refusals = world.gather_obj(mine, "all ranks have locked the shared memory")
    refused = [rank for rank, text in enumerate(refusals) if text]
    if refused:
        first = refused[0]
        others = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
        _warn(world, f"{world.named(first)}{others}: {refusals[first]}")
    return bool(refused)


def _warn(world: World, why: str) -> None:
    if world.is_root:
        world.speak(f"warning: a GPU cannot work in shared memory and copies instead: {why}")
