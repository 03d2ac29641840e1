"""Which twin runs, where Numba or CuPy is there and where not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mpitrain.config import from_mapping
from mpitrain.core.errors import UserError
from mpitrain.devices.device import CPU
from mpitrain.kernels.compiled import load_numba
from mpitrain.kernels.twins import device_twin, host_twin
from mpitrain.plan import make_plan
from mpitrain.running.wording import kernel_lines


def test_numba_runs_where_it_is_installed() -> None:
    """And NumPy where that is asked for; both say their versions."""
    assert host_twin().name == host_twin("numba").name == "numba"
    assert host_twin("numpy").label == f"numpy {np.__version__}"


def test_numpy_runs_without_numba_and_who_wants_numba_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line that says what to do."""
    load_numba.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)
    assert (host_twin().name, host_twin().trouble) == ("numpy", "")
    with pytest.raises(UserError, match=r"device.kernels 'numba' needs .* pip install numba, or"):
        make_plan(from_mapping({"device": {"kernels": "numba"}}), 1).on(CPU)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise OSError('libllvmlite.so')", "libllvmlite.so"),
        ("raise ValueError('threads must be > 0')", "threads must be > 0"),
        ("raise ImportError('Numba needs NumPy 2.3 or less')", "NumPy 2.3 or less"),
        ("__version__ = '0.1'", "has no attribute 'config'"),
        ("import types\nconfig = types.SimpleNamespace(DISABLE_JIT=1)", "NUMBA_DISABLE_JIT"),
        (
            "import types\nconfig = types.SimpleNamespace(DISABLE_JIT=0)\n"
            "def from_dtype(dtype): raise RuntimeError('no compiler')",
            "no compiler",
        ),
    ],
)
def test_numba_that_does_not_work_is_left_alone_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """Whatever it raises, when it is loaded or when it is used first."""
    (tmp_path / "numba.py").write_text(text)
    load_numba.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    twin = host_twin()
    assert twin.name == "numpy"
    assert said in twin.trouble
    with pytest.raises(UserError, match="does not work here"):
        host_twin("numba")
    assert any(said in line for line in kernel_lines([(twin.label, twin.trouble)]))
    load_numba.cache_clear()


def test_ranks_with_other_kernels_are_told() -> None:
    """Once, by the first that differs; not where all have the same."""
    assert list(kernel_lines([("numba 1", "")] * 3)) == []
    (line,) = kernel_lines([("numba 1", ""), ("numba 1", ""), ("numpy 2", "")])
    assert "rank 2 has the kernels numpy 2, rank 0 numba 1" in line


def test_device_needs_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(UserError, match="needs CuPy, which is not installed"):
        device_twin()
