from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from mpitrain.core.arrays import array_module, module_of
from mpitrain.core.errors import UserError

HAS_CUPY = importlib.util.find_spec("cupy") is not None


def test_array_module_of_cpu_is_numpy() -> None:
    """Host arrays are NumPy's."""
    assert array_module("cpu") is np
    assert module_of(np.zeros(3)) is np


@pytest.mark.gpu
def test_module_of_device_array_is_cupy() -> None:
    """Device arrays are CuPy's."""
    import cupy

    assert array_module("cuda") is cupy
    assert module_of(cupy.zeros(3)) is cupy


def test_array_module_names_the_valid_kinds_when_unknown() -> None:
    """An unknown kind is a user's mistake."""
    with pytest.raises(UserError, match="unknown device 'tpu'; choose from: cpu, cuda"):
        array_module("tpu")


@pytest.mark.skipif(HAS_CUPY, reason="CuPy is installed")
def test_array_module_says_what_is_missing_when_there_is_no_cupy() -> None:
    """Asking for a GPU without CuPy gives one line that says what to do."""
    with pytest.raises(UserError, match="needs CuPy, which is not installed; install it or"):
        array_module("cuda")


def test_core_loads_no_heavy_library() -> None:
    """Importing the core, the models and the optimisers loads neither CuPy, MPI nor HDF5."""
    code = (
        "import sys, mpitrain.core.arrays, mpitrain.models.mlp, mpitrain.optim.adam;"
        "print([name for name in ('cupy', 'mpi4py', 'h5py') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
