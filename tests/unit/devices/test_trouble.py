from __future__ import annotations

import dataclasses

import pytest

from mpitrain.core.gpu import GpuFacts
from mpitrain.devices.trouble import trouble_of
from tests.fake_cupy import READY

NO_CUPY = {"cupy": "", "cupy_cuda": None, "num_visible": None}
HIDDEN = "CUDA_VISIBLE_DEVICES is {}, so no GPU is visible"
Facts = dict[str, object]
CASES = [
    ({"devices": (), "driver_cuda": None}, "no NVIDIA GPU is there", "take a node with"),
    ({"driver_cuda": None}, "no driver library", "install the NVIDIA driver"),
    ({"devices": (), **NO_CUPY}, "no GPU is given to this process", "srun --gpus-per-task=1"),
    ({"visible": "", **NO_CUPY}, HIDDEN.format("empty"), "without --gpu-bind=none"),
    ({"visible": "7", "num_visible": 0, "cupy_error": "x"}, HIDDEN.format("'7'"), "unset CUDA_"),
    (NO_CUPY, "CuPy is not installed", "pip install 'cupy-cuda13x[ctk]'"),
    (
        {"driver_cuda": (11, 8), "cupy_error": "too old"},
        "cupy-cuda12x 14.2.0 is for CUDA 12.9, the driver for 11.8",
        "pip uninstall cupy-cuda12x; pip install 'cupy-cuda11x[ctk]', or a newer driver",
    ),
    (
        {"cupy_error": "no libnvrtc"},
        "cupy-cuda12x 14.2.0 fails: no libnvrtc",
        "pip uninstall cupy-cuda12x; pip install 'cupy-cuda13x[ctk]'",
    ),
]


@pytest.mark.parametrize(("changes", "what", "remedy"), CASES)
def test_trouble_says_why_and_what_to_do(changes: Facts, what: str, remedy: str) -> None:
    """Each in words of its own; the cause comes before what follows from it."""
    trouble = trouble_of(dataclasses.replace(READY, **changes))  # type: ignore[arg-type]
    assert trouble is not None
    assert trouble.what.startswith(what)
    assert remedy in trouble.remedy


@pytest.mark.parametrize(
    "changes", [{}, {"visible": "1"}, {"driver_cuda": (12, 2)}, {"devices": ()}]
)
def test_gpu_that_cupy_sees_is_no_trouble(changes: dict[str, object]) -> None:
    """A CuPy for an older CUDA runs too, and so does a GPU without a device file (WSL)."""
    assert trouble_of(dataclasses.replace(READY, **changes)) is None  # type: ignore[arg-type]


def test_nothing_at_all_is_no_gpu() -> None:
    """As on most machines, whatever the environment says."""
    trouble = trouble_of(GpuFacts(visible=""))
    assert trouble is not None
    assert trouble.what == "no NVIDIA GPU is there"
