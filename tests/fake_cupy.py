"""A CuPy that sees GPUs where there are none: what the device door asks of it, in NumPy."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpitrain.core.gpu import GpuFacts

GIB = 1 << 30
NAME = "NVIDIA H100 80GB HBM3"
READY = GpuFacts(
    devices=("nvidia0", "nvidia1"),
    driver_cuda=(13, 0),
    cupy="cupy-cuda12x 14.2.0",
    cupy_cuda=(12, 9),
    num_visible=2,
)


class FakeCupy:
    """Stands for the module.

    Attributes:
        __version__: of CuPy.
        used: index of the GPU that is current; None before one is.
        limits: of the memory pool, by index, in bytes.
        error: raised when a kernel is run; None where it can be.
    """

    __version__ = "14.2.0"

    def __init__(self, num: int = 2, free_bytes: int = 79 * GIB) -> None:
        self.used: int | None = None
        self.limits: dict[int | None, int] = {}
        self.error: Exception | None = None
        self._free_bytes = free_bytes
        runtime = SimpleNamespace(
            runtimeGetVersion=lambda: 12090,
            driverGetVersion=lambda: 13000,
            getDeviceCount=lambda: num,
            memGetInfo=lambda: (self._free_bytes, 80 * GIB),
            getDeviceProperties=lambda index: {
                "name": NAME.encode(),
                "uuid": bytes([index + 1, 255]),
            },
            deviceGetPCIBusId=lambda index: f"0000:{index + 1:02X}:00.0",
        )
        self.cuda = SimpleNamespace(runtime=runtime, Device=self._device)

    def ones(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return an array, as the real one does when it can compile."""
        if self.error is not None:
            raise self.error
        return np.ones(shape, dtype)

    def get_default_memory_pool(self) -> Any:
        """Return what can be limited."""
        return SimpleNamespace(set_limit=lambda size: self.limits.update({self.used: size}))

    def _device(self, index: int) -> Any:
        return SimpleNamespace(use=lambda: setattr(self, "used", index))


def install(monkeypatch: pytest.MonkeyPatch, **settings: int) -> FakeCupy:
    """Let ``import cupy`` find a fake."""
    fake = FakeCupy(**settings)
    monkeypatch.setitem(sys.modules, "cupy", fake)  # type: ignore[arg-type]
    return fake
