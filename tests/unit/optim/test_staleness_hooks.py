from __future__ import annotations

from mpitrain.optim.compensations import COMPENSATIONS
from mpitrain.optim.factors import FACTORS


def test_factor_none_counts_stale_updates_in_full() -> None:
    """Whatever the staleness, the factor is exactly 1."""
    assert [FACTORS["none"](tau) for tau in (0, 1, 1000)] == [1.0, 1.0, 1.0]


def test_compensation_none_is_no_function() -> None:
    """Nothing is called, and nothing needs reading, when there is no compensation."""
    assert COMPENSATIONS["none"] is None
