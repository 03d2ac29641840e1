"""Which GPUs this host has, seen without CuPy: device files, and the driver's own library.

The driver is asked for numbers only; no context is made on any device.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mpitrain.core.arrays import load_cupy

_DEVICE = re.compile(r"nvidia\d+")
_CUPY = re.compile(r"cupy(-cuda\d+x|-cuda\d{2,3})?")


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """What GPU computing rests on here.

    Attributes:
        devices: device files, for example ("nvidia0",); those of a container are listed alone.
        driver_cuda: newest CUDA that the driver can run, (major, minor); None without a driver.
        cupy: name and version of the installed CuPy, for example "cupy-cuda12x 13.3.0"; empty
            without one.
        cupy_cuda: CUDA that CuPy runs on, (major, minor); None when it cannot be loaded.
        cupy_error: why CuPy cannot be loaded or sees no device; empty when it can.
    """

    devices: tuple[str, ...] = ()
    driver_cuda: tuple[int, int] | None = None
    cupy: str = ""
    cupy_cuda: tuple[int, int] | None = None
    cupy_error: str = ""


def gpu_facts(folder: Path = Path("/dev"), driver: str = "libcuda.so.1") -> GpuFacts:
    """Look for GPUs, their driver and CuPy on this host.

    Args:
        folder: where device files are.
        driver: name of the driver's library.
    """
    cupy = _installed_cupy()
    cupy_cuda, cupy_error = _loaded_cupy() if cupy else (None, "")
    return GpuFacts(
        devices=_devices(folder),
        driver_cuda=_driver_cuda(driver),
        cupy=cupy,
        cupy_cuda=cupy_cuda,
        cupy_error=cupy_error,
    )


def cuda_version(number: int) -> tuple[int, int]:
    """Return (major, minor) of the number that CUDA gives, 1000 * major + 10 * minor."""
    return number // 1000, number % 1000 // 10


def _devices(folder: Path) -> tuple[str, ...]:
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return ()
    return tuple(sorted(name for name in names if _DEVICE.fullmatch(name)))


def _driver_cuda(name: str) -> tuple[int, int] | None:
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL(name).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return None if failed or not version.value else cuda_version(version.value)


def _installed_cupy() -> str:
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"] or ""
        if _CUPY.fullmatch(name):
            return f"{name} {distribution.version}"
    return ""


def _loaded_cupy() -> tuple[tuple[int, int] | None, str]:
    try:
        runtime = load_cupy().cuda.runtime
        version = cuda_version(runtime.runtimeGetVersion())
    except Exception as error:  # CuPy's own kinds of errors, and those of its libraries
        return None, " ".join(str(error).split()) or type(error).__name__
    try:
        runtime.getDeviceCount()
    except Exception as error:
        return version, " ".join(str(error).split()) or type(error).__name__
    return version, ""
