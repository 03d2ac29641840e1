"""The board: tickets given out once, clocks that never go back, the minimum over who has work."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from mpitrain.comm.clocks import FINISHED, Board
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.world import World
from mpitrain.core.shards import Shards

BOTH = ("openmpi", "mpich")


def open_board(world: World) -> tuple[ParameterWindow, Board]:
    """Open a small window and its board."""
    window = ParameterWindow(world, Shards(8, 1, world.size), "float32", world.patience)
    return window, Board(window.words, world.rank, world.size)


@pytest.mark.ranks(1, 2, 3, 4, 7, mpis=BOTH)
def test_tickets_are_given_out_once(comm: MPI.Intracomm) -> None:
    """All ranks draw 200 tickets each: together they are 0, 1, 2, ... without gap."""
    world = World(comm)
    window, board = open_board(world)
    mine = [board.draw_ticket() for _ in range(200)]
    assert mine == sorted(mine)
    everyone = sorted(t for part in world.gather_obj(mine) for t in part)
    assert everyone == list(range(200 * world.size))
    board.refresh()
    assert board.tickets_drawn == 200 * world.size
    window.close()
    world.close()


@pytest.mark.ranks(1, 2, 3, 7, mpis=BOTH)
def test_clocks_show_every_rank_and_the_slowest_with_work(comm: MPI.Intracomm) -> None:
    """Rank p advances p + 2 times; rank 0 then finishes and leaves the minimum."""
    world = World(comm)
    window, board = open_board(world)
    for _ in range(world.rank + 2):
        board.advance()
    world.meet("all have advanced")
    assert board.refresh() == 2
    assert board.clocks.tolist() == [p + 2 for p in range(world.size)]
    assert board.slowest_ranks().tolist() == [0]
    world.meet("all have looked")
    if world.rank == 0:
        board.finish()
    world.meet("rank 0 has finished")
    assert board.refresh() == (3 if world.size > 1 else FINISHED)
    assert board.clocks.tolist() == [p + 2 for p in range(world.size)]
    assert np.flatnonzero(board.is_finished).tolist() == [0]
    window.close()
    world.close()
