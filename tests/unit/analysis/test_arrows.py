"""Who saw which update first: pure arithmetic on versions."""

from __future__ import annotations

import numpy as np
import pytest

from mpitrain.analysis.arrows import (
    Sights,
    Updates,
    every_nth,
    first_sights,
    gathered,
    lateness_s,
)

UPDATES = Updates(*(np.array(column) for column in (
    [1, 2, 3, 4, 6], [0, 1, 0, 2, 1], [10, 20, 30, 40, 60], [11, 21, 31, 41, 61],
)))  # fmt: skip


@pytest.mark.parametrize(
    ("num_updates", "num_ranks", "most", "nth"),
    [(100, 4, 300, 1), (101, 4, 300, 2), (100, 4, 10, 30), (100, 1, 10, 1), (0, 4, 10, 1)],
)
def test_every_nth_update_keeps_within_the_most(
    num_updates: int, num_ranks: int, most: int, nth: int
) -> None:
    """Each update may be seen by all ranks but its writer."""
    assert every_nth(num_updates, num_ranks, most) == nth
    assert (num_updates // nth) * (num_ranks - 1) <= most


def test_updates_are_gathered_by_version() -> None:
    """Of all ranks, and of a version that is there twice (a damaged log) the first."""
    found = gathered(
        [
            (1, np.array([2, 6]), np.array([20, 60]), np.array([21, 61])),
            (0, np.array([1, 3, 6]), np.array([10, 30, 0]), np.array([11, 31, 0])),
            (2, np.array([4]), np.array([40]), np.array([41])),
        ]
    )
    for name in ("version", "rank", "began_ns", "at_ns"):
        assert getattr(found, name).tolist() == getattr(UPDATES, name).tolist()


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_first_sights_are_those_of_a_search_row_by_row(cut: int) -> None:
    """In one piece or in slices, without the rank's own updates and those it never saw."""
    versions = np.array([0, 0, 2, 3, 3, 5])
    for rank in range(3):
        found = []
        for first, before in ((0, -1), (cut, int(versions[cut - 1]))):
            piece = versions[first:] if first else versions[:cut]
            found += list(zip(*map(np.ndarray.tolist, first_sights(
                UPDATES, rank, piece, before, first)), strict=True))  # fmt: skip
        wanted = [
            (index, int(np.flatnonzero(versions >= version)[0]))
            for index, version in enumerate(UPDATES.version.tolist())
            if version <= 5 and UPDATES.rank[index] != rank
        ]
        assert found == wanted


def test_lateness_takes_off_both_clocks_errors() -> None:
    """Positive only where a read ended before the writing began by more than that."""
    sights = Sights(
        np.array([0, 1]), np.array([5, 6]), np.array([9, 30]), np.array([8, 29])
    )  # updates 0 and 1 began at 10 and 20 ns
    late = lateness_s(UPDATES, sights, np.zeros(3), 2)
    np.testing.assert_allclose(late, [1e-9, -10e-9])
    late = lateness_s(UPDATES, sights, np.array([1e-9, 0, 2e-9]), 2)
    np.testing.assert_allclose(late, [-2e-9, -12e-9])
