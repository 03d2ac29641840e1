from __future__ import annotations

from mpitrain import environment
from mpitrain.devices.device import CPU, Device
from mpitrain.running.resuming import environment_changes

GPU = Device(kind="cuda", name="H100", versions={"cupy": "14.2.0", "cuda_driver": "13.0"})
NEWER = Device(kind="cuda", name="H100", versions={"cupy": "14.3.0", "cuda_driver": "13.0"})


def test_facts_hold_the_device_where_there_is_one() -> None:
    """With the versions that its bits depend on; the CPU has none of its own."""
    assert environment.facts(GPU).items() >= {("device", "cuda: H100"), ("cupy", "14.2.0")}
    assert environment.facts(CPU)["device"] == "cpu"
    assert "device" not in environment.facts()


def test_changes_of_the_device_are_told() -> None:
    """Another device, and another CuPy on the same one; runs of before had the CPU."""
    old = environment.facts()
    assert environment_changes(old, CPU) == ""
    assert environment_changes(old, GPU) == "device cpu -> cuda: H100"
    assert environment_changes(environment.facts(GPU), CPU) == "device cuda: H100 -> cpu"
    assert environment_changes(environment.facts(GPU), GPU) == ""
    assert environment_changes(environment.facts(GPU), NEWER) == "cupy 14.2.0 -> 14.3.0"
