"""The devices of all ranks, chosen together: a run computes on GPUs everywhere or nowhere."""

from __future__ import annotations

from mpitrain.comm.world import World
from mpitrain.config import Device as Settings
from mpitrain.core.errors import UserError, agreed
from mpitrain.devices.agreement import chosen_kind, device_of, sharing_line
from mpitrain.devices.cuda import limit_memory
from mpitrain.devices.device import Device
from mpitrain.devices.offer import make_offer


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
    try:
        kind, warning = chosen_kind(settings.kind, offers)
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
