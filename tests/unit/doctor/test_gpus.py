from __future__ import annotations

import pytest

from mpitrain.core.gpu import GpuFacts
from mpitrain.doctor.gpus import judge_gpu

CUPY_12 = {"cupy": "cupy-cuda12x 13.3.0", "cupy_cuda": (12, 4)}
CUPY_13 = {"cupy": "cupy-cuda13x 14.0.0", "cupy_cuda": (13, 0)}
DRIVER_12 = {"devices": ("nvidia0",), "driver_cuda": (12, 8)}


@pytest.mark.parametrize(
    ("facts", "said", "remedy"),
    [
        (DRIVER_12, "driver for CUDA 12.8, no CuPy", "pip install cupy-cuda12x"),
        (DRIVER_12 | CUPY_13, "is for CUDA 13.0", "pip install cupy-cuda12x"),
        (
            DRIVER_12 | {"cupy": "cupy-cuda12x 13.3.0", "cupy_error": "no libnvrtc"},
            "fails: no libnvrtc",
            "pip uninstall cupy-cuda12x; pip install cupy-cuda12x",
        ),
        ({"devices": ("nvidia0", "nvidia1")}, "2 on a, but no driver library", "driver"),
        ({"driver_cuda": (12, 8)}, "0 on a", "srun --gpus-per-task=1"),
    ],
)
def test_gpu_that_cannot_be_used_says_what_to_install(
    facts: dict[str, object], said: str, remedy: str
) -> None:
    """A warning, and wrong where the run file asks for a GPU."""
    found = GpuFacts(**facts)  # type: ignore[arg-type]
    for is_needed, state in ((False, "warning"), (True, "wrong")):
        finding = judge_gpu(found, host="a", is_needed=is_needed)
        assert finding.state == state
        assert said in finding.value
        assert remedy in finding.remedy


def test_machine_without_gpu_is_ok_unless_the_run_needs_one() -> None:
    """Most machines have none."""
    assert judge_gpu(GpuFacts(), host="a", is_needed=False).state == "ok"
    finding = judge_gpu(GpuFacts(), host="a", is_needed=True)
    assert (finding.state, "device.kind=cpu" in finding.remedy) == ("wrong", True)


def test_gpu_with_a_cupy_that_fits_is_ok() -> None:
    """A CuPy for an older CUDA than the driver's runs too."""
    for cupy, driver in ((CUPY_12, (12, 2)), (CUPY_12, (13, 0)), (CUPY_13, (13, 0))):
        facts = GpuFacts(devices=("nvidia0",), driver_cuda=driver, **cupy)  # type: ignore[arg-type]
        finding = judge_gpu(facts, host="a", is_needed=True)
        assert finding.state == "ok", finding
