from __future__ import annotations

import pytest

from mpitrain.core.gpu import GpuFacts
from mpitrain.devices.device import Device
from mpitrain.devices.offer import Offer
from mpitrain.devices.trouble import Trouble
from mpitrain.doctor.gpus import judge_devices, judge_gpu
from tests.fake_cupy import NAME

CUPY_12 = {"cupy": "cupy-cuda12x 13.3.0", "cupy_cuda": (12, 4)}
CUPY_13 = {"cupy": "cupy-cuda13x 14.0.0", "cupy_cuda": (13, 0)}
DRIVER_12 = {"devices": ("nvidia0",), "driver_cuda": (12, 8)}


@pytest.mark.parametrize(
    ("facts", "said", "remedy"),
    [
        (DRIVER_12, "driver for CUDA 12.8: CuPy is not installed", "pip install 'cupy-cuda12x"),
        (DRIVER_12 | CUPY_13, "is for CUDA 13.0", "pip install 'cupy-cuda12x"),
        (
            DRIVER_12 | {"cupy": "cupy-cuda12x 13.3.0", "cupy_error": "no libnvrtc"},
            "fails: no libnvrtc",
            "pip uninstall cupy-cuda12x; pip install 'cupy-cuda12x[ctk]'",
        ),
        ({"devices": ("nvidia0", "nvidia1")}, "2 on a: no driver library", "driver"),
        ({"driver_cuda": (12, 8)}, "none on a", "srun --gpus-per-task=1"),
        (DRIVER_12 | {"visible": ""}, "CUDA_VISIBLE_DEVICES is empty", "--gpu-bind=none"),
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
    assert finding.value == "none on a: no NVIDIA GPU is there"


def test_gpu_with_a_cupy_that_fits_is_ok() -> None:
    """A CuPy for an older CUDA than the driver's runs too."""
    for cupy, driver in ((CUPY_12, (12, 2)), (CUPY_12, (13, 0)), (CUPY_13, (13, 0))):
        facts = GpuFacts(devices=("nvidia0",), driver_cuda=driver, **cupy)  # type: ignore[arg-type]
        finding = judge_gpu(facts, host="a", is_needed=True)
        assert finding.state == "ok", finding


LACKING = Offer(host="b", trouble=Trouble("CuPy is not installed", "install it"), sees_gpu=True)


def on_gpu(number: int) -> Offer:
    """Return the offer of a rank with a GPU."""
    device = Device(kind="cuda", name=NAME, pci_bus_id=str(number))
    return Offer(host="a", device=device, sees_gpu=True)


def test_ranks_with_a_gpu_each_are_ok() -> None:
    """One line, with what they are."""
    (finding,) = judge_devices("auto", [on_gpu(0), on_gpu(1)])
    assert finding.state == "ok"
    assert finding.value == f"2 ranks, each with a GPU of its own: {NAME}"


def test_ranks_on_one_gpu_are_a_warning() -> None:
    """It says which, and what to do."""
    for kind in ("auto", "cuda"):
        (finding,) = judge_devices(kind, [on_gpu(0), on_gpu(1), on_gpu(0)])
        assert finding.state == "warning"
        assert finding.value.startswith(f"ranks 0, 2 share the GPU {NAME}")
        assert finding.remedy.startswith("start one rank for each GPU")


def test_rank_without_gpu_is_wrong_only_where_one_is_asked_for() -> None:
    """In auto all ranks use the CPU then; where nobody has one the host's finding says it."""
    mixed = [on_gpu(0), LACKING]
    (finding,) = judge_devices("auto", mixed)
    assert (finding.state, "rank 1 on b" in finding.value) == ("warning", True)
    for offers in (mixed, [LACKING]):
        (finding,) = judge_devices("cuda", offers)
        assert finding.state == "wrong"
        assert "CuPy is not installed" in finding.value
        assert "device.kind=cpu" in finding.remedy
    assert judge_devices("auto", [LACKING]) == judge_devices("cpu", mixed) == []
