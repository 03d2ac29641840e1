"""Real windows on real ranks: whole snapshots, unique versions, nothing lost, holders named."""

from __future__ import annotations

import time

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.comm.waiting import Patience
from mpitrain.comm.window import ACCUMULATE, GET_ADD_PUT, ParameterWindow
from mpitrain.comm.world import World
from mpitrain.core.errors import ClosedError, StallError
from mpitrain.core.shards import Shards

BOTH = ("openmpi", "mpich")
NUM_UPDATES = 500
NUM_READS = 10_000


def make_window(world: World, size: int, count: int, dtype: str = "float32") -> ParameterWindow:
    """Open a window of ``size`` values in ``count`` shards."""
    return ParameterWindow(world, Shards(size, count, world.size), dtype, world.patience)


def walk(world: World, count: int) -> list[int]:
    """Return all shards, from a starting point of this rank's own."""
    return [(world.rank + step) % count for step in range(count)]


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
@pytest.mark.parametrize("mechanism", [ACCUMULATE, GET_ADD_PUT])
def test_window_loses_no_update_and_gives_each_version_once(
    comm: MPI.Intracomm, mechanism: str
) -> None:
    """Every rank adds rank-dependent integers 500 times: sums are exact, versions gapless."""
    world = World(comm)
    window = make_window(world, 1000, 3)
    window.add_mechanism = mechanism
    shards = window.shards
    updates = [np.full(shards.length(k), world.rank + 1, np.float32) for k in range(3)]
    written: list[list[int]] = [[], [], []]
    for _ in range(NUM_UPDATES):
        for k in walk(world, 3):
            written[k].append(window.add_in_section(k, updates[k]))
    world.meet("updates are counted")
    for k in range(3):
        out = np.zeros(shards.length(k), np.float32)
        assert window.read_into(k, out) == NUM_UPDATES * world.size
        assert np.all(out == NUM_UPDATES * world.size * (world.size + 1) // 2)
        versions = sorted(v for part in world.gather_obj(written[k]) for v in part)
        assert versions == list(range(1, NUM_UPDATES * world.size + 1))
        assert written[k] == sorted(written[k])
    window.close()
    world.close()


@pytest.mark.ranks(2, 4, mpis=BOTH)
@pytest.mark.parametrize("mechanism", [ACCUMULATE, GET_ADD_PUT])
@pytest.mark.parametrize(("size", "num_reads"), [(4096, NUM_READS), (600_000, 400)])
def test_window_tears_no_read_under_concurrent_writers(
    comm: MPI.Intracomm, mechanism: str, size: int, num_reads: int
) -> None:
    """Each write adds ones: each of 10,000 reads is constant, matches its version, never old.

    The longer shard is read and written in several pieces.
    """
    world = World(comm)
    window = make_window(world, size, 1)
    window.add_mechanism = mechanism
    ones, out = np.ones(size, np.float32), np.zeros(size, np.float32)
    newest = torn = 0
    for step in range(num_reads // world.size):
        if step % 4 == world.rank % 4:
            newest = window.add_in_section(0, ones)
        version = window.read_into(0, out)
        torn += not np.all(out == version)
        assert version >= newest
        newest = version
    assert torn == 0
    window.close()
    world.close()


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
@pytest.mark.parametrize("size", [999, 200_000])
def test_window_in_shared_memory_is_exact_by_load_and_store(comm: MPI.Intracomm, size: int) -> None:
    """As devices use it; some write and some read by calls, some without."""
    world = World(comm)
    shards = Shards(size, 3, world.size)
    window = ParameterWindow(world, shards, "float32", world.patience, is_shared=True)
    memory = [window.memory_of(k) for k in range(3)]
    for k, part in enumerate(memory):
        assert part.ctypes.data % 16 == shards.slice(k).start * 4 % 16
    outs = [np.zeros(len(part), np.float32) for part in memory]
    torn, num = 0, 400_000 // size
    for step in range(num):
        for k in walk(world, 3):
            if (world.rank + step) % 2:
                version = window.begin_write(k)
                assert np.all(memory[k] == version)
                np.add(memory[k], 1, out=memory[k])
                window.end_write(k, version)
                version = window.read_by(k, lambda k=k: np.copyto(outs[k], memory[k]))  # type: ignore[misc]
            else:
                window.add_in_section(k, np.ones_like(outs[k]))
                version = window.read_into(k, outs[k])
            torn += not np.all(outs[k] == version)
    world.meet("all have written")
    assert torn == 0
    assert [window.version(k) for k in range(3)] == [num * world.size] * 3
    window.close()
    world.close()


@pytest.mark.ranks(3, 4, mpis=BOTH)
def test_read_is_not_starved_by_a_rank_that_never_stops_writing(comm: MPI.Intracomm) -> None:
    """Ranks 1.. write without pause; rank 0's reads end, because they queue like everybody."""
    world = World(comm)
    window = make_window(world, 200_000, 1)
    out = np.zeros(200_000, np.float32)
    if world.rank == 0:
        versions = [window.read_into(0, out) for _ in range(20)]
        assert versions == sorted(versions)
        assert np.all(out == versions[-1])
    else:
        for _ in range(60):
            window.add_in_section(0, np.ones(200_000, np.float32))
    world.meet("reads have ended")
    window.close()
    world.close()


@pytest.mark.ranks(2, 3, mpis=BOTH)
def test_replace_and_present_values_are_exact_inside_the_write_section(
    comm: MPI.Intracomm,
) -> None:
    """Read-modify-write through present_into and replace by all ranks loses nothing."""
    world = World(comm)
    window = make_window(world, 500, 1, "float64")
    present = np.zeros(500)
    for _ in range(100):
        version = window.begin_write(0)
        window.present_into(0, present)
        assert np.all(present == version)
        window.replace(0, present + 1)
        assert window.end_write(0, version) == version + 1
    world.meet("all have written")
    assert window.read_into(0, present) == 100 * world.size
    assert np.all(present == 100 * world.size)
    window.close()
    world.close()


@pytest.mark.ranks(2, 3, mpis=BOTH)
def test_lock_names_the_rank_that_holds_it(comm: MPI.Intracomm) -> None:
    """A rank that stays in its write section is named in the warning and in the error."""
    world = World(comm)
    lines: list[str] = []
    patience = Patience(warn_s=0.1, limit_s=0.5, speak=lines.append)
    window = ParameterWindow(world, Shards(10, 1, world.size), "float32", patience)
    holder = world.size - 1
    if world.rank == holder:
        window.begin_write(0)
    world.meet("the lock is held")
    if world.rank != holder:
        with pytest.raises(
            StallError, match=rf"rank {holder} on .*, which holds shard 0 .* 0\.5 s"
        ):
            window.begin_write(0)
        assert lines
        assert f"rank {holder}" in lines[0]
    window.close()
    world.close()


@pytest.mark.ranks(1, 2, mpis=BOTH)
def test_closed_window_says_so(comm: MPI.Intracomm) -> None:
    """Closing twice is harmless; using it afterwards is ClosedError."""
    world = World(comm)
    window = make_window(world, 10, 1)
    window.close()
    window.close()
    with pytest.raises(ClosedError, match="already closed"):
        window.read_into(0, np.zeros(10, np.float32))
    world.close()


@pytest.mark.ranks(2, mpis=BOTH)
def test_read_reaches_an_owner_that_is_busy_outside_mpi(comm: MPI.Intracomm) -> None:
    """While the owner computes for 1.5 s without MPI, a read of its shard takes < 0.2 s."""
    world = World(comm)
    window = make_window(world, 100_000, 2)
    out = np.zeros(50_000, np.float32)
    world.meet("the owner becomes busy")
    if world.rank == 1:
        end = time.perf_counter() + 1.5
        matrix = np.ones((200, 200))
        while time.perf_counter() < end:
            matrix @ matrix
    else:
        time.sleep(0.2)
        began = time.perf_counter()
        window.read_into(1, out)
        window.add_in_section(1, out)
        assert time.perf_counter() - began < 0.2
    window.close()
    world.close()
