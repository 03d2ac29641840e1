"""What the ranks make of their offers: all on GPUs or all on the CPU, and who shares one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mpitrain.core.console import counted
from mpitrain.core.errors import UserError
from mpitrain.devices.device import CPU, Device
from mpitrain.devices.offer import Offer
from mpitrain.devices.trouble import Trouble

MOST_NAMED = 8  # ranks that a line names
ONE_EACH = "start one rank for each GPU"


def chosen_kind(kind: str, offers: Sequence[Offer]) -> tuple[str, str]:
    """Return the kind of device that every rank takes, and a warning; empty without one.

    A machine without a GPU is no reason for a word, unless a GPU was asked for.

    Args:
        kind: "auto", "cpu" or "cuda", as the run file says.
        offers: of all ranks.

    Raises:
        UserError: a GPU was asked for, and a rank has none; names rank and host.
    """
    if kind == "cpu":
        return "cpu", ""
    found = lacking(offers)
    if found is None:
        return "cuda", ""
    if kind == "cuda":
        message = f"device.kind 'cuda': {found.what}; {found.remedy}, or choose device.kind=cpu"
        raise UserError(message)
    if not any(offer.sees_gpu for offer in offers):
        return "cpu", ""
    remedy = f"{found.remedy}, or say device.kind=cpu"
    return "cpu", f"warning: all ranks use the CPU, because {found.what}; {remedy}"


def refuse_idle_gpus(kind: str, offers: Sequence[Offer], gpus: str) -> None:
    """Check that the GPUs which a Slurm job was given are used.

    Args:
        kind: what all ranks were found to take.
        offers: of all ranks.
        gpus: what Slurm calls those of the job.

    Raises:
        UserError: nobody uses them, and nobody said so.
    """
    found = lacking(offers)
    if kind == "cpu" and found is not None:
        message = (
            f"this Slurm job was given GPUs ({gpus}), but {found.what}; {found.remedy}, or say "
            "device.kind=cpu"
        )
        raise UserError(message)


def lacking(offers: Sequence[Offer]) -> Trouble | None:
    """Return which rank has no GPU and why, of all that have none; None where all have one."""
    without = [rank for rank, offer in enumerate(offers) if offer.device is None]
    if not without:
        return None
    # who sees a GPU and cannot use it knows more
    rank = min(without, key=lambda rank: not offers[rank].sees_gpu)
    trouble = offers[rank].trouble or Trouble("it did not look for one", "let it")
    what = f"rank {rank} on {offers[rank].host} has no GPU to compute on: {trouble.what}"
    if len(without) > 1:
        what += f" ({counted(len(without), 'rank')} of {len(offers)} have none)"
    return Trouble(what, trouble.remedy)


def sharing(offers: Sequence[Offer]) -> list[list[int]]:
    """Return the ranks of each GPU that several ranks take, GPUs by their first rank."""
    ranks: dict[tuple[str, tuple[str, str]], list[int]] = {}
    for rank, offer in enumerate(offers):
        if offer.device is not None:
            ranks.setdefault((offer.host, offer.device.identity), []).append(rank)
    return [group for group in ranks.values() if len(group) > 1]


def shared(offers: Sequence[Offer]) -> str:
    """Return which ranks share which GPU of which host, of the first such; empty without one."""
    groups = sharing(offers)
    if not groups:
        return ""
    first = groups[0]
    device, host = offers[first[0]].device, offers[first[0]].host
    assert device is not None
    named = ", ".join(map(str, first[:MOST_NAMED]))
    more = f" and {len(first) - MOST_NAMED} more" if len(first) > MOST_NAMED else ""
    line = f"ranks {named}{more} share the GPU {device.name} ({device.pci_bus_id}) of {host}"
    others = len(groups) - 1
    return f"{line}, and others share {counted(others, 'more GPU')}" if others else line


def sharing_line(offers: Sequence[Offer]) -> str:
    """Return the warning that ranks share a GPU; empty where none do."""
    said = shared(offers)
    return f"warning: {said}: they take turns; {ONE_EACH}, or NVIDIA's MPS" if said else ""


def device_of(rank: int, offers: Sequence[Offer], kind: str, memory_share: float) -> Device:
    """Return the device of a rank, with its part of the memory.

    Args:
        rank: this rank.
        offers: of all ranks.
        kind: "cpu" or "cuda", as chosen for all.
        memory_share: part of a GPU's memory that its ranks take together.
    """
    device = offers[rank].device
    if kind == "cpu" or device is None:
        return CPU
    num = next((len(group) for group in sharing(offers) if rank in group), 1)
    share_bytes = int(device.total_bytes * memory_share / num)
    return dataclasses.replace(device, num_sharing=num, share_bytes=share_bytes)
