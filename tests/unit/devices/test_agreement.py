from __future__ import annotations

import pytest

from mpitrain.core.errors import UserError
from mpitrain.devices.agreement import (
    chosen_kind,
    device_of,
    refuse_idle_gpus,
    sharing,
    sharing_line,
)
from mpitrain.devices.device import CPU, Device
from mpitrain.devices.offer import Offer
from mpitrain.devices.trouble import Trouble
from tests.fake_cupy import GIB, NAME

NO_GPU = Trouble("no NVIDIA GPU is there", "take a node with one")
NO_CUPY = Trouble("CuPy is not installed", "pip install 'cupy-cuda13x[ctk]'")


def with_gpu(number: int, host: str = "a") -> Offer:
    """Return the offer of a rank that has a GPU."""
    bus = f"0000:0{number}:00.0"
    device = Device(
        kind="cuda", index=number, name=NAME, pci_bus_id=bus, total_bytes=80 * GIB, uuid="1"
    )
    return Offer(host=host, device=device, sees_gpu=True)


def without(trouble: Trouble, host: str = "a") -> Offer:
    """Return the offer of a rank that has none."""
    return Offer(host=host, trouble=trouble, sees_gpu=trouble is NO_CUPY)


@pytest.mark.parametrize("kind", ["auto", "cuda"])
def test_ranks_take_gpus_where_all_have_one(kind: str) -> None:
    """Without a word."""
    assert chosen_kind(kind, [with_gpu(0), with_gpu(1)]) == ("cuda", "")


def test_cpu_is_taken_whatever_is_there() -> None:
    """Because it was asked for."""
    assert chosen_kind("cpu", [Offer(host="a"), Offer(host="a")]) == ("cpu", "")


def test_auto_says_nothing_where_there_is_no_gpu() -> None:
    """It is how most machines are."""
    assert chosen_kind("auto", [without(NO_GPU), without(NO_GPU)]) == ("cpu", "")


@pytest.mark.parametrize(
    ("offers", "said"),
    [
        (
            [with_gpu(0), without(NO_GPU, "b"), without(NO_GPU, "c")],
            "rank 1 on b has no GPU to compute on: no NVIDIA GPU is there (2 ranks of 3 have "
            "none); take a node with one",
        ),
        (
            [without(NO_GPU), without(NO_CUPY, "b")],
            "rank 1 on b has no GPU to compute on: CuPy is not installed (2 ranks of 2 have "
            "none); pip install 'cupy-cuda13x[ctk]'",
        ),
    ],
    ids=["some have one", "CuPy is missing"],
)
def test_gpu_that_not_all_can_use_is_said(offers: list[Offer], said: str) -> None:
    """In auto as a warning, in cuda as a mistake: the same rank, host, reason and remedy."""
    kind, warning = chosen_kind("auto", offers)
    assert kind == "cpu"
    assert warning == f"warning: all ranks use the CPU, because {said}, or say device.kind=cpu"
    with pytest.raises(UserError) as raised:
        chosen_kind("cuda", offers)
    assert str(raised.value) == f"device.kind 'cuda': {said}, or choose device.kind=cpu"


def test_cuda_without_any_gpu_is_a_mistake() -> None:
    """Also where auto would be silent."""
    with pytest.raises(UserError, match="rank 0 on a has no GPU to compute on: no NVIDIA GPU"):
        chosen_kind("cuda", [without(NO_GPU)])


def test_ranks_on_one_gpu_of_one_host_share_it() -> None:
    """The same address on another host is another GPU, and so is another part of one (MIG)."""
    part = with_gpu(0)
    assert part.device is not None
    part = Offer(host="a", device=Device(kind="cuda", pci_bus_id=part.device.pci_bus_id, uuid="2"))
    offers = [with_gpu(0), with_gpu(1), with_gpu(0), with_gpu(0, "b"), with_gpu(1), part]
    assert sharing(offers) == [[0, 2], [1, 4]]
    assert sharing_line(offers) == (
        f"warning: ranks 0, 2 share the GPU {NAME} (0000:00:00.0) of a, and others share 1 more "
        "GPU: they take turns; start one rank for each GPU, or NVIDIA's MPS"
    )
    assert sharing_line([with_gpu(0), with_gpu(1)]) == ""


def test_many_ranks_on_one_gpu_make_a_short_line() -> None:
    """The first are named, the others counted."""
    line = sharing_line([with_gpu(0)] * 20)
    assert "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 12 more share the GPU" in line


def test_share_of_the_memory_is_divided_among_the_ranks_of_a_gpu() -> None:
    """Ranks alone on theirs keep all of it."""
    offers = [with_gpu(0), with_gpu(1), with_gpu(0)]
    devices = [device_of(rank, offers, "cuda", 0.9) for rank in range(3)]
    assert [device.num_sharing for device in devices] == [2, 1, 2]
    assert [device.share_bytes for device in devices] == [36 * GIB, 72 * GIB, 36 * GIB]
    assert device_of(0, offers, "cpu", 0.9) is CPU


def test_gpus_of_a_slurm_job_that_nobody_uses_are_refused() -> None:
    """The job would hold them idle; whoever wants that says so."""
    offers = [with_gpu(0), without(NO_CUPY, "b")]
    message = (
        r"this Slurm job was given GPUs \(0,1\), but rank 1 on b has no GPU to compute on: CuPy is "
        r"not installed; pip install .* or say device\.kind=cpu"
    )
    with pytest.raises(UserError, match=message):
        refuse_idle_gpus("cpu", offers, "0,1")
    refuse_idle_gpus("cuda", [with_gpu(0)], "0")
