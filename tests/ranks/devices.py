"""The device that tests on ranks find: a stand-in for CuPy, then CuPy itself (marked gpu)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mpitrain.core.gpu import GpuFacts
from mpitrain.devices.offer import make_offer
from tests.separate_memory import SeparateMemory
from tests.unit.kernels.emulation import COMPILER

FACTS = GpuFacts(devices=("nvidia0",), driver_cuda=(13, 0), cupy="cupy", num_visible=1)


class RealCupy:
    """CuPy itself, counting.

    Attributes:
        num_allocations: asked of the memory pool so far.
        name: of the device.
        version: of CuPy.
    """

    def __init__(self) -> None:
        self._cupy = pytest.importorskip("cupy")
        self.num_allocations = 0
        self._pool = self._cupy.get_default_memory_pool()
        self._cupy.cuda.set_allocator(self._allocate)
        properties = self._cupy.cuda.runtime.getDeviceProperties(0)
        self.name, self.version = properties["name"].decode(), self._cupy.__version__

    def _allocate(self, num_bytes: int) -> Any:
        self.num_allocations += 1
        return self._pool.malloc(num_bytes)

    def close(self) -> None:
        """Count no more."""
        self._cupy.cuda.set_allocator(self._pool.malloc)


@pytest.fixture(params=["separate", pytest.param("cuda", marks=pytest.mark.gpu)])
def cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let this rank find the stand-in for CuPy and a device; then CuPy itself (marked gpu)."""
    if request.param == "cuda":
        real = RealCupy()
        yield real
        real.close()
        return
    if COMPILER is None:
        pytest.skip("needs g++")
    module = SeparateMemory()
    monkeypatch.setitem(sys.modules, "cupy", module)  # type: ignore[arg-type]
    monkeypatch.setattr(make_offer, "__defaults__", (lambda: FACTS,))
    yield module
    assert not module.registered
