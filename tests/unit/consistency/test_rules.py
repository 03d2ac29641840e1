from __future__ import annotations

import pytest

from mpitrain.consistency.rules import Bounded, Unbounded
from mpitrain.core.errors import UserError


@pytest.mark.parametrize("bound", [0, 1, 3, 10])
def test_bounded_rule_lets_start_up_to_the_bound(bound: int) -> None:
    """A lead equal to the bound may start, one more may not."""
    rule = Bounded(bound)
    assert rule.may_start(7 + bound, 7)
    assert not rule.may_start(8 + bound, 7)
    assert rule.may_start(0, 1 << 62)


def test_unbounded_rule_always_lets_start() -> None:
    """However far ahead."""
    assert Unbounded().may_start(10**9, 0)


def test_negative_bound_is_refused() -> None:
    """The slowest rank itself could never start."""
    with pytest.raises(UserError, match=r"mode\.bound must be >= 0, got -1"):
        Bounded(-1)
