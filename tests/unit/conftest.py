"""The array module that a test runs on, and a measure of what it allocates."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from mpitrain.core.arrays import array_module
from mpitrain.kernels.twins import Twin, device_twin, host_twin
from tests.unit.kernels.emulation import COMPILER, Emulation

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(scope="session")
def emulation() -> Emulation:
    """Return what stands for CuPy; every source is compiled once."""
    return Emulation()


@pytest.fixture
def module(emulation: Emulation, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Return a function from "numpy", "emulated" or "cuda" to an array module.

    When emulated the package takes it for CuPy.
    """

    def enter(kind: str) -> Any:
        if kind == "numpy":
            return array_module("cpu")
        if kind == "emulated":
            if COMPILER is None:
                pytest.skip("needs g++")
            monkeypatch.setattr("mpitrain.core.arrays.load_cupy", lambda: emulation)
        return array_module("cuda")

    return enter


@pytest.fixture(params=["emulated", CUDA])
def device(request: pytest.FixtureRequest, module: Callable[[str], Any]) -> Any:
    """Return a stand-in for CuPy, then CuPy (marked gpu)."""
    return module(request.param)


@pytest.fixture(params=["numpy", "emulated", CUDA])
def place(request: pytest.FixtureRequest, module: Callable[[str], Any]) -> Any:
    """Return NumPy, then what ``device`` returns."""
    return module(request.param)


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
