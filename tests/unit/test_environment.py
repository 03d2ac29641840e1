from __future__ import annotations

from typing import Any

import pytest

from mpitrain import environment
from mpitrain.devices.device import CPU, Device
from mpitrain.running.resuming import environment_changes

DIFFERS = "environment differs: {}; bit-identity is not promised"
SAME_BITS = "kernels differ, which give the same bits"
GPU = Device(kind="cuda", name="H100", versions={"cupy": "14.2.0", "cuda_driver": "13.0"})
NEWER = Device(kind="cuda", name="H100", versions={"cupy": "14.3.0", "cuda_driver": "13.0"})


def test_facts_hold_the_device_where_there_is_one() -> None:
    """With the versions that its bits depend on; the CPU has none of its own."""
    assert environment.facts(GPU).items() >= {("device", "cuda: H100"), ("cupy", "14.2.0")}
    assert environment.facts(CPU)["device"] == "cpu"
    assert "device" not in environment.facts()


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ((), CPU, ""),
        ((), GPU, DIFFERS.format("device cpu -> cuda: H100")),
        ((GPU,), CPU, DIFFERS.format("device cuda: H100 -> cpu")),
        ((GPU,), GPU, ""),
        ((GPU,), NEWER, DIFFERS.format("cupy 14.2.0 -> 14.3.0")),
        ((CPU, "numpy 2"), CPU, f"{SAME_BITS}: numpy 2 -> numba 1"),
        ((GPU, "cuda"), CPU, DIFFERS.format("device cuda: H100 -> cpu")),
        ((CPU, "numba 1"), CPU, ""),
    ],
)
def test_changes_of_device_and_kernels_are_told(
    before: tuple[Any, ...], now: Device, said: str
) -> None:
    """Another device, another CuPy on the same one, other kernels; runs of before had the CPU."""
    assert "".join(environment_changes(environment.facts(*before), now, "numba 1")) == said
