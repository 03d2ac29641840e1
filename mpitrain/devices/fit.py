"""Whether what a rank wants to keep on its device fits there; asked before anything is made."""

from __future__ import annotations

from collections.abc import Mapping

from mpitrain.core.console import counted, size_text
from mpitrain.core.errors import UserError
from mpitrain.devices.device import Device


def check_fits(device: Device, needed_bytes: int, parts: Mapping[str, int]) -> None:
    """Check that a rank's arrays fit into its part of the device's memory.

    The part is its share, and no more than its part of what was free when the GPU was opened:
    other programs may hold some.

    Args:
        device: of this rank; on the CPU everything fits.
        needed_bytes: of all arrays together.
        parts: bytes by what they are for, for the message: {"parameters": ..., "optimiser": ...}.

    Raises:
        UserError: they do not; says all numbers and what to do.
    """
    if device.kind == "cpu":
        return
    free_bytes = device.free_bytes // device.num_sharing
    if needed_bytes <= min(device.share_bytes, free_bytes):
        return
    listed = ", ".join(f"{name} {size_text(size)}" for name, size in parts.items())
    message = (
        f"the run does not fit on the GPU {device.name}: each rank needs {size_text(needed_bytes)}"
        f"{f' ({listed})' if listed else ''}; the GPU has {size_text(device.total_bytes)}, "
        f"{size_text(device.free_bytes)} of them free, and the share of each of its "
        f"{counted(device.num_sharing, 'rank')} is {size_text(device.share_bytes)} "
        "(device.memory_share); take a smaller model, fewer ranks for "
        "each GPU, or device.kind=cpu"
    )
    raise UserError(message)
