"""What one rank can compute on, as it tells the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpitrain.core.errors import reason
from mpitrain.core.gpu import GpuFacts, gpu_facts
from mpitrain.devices.cuda import open_cuda
from mpitrain.devices.device import Device
from mpitrain.devices.local_rank import index_for
from mpitrain.devices.trouble import Trouble, cupy_fails, trouble_of


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What one rank can compute on.

    Attributes:
        host: name of its host.
        device: the GPU that it would take, opened; None without one.
        trouble: why it has none.
        sees_gpu: whether there is a GPU here, usable or not.
    """

    host: str
    device: Device | None = None
    trouble: Trouble | None = None
    sees_gpu: bool = False


def make_offer(
    kind: str, host: str, local_rank: int, look: Callable[[], GpuFacts] = gpu_facts
) -> Offer:
    """Look for a GPU and open it, unless the run is for the CPU: then CuPy is not loaded.

    Args:
        kind: device.kind of the run.
        host: name of this host.
        local_rank: number of this rank on its node.
        look: returns what is known without a context on any GPU.
    """
    if kind == "cpu":
        return Offer(host=host)
    facts = look()
    sees_gpu = bool(facts.devices or facts.num_visible)
    trouble = trouble_of(facts)
    if trouble is None:
        try:
            device = open_cuda(index_for(local_rank, facts.num_visible or 1))
        except Exception as error:  # CuPy's own kinds of errors, and those of its libraries
            trouble = cupy_fails(facts, reason(error))
        else:
            return Offer(host=host, device=device, sees_gpu=True)
    return Offer(host=host, trouble=trouble, sees_gpu=sees_gpu)
