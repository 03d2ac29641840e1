"""The ranks together: mistakes become everybody's, late ranks are named, clocks agree."""

from __future__ import annotations

import time

import pytest
from mpi4py import MPI

from mpitrain.comm.host_clock import HostClock
from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.core.errors import ClosedError, StallError, UserError

BOTH = ("openmpi", "mpich")


@pytest.mark.ranks(1, 2, 3, 7, mpis=BOTH)
def test_mistake_of_one_rank_becomes_everybodys(comm: MPI.Intracomm) -> None:
    """When the last rank's input is wrong, every rank raises its message."""
    world = World(comm)
    last = world.size - 1

    def check() -> int:
        if world.rank == last:
            message = f"mistake of rank {last}"
            raise UserError(message)
        return world.rank

    with pytest.raises(UserError, match=f"mistake of rank {last}"):
        world.agree(check)
    assert world.agree(lambda: world.rank) == world.rank
    world.close()


@pytest.mark.ranks(1, 2, 4, mpis=BOTH)
def test_decision_of_root_reaches_all(comm: MPI.Intracomm) -> None:
    """from_root runs on rank 0 alone; its value and its mistakes reach every rank."""
    world = World(comm)
    called: list[int] = []

    def decide() -> str:
        called.append(world.rank)
        return "yes"

    def fail() -> str:
        message = "no"
        raise UserError(message)

    assert world.from_root(decide) == "yes"
    assert called == ([0] if world.rank == 0 else [])
    with pytest.raises(UserError, match="no"):
        world.from_root(fail)
    world.close()


@pytest.mark.ranks(2, 3, 4)
def test_meeting_names_the_late_rank_once(comm: MPI.Intracomm) -> None:
    """While the last rank is late, exactly one rank speaks, and names it."""
    world = World(comm)
    late = world.size - 1
    lines: list[str] = []
    world.speak = lines.append  # type: ignore[method-assign]
    world.patience = Patience(warn_s=0.3, limit_s=30, speak=lines.append)
    world.meet("the test begins")
    if world.rank == late:
        time.sleep(0.5)
    world.meet("tea is ready")
    said = [line for part in world.gather_obj(lines) for line in part]
    assert len(said) == 1, said
    assert f"waits for rank {late} on {world.host}, until tea is ready" in said[0]
    world.close()


@pytest.mark.ranks(2)
def test_meeting_gives_up_at_the_limit(comm: MPI.Intracomm) -> None:
    """A rank that comes after the limit is named in the error of the one that waited."""
    world = World(comm)
    if world.rank == 0:
        world.patience = Patience(warn_s=0.1, limit_s=0.3, speak=lambda _line: None)
        with pytest.raises(StallError, match="rank 0 waits for rank 1 on"):
            world.meet("never")
    else:
        time.sleep(0.6)
        world.meet("never")


@pytest.mark.ranks(1, 3, mpis=BOTH)
def test_clocks_agree_between_ranks(comm: MPI.Intracomm) -> None:
    """Times taken in turn, rank after rank, come out in order on the common clock."""
    world = World(comm)
    clock = HostClock(world)
    assert clock.error_s == 0.0
    times = []
    for turn in range(3 * world.size):
        world.comm.Barrier()
        if turn % world.size == world.rank:
            times.append((turn, clock.now()))
    merged = sorted(pair for part in world.gather_obj(times) for pair in part)
    assert [t for _, t in merged] == sorted(t for _, t in merged)
    world.close()


@pytest.mark.ranks(1, 2, mpis=BOTH)
def test_closed_world_says_so(comm: MPI.Intracomm) -> None:
    """Closing twice is harmless; using it afterwards is ClosedError."""
    world = World(comm)
    world.close()
    world.close()
    with pytest.raises(ClosedError):
        world.gather_obj(1)
