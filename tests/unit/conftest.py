"""The array module that a test runs on, and a measure of what it allocates."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from mpitrain.core.arrays import array_module
from mpitrain.kernels.twins import Twin, device_twin, host_twin


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> Any:
    """Return NumPy, then CuPy (marked gpu)."""
    return array_module(request.param)


@pytest.fixture(params=["numpy", "numba", pytest.param("cuda", marks=pytest.mark.gpu)])
def twin(request: pytest.FixtureRequest) -> Twin:
    """Return what runs kernels: NumPy, Numba, then CUDA (marked gpu)."""
    return device_twin() if request.param == "cuda" else host_twin(request.param)


@pytest.fixture(params=["numpy", "numba"])
def on_host(request: pytest.FixtureRequest) -> Twin:
    """Return what runs kernels on the host."""
    return host_twin(request.param)


@pytest.fixture
def peak_bytes() -> Callable[[Callable[[], object]], int]:
    """Return a function that runs something and returns how far its memory rose above the start."""

    def measure(run: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            run()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return peak - before

    return measure
