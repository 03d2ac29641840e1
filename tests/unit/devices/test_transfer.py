from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mpitrain.core.errors import ClosedError
from mpitrain.core.shards import Shards
from mpitrain.devices.page_locked import page_locked
from mpitrain.devices.transfer import DeviceTransfer, HostTransfer, pieces, transfer_of
from tests.unit.devices.fake_cupy import FakeCupy, Site
from tests.unit.devices.programs import PROGRAMS, Machine, read_and_write_shards

SEEDS = range(20)
LONG = 20_000  # times as long: copies last while the host goes on

Program = Callable[[Machine], None]
each_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)


@each_program
def test_program_ends_as_if_every_call_were_done_at_once(xp: Any, program: Program) -> None:
    """The same calls, without a device and on one."""
    program(Machine(xp))
    program(Machine(xp, LONG))


@each_program
def test_program_ends_right_when_streams_run_as_late_as_they_may(program: Program) -> None:
    """Nothing runs before something waits for it."""
    program(Machine(FakeCupy()))


@pytest.mark.parametrize("seed", SEEDS)
@each_program
def test_program_ends_right_when_streams_run_in_a_random_order(program: Program, seed: int) -> None:
    """What may run runs at any time."""
    program(Machine(FakeCupy(seed)))


def test_every_record_and_wait_is_needed() -> None:
    """Without any one of them some program ends with wrong numbers."""
    sites = set[Site]()
    for program in PROGRAMS:
        fake = FakeCupy()
        program(Machine(fake))
        sites |= fake.sites
    assert len(sites) >= 12  # on_host, close, an event per copy, two turns each way
    assert [site for site in sorted(sites) if not _is_missed(site)] == []


def _is_missed(site: Site) -> bool:
    for seed in (None, *SEEDS):
        for program in PROGRAMS:
            fake = FakeCupy(seed)
            fake.left_out = site
            try:
                program(Machine(fake))
            except AssertionError:
                return True
    return False


def test_step_allocates_nothing() -> None:
    """Memory, streams and events are made once."""
    fake = FakeCupy()
    machine = Machine(fake)
    transfer = machine.transfer()
    before = fake.num_allocations
    for part in machine.walk(0) * 3:
        transfer.on_host(part)[...] = 1.0
        transfer.upload(part)
        transfer.download([part])
    assert fake.num_allocations == before


def test_calls_but_on_host_and_close_do_not_wait() -> None:
    """A late device has done nothing when they return."""
    fake = FakeCupy()
    machine = Machine(fake)
    transfer = machine.transfer()
    num_full = sum(part.stop > part.start for part in machine.parts)
    for part in machine.walk(0):
        transfer.on_host(part)
        transfer.upload(part)
    transfer.download(machine.walk(0))
    assert fake.num_under_way == 2 * num_full
    transfer.close()
    assert fake.num_under_way == 0


def test_on_host_waits_no_longer_than_for_its_part() -> None:
    """Later parts are still under way while the host uses an earlier one."""
    fake = FakeCupy()
    machine = Machine(fake)
    transfer = machine.transfer()
    walk = [part for part in machine.walk(3) if transfer.device_parts[part].size]
    transfer.download(walk)
    left = []
    for part in walk:
        transfer.on_host(part)
        left.append(fake.num_under_way)
    assert left == list(reversed(range(len(walk))))


def test_without_a_device_both_sides_are_one_memory() -> None:
    """Nothing is copied, so nothing costs anything."""
    vector = np.zeros(9)
    transfer = transfer_of(np, vector, [slice(0, 4), slice(4, 9)])
    assert isinstance(transfer, HostTransfer)
    assert transfer.host is transfer.device is vector
    transfer.on_host(1)[...] = 2.0
    transfer.upload(1)
    np.testing.assert_array_equal(transfer.device_parts[1], 2.0)
    np.testing.assert_array_equal(vector, [0, 0, 0, 0, 2, 2, 2, 2, 2])


@pytest.mark.parametrize("make", [lambda: np, FakeCupy], ids=["host", "device"])
def test_closed_transfer_refuses_everything_but_close(make: Callable[[], Any]) -> None:
    """A second close does nothing."""
    transfer = Machine(make()).transfer()
    transfer.close()
    transfer.close()
    for call in (
        lambda: transfer.on_host(0),
        lambda: transfer.upload(0),
        lambda: transfer.download([]),
    ):
        with pytest.raises(ClosedError, match="the transfer is already closed"):
            call()


@pytest.mark.parametrize("size", [0, 1, 5])
def test_vector_of_any_size_is_cut_into_shards(size: int) -> None:
    """There may be no element at all, and parts of one or none."""
    fake = FakeCupy()
    shards = Shards(size, max(1, size - 1), 1)
    parts = [shards.slice(shard) for shard in range(shards.count)]
    transfer = transfer_of(fake, fake.empty(size, "float32"), parts)
    for part in range(shards.count):
        transfer.on_host(part)[...] = part + 1
        transfer.upload(part)
    transfer.close()
    found = np.asarray(transfer.device)
    np.testing.assert_array_equal(found, np.repeat(range(1, shards.count + 1), _lengths(shards)))


def _lengths(shards: Shards) -> list[int]:
    return [shards.length(shard) for shard in range(shards.count)]


def test_parts_that_overlap_are_refused() -> None:
    """The wait for one part would not protect the other."""
    fake = FakeCupy()
    vector, host = fake.empty(9, "float32"), page_locked(fake, 9, "float32")
    with pytest.raises(AssertionError, match="parts overlap at element 4"):
        DeviceTransfer(fake, vector, host, [slice(4, 9), slice(0, 5)])


@pytest.mark.parametrize("itemsize", [4, 8])
def test_pieces_cover_the_vector_once(itemsize: int) -> None:
    """In order, all of one length but the last, which is not longer."""
    for size in (0, 1, 7, 8, 9, 100):
        found = pieces(size, itemsize, 32)
        covered = [index for piece in found for index in range(size)[piece]]
        assert covered == list(range(size))
        lengths = [piece.stop - piece.start for piece in found]
        assert set(lengths[:-1]) <= {32 // itemsize}
        assert all(0 < length <= 32 // itemsize for length in lengths)


@pytest.mark.gpu
def test_host_goes_on_while_a_kernel_runs() -> None:
    """Copies are enqueued behind it, and the host does not wait for either."""
    import cupy

    source = r"""extern "C" __global__ void spin(long long cycles) {
        const long long began = clock64();
        while (clock64() - began < cycles) {
        }
    }"""
    spin = cupy.RawKernel(source, "spin")
    machine = Machine(cupy, LONG)
    transfer = machine.transfer()
    end = cupy.cuda.Event()
    spin((1,), (1,), (np.int64(1),))  # compiled
    cupy.cuda.get_current_stream().synchronize()
    spin((1,), (1,), (np.int64(500_000_000),))  # a quarter of a second
    for part in machine.walk(0):
        transfer.on_host(part)[...] = part
        transfer.upload(part)
    transfer.download(machine.walk(0))
    end.record()
    assert not end.done
    transfer.close()
    read_and_write_shards(machine)
