"""When phases began and ended: pure arithmetic on columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.spans import PHASE_COLUMNS, Window, edges_of, latest_reads


def columns_of(*rows: tuple[float, ...]) -> dict[str, npt.NDArray[np.floating]]:
    """Return columns: began, wait, read, compute, write."""
    table = np.array(rows)
    phases = {name: table[:, i + 1].astype("f4") for i, name in enumerate(PHASE_COLUMNS)}
    return {"began_s": table[:, 0], **phases}


def test_phases_follow_each_other_from_the_beginning() -> None:
    """In nanoseconds, moved to where the life's zero is."""
    columns = columns_of((1.0, 0.5, 0.25, 0.125, 0.0625), (3.0, 0.0, 0.0, 1.0, 0.0))
    edges = edges_of(columns, 10**9, 0)
    assert (edges[0] - 10**9).tolist() == [
        1_000_000_000, 1_500_000_000, 1_750_000_000, 1_875_000_000, 1_937_500_000,
    ]  # fmt: skip
    assert (edges[1] - 10**9).tolist() == [3 * 10**9, 3 * 10**9, 3 * 10**9, 4 * 10**9, 4 * 10**9]


def test_no_step_reaches_into_the_next() -> None:
    """Not by rounding, not over the edge of a slice, and not with numbers that make no sense."""
    columns = columns_of(
        (1.0, 0.5, 0, 0, 0), (1.25, 0.5, 0, 0, 0), (np.nan, 0.5, np.inf, -1.0, 0), (9.0, 0, 0, 0, 0)
    )
    edges = edges_of(columns, 0, 1_100_000_000)
    flat = edges.reshape(-1)
    assert flat[0] == 1_100_000_000
    assert (np.diff(flat) >= 0).all()
    assert edges[1, 0] == edges[0, 4] == 1_500_000_000


def test_a_window_has_steps_that_overlap_it() -> None:
    """By time, by clock, and by both."""
    edges = edges_of(columns_of(*((float(s), 0.1, 0.1, 0.1, 0.1) for s in range(6))), 0, 0)
    clocks = np.arange(6)
    assert Window().has(edges, clocks).all()
    by_time = Window(from_ns=1_300_000_000, to_ns=3_000_000_000).has(edges, clocks)
    assert np.flatnonzero(by_time).tolist() == [1, 2, 3]
    by_clock = Window(first_clock=2, stop_clock=4).has(edges, clocks)
    assert np.flatnonzero(by_clock).tolist() == [2, 3]
    both = Window(from_ns=3_000_000_000, first_clock=2, stop_clock=4).has(edges, clocks)
    assert np.flatnonzero(both).tolist() == [3]


def test_a_read_has_ended_when_what_followed_it_must_have_begun() -> None:
    """The time that no phase has may lie before the end of the read."""
    edges = edges_of(columns_of((1.0, 0.1, 0.2, 0.3, 0.1), (2.0, 0.1, 0.1, 0.1, 0.1)), 0, 0)
    latest = latest_reads(edges)
    assert abs(int(latest[0]) - 1_600_000_000) < 100
    assert latest[1] == np.iinfo(np.int64).max
