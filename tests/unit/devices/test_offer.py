from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from mpitrain.core.gpu import GpuFacts
from mpitrain.devices.device import CPU
from mpitrain.devices.offer import make_offer
from tests.fake_cupy import GIB, NAME, READY, install


def never() -> GpuFacts:
    """Fail when somebody looks."""
    message = "looked for a GPU"
    raise AssertionError(message)


def test_run_for_the_cpu_looks_for_no_gpu() -> None:
    """Neither files nor CuPy."""
    offer = make_offer("cpu", "a", 0, never)
    assert (offer.device, offer.trouble, offer.sees_gpu) == (None, None, False)


@pytest.mark.parametrize("kind", ["auto", "cuda"])
@pytest.mark.parametrize("facts", [GpuFacts(), dataclasses.replace(READY, cupy="")])
def test_cupy_is_not_imported_where_there_is_nothing_to_load(
    kind: str, facts: GpuFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing one costs no import, and the rest is told."""
    monkeypatch.setitem(sys.modules, "cupy", None)  # an import would fail
    offer = make_offer(kind, "a", 0, lambda: facts)
    assert offer.device is None
    assert offer.trouble is not None
    assert offer.trouble.what in ("no NVIDIA GPU is there", "CuPy is not installed")
    assert offer.sees_gpu == bool(facts.devices)


def test_rank_opens_the_gpu_of_its_place_on_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third rank of a node with two GPUs takes the first; all of it is known."""
    fake = install(monkeypatch)
    for local_rank, index in ((2, 0), (1, 1)):
        device = make_offer("auto", "a", local_rank, lambda: READY).device
        assert device is not None
        assert (fake.used, device.index, device.kind) == (index, index, "cuda")
        assert device.identity == (f"0000:0{index + 1}:00.0", f"0{index + 1}ff")
        assert (device.total_bytes, device.free_bytes) == (80 * GIB, 79 * GIB)
        assert device.text == f"cuda: {NAME}"
        versions = {"cupy": "14.2.0", "cuda_runtime": "12.9", "cuda_driver": "13.0"}
        assert device.versions == versions
        assert device.xp is fake


def test_gpu_that_cannot_compute_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling is tried: what it needs is loaded only then."""
    install(monkeypatch).error = OSError("libnvrtc.so.12: cannot open shared object file")
    offer = make_offer("cuda", "a", 0, lambda: READY)
    assert offer.device is None
    assert offer.trouble is not None
    assert offer.trouble.what == (
        "cupy-cuda12x 14.2.0 fails: libnvrtc.so.12: cannot open shared object file"
    )
    assert offer.sees_gpu


def test_cpu_is_numpy() -> None:
    """And says nothing but its kind."""
    assert CPU.xp is np
    assert (CPU.text, CPU.versions) == ("cpu", {})
