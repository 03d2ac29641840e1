"""One GPU through CuPy: opened and tried, its memory limited."""

from __future__ import annotations

from typing import Any

from mpitrain.core.arrays import load_cupy
from mpitrain.core.gpu import cuda_version
from mpitrain.devices.device import Device


def open_cuda(index: int) -> Device:
    """Make a GPU current in this thread, prove that it computes, and return what it is.

    The memory is not shared out yet.

    Args:
        index: among the GPUs that this process sees.

    Raises:
        Exception: of CuPy's own kinds and of its libraries, when it cannot be used.
    """
    cupy = load_cupy()
    runtime = cupy.cuda.runtime
    cupy.cuda.Device(index).use()
    free_bytes, total_bytes = runtime.memGetInfo()
    _try(cupy)
    properties = runtime.getDeviceProperties(index)
    return Device(
        kind="cuda",
        index=index,
        name=properties["name"].decode(errors="replace"),
        pci_bus_id=runtime.deviceGetPCIBusId(index),
        uuid=_hexadecimal(properties.get("uuid")),
        total_bytes=int(total_bytes),
        free_bytes=int(free_bytes),
        share_bytes=int(total_bytes),
        versions={
            "cupy": str(cupy.__version__),
            "cuda_runtime": _text(runtime.runtimeGetVersion()),
            "cuda_driver": _text(runtime.driverGetVersion()),
        },
    )


def limit_memory(device: Device) -> None:
    """Let CuPy's default memory pool take no more of the current GPU than this rank's share."""
    device.xp.get_default_memory_pool().set_limit(size=device.share_bytes)


def _try(cupy: Any) -> None:
    """Compile a kernel and multiply: what CuPy loads only then may be missing."""
    cupy.get_default_memory_pool()
    ones = cupy.ones((2, 2), "float32")
    if float((ones @ ones).sum()) != 8.0:
        message = "it computes wrongly"
        raise RuntimeError(message)


def _hexadecimal(uuid: object) -> str:
    """Return the digits of a UUID, whose bytes CuPy may cut short at a zero."""
    return uuid[:16].hex() if isinstance(uuid, bytes) else ""


def _text(number: int) -> str:
    major, minor = cuda_version(number)
    return f"{major}.{minor}"
