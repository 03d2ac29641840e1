"""The devices of all ranks: chosen together, refused together, and GPUs that several share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mpi4py import MPI

from mpitrain.comm.world import World
from mpitrain.config import Device as Settings
from mpitrain.core.errors import UserError
from mpitrain.core.gpu import GpuFacts
from mpitrain.devices.device import CPU
from mpitrain.devices.offer import Offer, make_offer
from mpitrain.running import device as running_device
from mpitrain.running.device import open_device
from tests.fake_cupy import GIB, READY, install

BOTH = ("openmpi", "mpich")


def look_like(monkeypatch: pytest.MonkeyPatch, facts_of: Callable[[int], GpuFacts]) -> list[str]:
    """Let each rank's machine look as given; return what the ranks are to say."""

    def offer(kind: str, host: str, local_rank: int) -> Offer:
        return make_offer(kind, host, local_rank, lambda: facts_of(local_rank))

    monkeypatch.setattr(running_device, "make_offer", offer)
    lines: list[str] = []
    monkeypatch.setattr(World, "speak", lambda _self, line: lines.append(line))
    return lines


@pytest.mark.ranks(1, 3, mpis=BOTH)
def test_ranks_of_one_machine_know_their_place_on_it(comm: MPI.Intracomm) -> None:
    """Without any launcher's variable."""
    world = World(comm)
    assert (world.local_rank, world.local_size) == (world.rank, world.size)
    world.close()


@pytest.mark.ranks(1, 3, mpis=BOTH)
def test_ranks_take_gpus_in_turn_and_share_their_memory(
    comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three ranks on two GPUs the first and the last have half a GPU each; rank 0 says so."""
    fake = install(monkeypatch)
    lines = look_like(monkeypatch, lambda _rank: READY)
    world = World(comm)
    device = open_device(world, Settings())
    index = world.rank % 2
    num_sharing = 2 if world.size == 3 and index == 0 else 1
    assert (device.kind, device.index, device.num_sharing) == ("cuda", index, num_sharing)
    assert fake.limits == {index: 72 * GIB // num_sharing} == {index: device.share_bytes}
    said = [line for part in world.gather_obj(lines) for line in part]
    assert len(said) == (1 if world.size == 3 else 0), said
    if said and world.is_root:
        assert said == lines
        assert said[0].startswith("warning: ranks 0, 2 share the GPU NVIDIA H100")
    world.close()


@pytest.mark.ranks(3, mpis=BOTH)
def test_gpu_that_one_rank_lacks_is_nobodys(
    comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In auto all take the CPU and rank 0 says why; in cuda every rank raises the same line."""
    install(monkeypatch)
    lacks = GpuFacts(devices=("nvidia0",), driver_cuda=(13, 0))
    lines = look_like(monkeypatch, lambda rank: lacks if rank == 2 else READY)
    world = World(comm)
    assert open_device(world, Settings()) is CPU
    why = f"rank 2 on {world.host} has no GPU to compute on: CuPy is not installed"
    assert len(lines) == (1 if world.is_root else 0)
    assert all(why in line for line in lines)
    with pytest.raises(UserError, match=r"device\.kind 'cuda'") as raised:
        open_device(world, Settings(kind="cuda"))
    assert raised.value.is_agreed
    assert why in str(raised.value)
    world.close()
