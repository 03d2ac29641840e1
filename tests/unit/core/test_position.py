from __future__ import annotations

import numpy as np
import pytest

from mpitrain.core.position import Position


def test_same_ranks_go_on_in_the_same_era() -> None:
    """Nothing changes, not even a copy is made."""
    position = Position.first("ssp", "shared", 3).moved(np.array([4, 5, 6]), 15, 15)
    assert position.on("ssp", "shared", 3) is position
    assert position.steps == 15


def test_other_ranks_begin_an_era_with_the_tickets_that_are_left() -> None:
    """Equal shares of an asynchronous run leave holes: they come first, in order."""
    before = Position.first("asp", "equal", 2).moved(np.array([1, 3]), 4, 0)
    after = before.on("asp", "equal", 3)  # taken were 0 by rank 0 and 1, 3, 5 by rank 1
    assert [after.deal.ticket(i) for i in range(5)] == [2, 4, 6, 7, 8]
    assert after.clocks.tolist() == [0, 0, 0]
    assert (after.steps, after.version, after.era_steps) == (4, 4, 4)
    assert after.ages.tolist() == [2, 2, 2]


def test_shared_tickets_are_taken_from_the_front() -> None:
    """The counter tells what is taken."""
    before = Position.first("asp", "shared", 2).moved(np.array([7, 2]), 9, 9)
    after = before.on("asp", "shared", 1)
    assert after.deal.ticket(0) == 9
    assert after.drawn == 0


@pytest.mark.parametrize("share", ["equal", "shared"])
def test_position_comes_back_from_its_parts(share: str) -> None:
    """What a checkpoint keeps is all there is."""
    position = Position.first("ssp", share, 2).moved(np.array([5, 3]), 8, 8).on("ssp", share, 4)
    back = Position.of(position.scalars(), position.arrays())
    assert back.scalars() == position.scalars()
    for name, array in position.arrays().items():
        assert back.arrays()[name].tolist() == array.tolist()
