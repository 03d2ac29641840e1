"""What CUDA kernels run on: a GPU through CuPy, and a CPU that stands for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mpitrain.core.arrays import array_module
from tests.unit.kernels.emulation import COMPILER, Emulation

CUDA = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(scope="session")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> Emulation:
    """Return what stands for CuPy; every source is compiled once."""
    return Emulation(tmp_path_factory.mktemp("emulation"))


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
