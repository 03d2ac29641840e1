"""The device of a process that trains alone, with simulated ranks: no MPI."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from mpitrain.devices.agreement import chosen_kind, device_of
from mpitrain.devices.cuda import limit_memory
from mpitrain.devices.device import Device
from mpitrain.devices.local_rank import local_rank_of
from mpitrain.devices.offer import make_offer


def open_alone(kind: str, memory_share: float, speak: Callable[[str], None]) -> Device:
    """Open the device of this process.

    Args:
        kind: "auto", "cpu" or "cuda".
        memory_share: part of a GPU's memory that it may take.
        speak: takes a warning.

    Raises:
        UserError: a GPU was asked for, and there is none.
    """
    offers = [make_offer(kind, socket.gethostname(), local_rank_of(os.environ))]
    chosen, warning = chosen_kind(kind, offers)
    if warning:
        speak(warning)
    device = device_of(0, offers, chosen, memory_share)
    if device.kind == "cuda":
        limit_memory(device)
    return device
