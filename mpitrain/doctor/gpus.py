"""Judges whether GPUs are there and can be used, host by host and by the ranks together."""

from __future__ import annotations

from collections.abc import Sequence

from mpitrain.core.console import counted
from mpitrain.core.gpu import GpuFacts
from mpitrain.devices.agreement import ONE_EACH, lacking, shared
from mpitrain.devices.offer import Offer
from mpitrain.devices.trouble import trouble_of
from mpitrain.doctor.finding import Finding, ok, warning, wrong

_NAME = "gpu"
_TOGETHER = "devices"


def judge_gpu(facts: GpuFacts, *, is_needed: bool, host: str) -> Finding:
    """Judge the GPUs of a host.

    Args:
        facts: what was found.
        host: its name.
        is_needed: the run file asks for one (device.kind = "cuda").
    """
    num, driver = len(facts.devices), facts.driver_cuda
    if not num and driver is None and not is_needed:
        return ok(_NAME, f"none on {host}; runs use the CPU")
    value = f"{num or 'none'} on {host}"
    if driver is not None:
        value += f", driver for CUDA {driver[0]}.{driver[1]}"
    trouble = trouble_of(facts)
    if trouble is None:
        return ok(_NAME, f"{value}, {facts.cupy}")
    bad = wrong if is_needed else warning
    return bad(_NAME, f"{value}: {trouble.what}", f"{trouble.remedy}, or use device.kind=cpu")


def judge_devices(kind: str, offers: Sequence[Offer]) -> list[Finding]:
    """Judge what the ranks make of their GPUs together; nothing where all use the CPU anyway.

    Args:
        kind: device.kind of the run.
        offers: of all ranks.
    """
    if kind == "cpu" or (kind == "auto" and all(offer.device is None for offer in offers)):
        return []
    trouble = lacking(offers)
    if trouble is not None and kind == "cuda":
        remedy = f"{trouble.remedy}, or choose device.kind=cpu"
        return [wrong(_TOGETHER, trouble.what, remedy)]
    if trouble is not None:
        value = f"all ranks use the CPU, because {trouble.what}"
        return [warning(_TOGETHER, value, f"{trouble.remedy}, or say device.kind=cpu")]
    if said := shared(offers):
        return [warning(_TOGETHER, said, f"{ONE_EACH}, or NVIDIA's MPS; else they take turns")]
    names = dict.fromkeys(offer.device.name for offer in offers if offer.device is not None)
    each = ", each with a GPU of its own" if len(offers) > 1 else ""
    return [ok(_TOGETHER, f"{counted(len(offers), 'rank')}{each}: {', '.join(names)}")]
