"""Which GPUs this host has, seen without CuPy: device files, and the driver's own library.

The driver is asked for numbers only; no context is made on any device.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mpitrain.core.arrays import load_cupy
from mpitrain.core.errors import reason

VISIBLE = "CUDA_VISIBLE_DEVICES"  # which GPUs the CUDA runtime shows to this process

_DEVICE = re.compile(r"nvidia\d+")
_NO_DEVICE = "cudaErrorNoDevice"
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
        num_visible: GPUs that CuPy sees; None when it cannot be asked.
        visible: what CUDA_VISIBLE_DEVICES says; None when it is not set.
    """

    devices: tuple[str, ...] = ()
    driver_cuda: tuple[int, int] | None = None
    cupy: str = ""
    cupy_cuda: tuple[int, int] | None = None
    cupy_error: str = ""
    num_visible: int | None = None
    visible: str | None = None


def gpu_facts(
    folder: Path = Path("/dev"),
    driver: str = "libcuda.so.1",
    environ: Mapping[str, str] = os.environ,
) -> GpuFacts:
    """Look for GPUs, their driver and CuPy on this host; without the first two CuPy is not loaded.

    Args:
        folder: where device files are.
        driver: name of the driver's library.
        environ: usually ``os.environ``.
    """
    devices, driver_cuda = _devices(folder), _driver_cuda(driver)
    visible = environ.get(VISIBLE)
    if not devices and driver_cuda is None:
        return GpuFacts(visible=visible)
    found = GpuFacts(
        devices=devices, driver_cuda=driver_cuda, cupy=_installed_cupy(), visible=visible
    )
    return _with_loaded_cupy(found) if found.cupy else found


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


def _with_loaded_cupy(facts: GpuFacts) -> GpuFacts:
    """Return the facts, and what CuPy says when it is loaded."""
    try:
        runtime = load_cupy().cuda.runtime
        cuda = cuda_version(runtime.runtimeGetVersion())
    except Exception as error:  # CuPy's own kinds of errors, and those of its libraries
        return dataclasses.replace(facts, cupy_error=_reason(error))
    num: int | None = None
    said = ""
    try:
        num = int(runtime.getDeviceCount())
    except Exception as error:
        said = _reason(error)
        num = 0 if _NO_DEVICE in said else None
    return dataclasses.replace(facts, cupy_cuda=cuda, cupy_error=said, num_visible=num)


def _reason(error: Exception) -> str:
    """Return why; around its cause CuPy puts a page of advice."""
    cause = error.__cause__
    return reason(cause if isinstance(cause, Exception) else error)
