from __future__ import annotations

import socket

import pytest

from mpitrain.core.errors import UserError
from mpitrain.core.gpu import GpuFacts
from mpitrain.devices import alone
from mpitrain.devices.alone import open_alone
from mpitrain.devices.device import CPU
from mpitrain.devices.offer import Offer, make_offer
from tests.fake_cupy import GIB, READY, install


def look_like(monkeypatch: pytest.MonkeyPatch, facts: GpuFacts) -> None:
    """Let this machine look as ``facts`` say."""

    def offer(kind: str, host: str, local_rank: int) -> Offer:
        return make_offer(kind, host, local_rank, lambda: facts)

    monkeypatch.setattr(alone, "make_offer", offer)


def test_gpu_is_opened_with_a_limit_to_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of this task, where a launcher started several."""
    fake = install(monkeypatch)
    look_like(monkeypatch, READY)
    for name in ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_LOCALID", "1")
    lines: list[str] = []
    device = open_alone("auto", 0.5, lines.append)
    assert (device.kind, device.index, device.share_bytes) == ("cuda", 1, 40 * GIB)
    assert fake.limits == {1: 40 * GIB}
    assert lines == []


def test_cpu_is_taken_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silently in auto; cuda is refused, and names this host."""
    look_like(monkeypatch, GpuFacts())
    lines: list[str] = []
    assert open_alone("auto", 0.9, lines.append) is CPU
    assert open_alone("cpu", 0.9, lines.append) is CPU
    assert lines == []
    with pytest.raises(UserError, match=f"rank 0 on {socket.gethostname()} has no GPU"):
        open_alone("cuda", 0.9, lines.append)


def test_gpu_without_cupy_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """In auto, which goes on."""
    look_like(monkeypatch, GpuFacts(devices=("nvidia0",), driver_cuda=(12, 4)))
    lines: list[str] = []
    assert open_alone("auto", 0.9, lines.append) is CPU
    (line,) = lines
    assert "CuPy is not installed; pip install 'cupy-cuda12x[ctk]', or say device.kind=cpu" in line
