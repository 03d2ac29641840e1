"""The devices of all ranks, chosen together: a run computes on GPUs everywhere or nowhere.

What a rank keeps there is counted before anything is made.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable

from mpitrain.comm.world import World
from mpitrain.config import Device as Settings
from mpitrain.core.errors import UserError, agreed
from mpitrain.device_exchange import goes_in_place
from mpitrain.devices.agreement import chosen_kind, device_of, refuse_idle_gpus, sharing_line
from mpitrain.devices.alone import open_alone
from mpitrain.devices.cuda import limit_memory
from mpitrain.devices.device import Device
from mpitrain.devices.fit import check_fits
from mpitrain.devices.offer import make_offer
from mpitrain.names import make_compensation, state_names
from mpitrain.plan import Plan
from mpitrain.running.wording import kernel_lines
from mpitrain.slurm import Slurm


def placed(world: World, plan: Plan) -> Plan:
    """Return the plan of this rank on its device.

    Raises:
        UserError: on every rank, when a GPU was asked for and a rank has none, or the run does not
            fit on one.

    Collective: yes.
    """
    settings = dataclasses.replace(plan.config.device, kind=plan.device_kind)
    device = open_device(world, settings)
    plan = plan.on(device)
    in_place = goes_in_place(world, plan)
    world.agree(lambda: _check_fits(plan, 1, in_place=in_place))
    said = world.gather_obj((plan.twin.label, plan.twin.trouble), "all ranks have their kernels")
    if world.is_root:
        for line in kernel_lines(said):
            world.speak(line)
    return plan


def placed_alone(plan: Plan, settings: Settings, speak: Callable[[str], None]) -> Plan:
    """Return the plan of simulated ranks on the device of this process.

    Args:
        plan: of the simulated ranks.
        settings: of the device.
        speak: takes a warning.

    Raises:
        UserError: a GPU was asked for, and there is none, or the ranks do not fit on it.

    Collective: no.
    """
    kind = plan.device_kind if settings.kind == "auto" else settings.kind
    device = open_alone(kind, settings.memory_share, speak)
    plan = plan.on(device)
    _check_fits(plan, plan.start.position.size)
    for line in kernel_lines([(plan.twin.label, plan.twin.trouble)]):
        speak(line)
    return plan


def _check_fits(plan: Plan, num_ranks: int, *, in_place: bool = False) -> None:
    parts = device_bytes(plan, num_ranks, in_place=in_place)
    check_fits(plan.device, sum(parts.values()), parts)


def device_bytes(plan: Plan, num_ranks: int, *, in_place: bool) -> dict[str, int]:
    """Return what ranks keep on their device, in bytes; the model's own work arrays left out.

    Args:
        plan: of the ranks.
        num_ranks: simulated ranks on the device, or 1.
        in_place: the device works in memory of all ranks.
    """
    layout, config = plan.model.layout, plan.config
    vector = layout.size * layout.dtype.itemsize
    is_windowed, micro = config.mode.kind != "bsp", config.data.micro_batch_size
    num_workers = num_ranks if is_windowed else 1
    num_partial = 0 if is_windowed or num_ranks == 1 else 1 + num_ranks.bit_length()
    is_in_pieces = micro is not None and micro < plan.order.batch_size
    needs_present = make_compensation(config).needs_present
    sample = math.prod(plan.source.sample_shape) * layout.dtype.itemsize + 8
    num_others = plan.start.position.size - 1
    inbox = vector * num_others // (num_others + 1)
    parts = {
        "parameters": vector * (num_workers + (num_ranks > 1)),
        "gradients": vector * (1 + is_in_pieces + num_partial),
        "gradients of others": inbox * (in_place and not is_windowed),
        "changes": vector * num_workers * is_windowed,
        "optimiser": vector * num_workers * len(state_names(config)),
        "present values": vector // plan.shards.count * needs_present,
        "evaluation": vector,
        "coherence": 2 * vector * bool(config.run.coherence_every),
        "samples": plan.order.batch_size * sample,
    }
    return {name: size for name, size in parts.items() if size}


def open_device(world: World, settings: Settings) -> Device:
    """Open this rank's device, and limit what it takes of the memory.

    Args:
        world: the ranks.
        settings: the same on every rank.

    Raises:
        UserError: on every rank, when a GPU was asked for and a rank has none.

    Collective: yes.
    """
    mine = make_offer(settings.kind, world.host, world.local_rank)
    offers = world.gather_obj(mine, "all ranks have looked for a GPU")
    job = world.from_root(lambda: Slurm.from_environ(os.environ))
    try:
        kind, warning = chosen_kind(settings.kind, offers)
        if kind != settings.kind and job is not None and job.gpus:
            refuse_idle_gpus(kind, offers, job.gpus)
    except UserError as error:
        raise agreed(error) from None
    warnings = [warning, sharing_line(offers) if kind == "cuda" else ""]
    if world.is_root:
        for line in filter(None, warnings):
            world.speak(line)
    device = device_of(world.rank, offers, kind, settings.memory_share)
    if device.kind == "cuda":
        limit_memory(device)
    return device
