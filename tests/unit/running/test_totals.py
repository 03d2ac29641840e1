from __future__ import annotations

import pytest

from mpitrain.modes.record import StepRecord
from mpitrain.running.totals import Totals, merged


def make_totals(rank: int) -> Totals:
    """Return the totals of two steps of a made-up rank."""
    totals = Totals()
    for clock in range(2):
        record = StepRecord(1)
        record.began_s = 10.0 * rank + clock
        record.wait_s, record.compute_s = 0.25, 0.75
        record.lead, record.staleness_max, record.staleness_mean = clock, rank, 1.0 + rank
        record.num_samples = 8
        totals.add(record, record.began_s + 1)
    return totals


def test_merged_totals_are_those_of_all_ranks() -> None:
    """Sums add up, extremes are extremes, time runs from the first step to the last."""
    both = merged([make_totals(0), make_totals(1)])
    assert (both.num_steps, both.num_samples) == (4, 32)
    assert both.seconds == 12.0
    assert both.staleness_mean == 1.5
    assert (both.staleness_max, both.lead_max) == (1, 1)
    assert both.wait_share == pytest.approx(0.25)


def test_no_step_at_all_gives_zeros() -> None:
    """A rank that found no work divides by nothing."""
    none = merged([Totals()])
    assert (none.seconds, none.staleness_mean, none.wait_share) == (0.0, 0.0, 0.0)
