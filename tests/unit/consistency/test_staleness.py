from __future__ import annotations

import numpy as np

from mpitrain.consistency.staleness import Staleness


def test_staleness_counts_other_ranks_updates_between_read_and_write() -> None:
    """Read at 4, applied on top of 9: five updates of others in between."""
    staleness = Staleness(np.array([0.25, 0.75]))
    assert staleness.of_write(0, 4, 9) == 5
    assert staleness.of_write(1, 9, 9) == 0
    assert staleness.mean == 1.25
    assert staleness.largest == 5
    assert staleness.own_missing.tolist() == [0, 0]


def test_own_update_missing_from_the_read_is_counted_apart() -> None:
    """A read one step ahead misses the rank's own last update; that is not staleness."""
    staleness = Staleness(np.array([1.0]))
    staleness.of_write(0, 0, 2)  # wrote version 3
    assert staleness.of_write(0, 1, 5) == 3  # versions 2, 4, 5 of others; 3 was its own
    assert staleness.own_missing.tolist() == [1]
    assert staleness.of_write(0, 6, 6) == 0
    assert staleness.own_missing.tolist() == [0]
