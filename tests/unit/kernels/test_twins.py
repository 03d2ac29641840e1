"""Which twin runs, where Numba or CuPy is there and where not."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from mpitrain.config import from_mapping
from mpitrain.core.errors import UserError
from mpitrain.kernels.twins import device_twin, host_twin
from mpitrain.plan import make_plan


def test_numba_runs_where_it_is_installed() -> None:
    """And NumPy where that is asked for; both say their versions."""
    assert host_twin().name == host_twin("numba").name == "numba"
    assert host_twin("numpy").label == f"numpy {np.__version__}"


def test_numpy_runs_without_numba_and_who_wants_numba_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line that says what to do."""
    monkeypatch.setitem(sys.modules, "numba", None)
    assert host_twin().name == "numpy"
    with pytest.raises(UserError, match=r"device.kernels 'numba' needs .* pip install numba, or"):
        make_plan(from_mapping({"device": {"kernels": "numba"}}), 1)


def test_device_needs_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(UserError, match="needs CuPy, which is not installed"):
        device_twin()
