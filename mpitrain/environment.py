"""What a run ran on: facts that decide its bits and its speed, for the log and run.toml."""

from __future__ import annotations

import ctypes
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mpitrain.devices.device import Device

PACKAGES = ("mpitrain", "mpi4py", "h5py")
# as SciPy's, OpenBLAS's and Intel's libraries call it
GET_THREADS = (
    "scipy_openblas_get_num_threads64_",
    "scipy_openblas_get_num_threads",
    "openblas_get_num_threads64_",
    "openblas_get_num_threads",
    "MKL_Get_Max_Threads",
)


def blas() -> str:
    """Return name and version of the BLAS that NumPy was built with."""
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


def blas_threads() -> str:
    """Return the number of threads that the loaded BLAS uses, or "unknown"."""
    library, names = _loaded_blas()
    for name in names:
        return str(getattr(library, name)())
    return "unknown"


def limit_blas_threads(number: int) -> None:
    """Tell the loaded BLAS how many threads to use, where it can be told.

    The environment is too late when NumPy was loaded before it was set.
    """
    library, names = _loaded_blas()
    for name in names:
        setter = getattr(library, name.replace("get_num", "set_num").replace("Get_Max", "Set_Num"))
        setter(ctypes.c_int(number))


def _loaded_blas() -> tuple[ctypes.CDLL | None, list[str]]:
    """Return the BLAS in this process's memory and the names it has of ``GET_THREADS``."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8").split("\n")
    except OSError:
        return None, []
    paths = {line.partition("/")[2] for line in maps if "blas" in line or "mkl_rt" in line}
    for path in sorted(paths):
        try:
            library = ctypes.CDLL(f"/{path}")
        except OSError:
            continue
        names = [name for name in GET_THREADS if hasattr(library, name)]
        if names:
            return library, names[:1]
    return None, []


def cpu() -> str:
    """Return the model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def facts(device: Device | None = None, kernels: str = "") -> dict[str, str]:
    """Return everything above, and versions, by name.

    Args:
        device: where a rank computes; None leaves it out.
        kernels: what runs its updates; empty leaves it out.
    """
    return {
        **{name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas(),
        "blas_threads": blas_threads(),
        "cpu": cpu(),
        "platform": platform.platform(),
        **({} if device is None else {"device": device.text, **device.versions}),
        **({"kernels": kernels} if kernels else {}),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a checkout
        return "unknown"
