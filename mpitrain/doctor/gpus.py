"""Judges whether a GPU is there and can be used."""

from __future__ import annotations

from mpitrain.core.gpu import GpuFacts
from mpitrain.doctor.finding import Finding, ok, warning, wrong

_NAME = "gpu"


def judge_gpu(facts: GpuFacts, *, is_needed: bool, host: str) -> Finding:
    """Judge the GPUs of a host.

    Args:
        facts: what was found.
        host: its name.
        is_needed: the run file asks for one (device.kind = "cuda").
    """
    bad = wrong if is_needed else warning
    num = len(facts.devices)
    if not num and facts.driver_cuda is None:
        if is_needed:
            return wrong(
                _NAME, f"none on {host}", "use device.kind=cpu, or a node with an NVIDIA GPU"
            )
        return ok(_NAME, f"none on {host}; runs use the CPU")
    if facts.driver_cuda is None:
        remedy = "install the NVIDIA driver, or give the container its libraries (--gpus all, --nv)"
        return bad(_NAME, f"{num} on {host}, but no driver library (libcuda.so.1)", remedy)
    value = f"{num} on {host}, driver for CUDA {_text(facts.driver_cuda)}"
    if not num:
        remedy = "ask for a GPU (srun --gpus-per-task=1) or start the container with --gpus all"
        return bad(_NAME, value, remedy)
    package = f"pip install cupy-cuda{facts.driver_cuda[0]}x"
    if not facts.cupy:
        return bad(_NAME, f"{value}, no CuPy", package)
    value = f"{value}, {facts.cupy}"
    if facts.cupy_cuda is not None and facts.cupy_cuda[0] > facts.driver_cuda[0]:
        remedy = f"pip uninstall {facts.cupy.partition(' ')[0]}; {package}, or a newer driver"
        return bad(_NAME, f"{value} is for CUDA {_text(facts.cupy_cuda)}", remedy)
    if facts.cupy_error:
        remedy = f"pip uninstall {facts.cupy.partition(' ')[0]}; {package}"
        return bad(_NAME, f"{value} fails: {facts.cupy_error}", remedy)
    return ok(_NAME, value)


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
