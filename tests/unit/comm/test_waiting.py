from __future__ import annotations

from collections.abc import Callable

import pytest

from mpitrain.comm.waiting import Patience
from mpitrain.core.errors import StallError


def ready_after(polls: int) -> Callable[[], bool]:
    """Return a condition that is true from the given poll on."""
    left = [polls]

    def ready() -> bool:
        left[0] -= 1
        return left[0] < 0

    return ready


def test_wait_ends_when_ready_without_speaking() -> None:
    """A short wait says nothing and describes nothing."""
    lines: list[str] = []
    patience = Patience(warn_s=10, limit_s=20, speak=lines.append)
    for polls in (0, 1, 50):
        patience.wait_until(ready_after(polls), pytest.fail)
    assert lines == []


def test_wait_speaks_after_warn_s_and_again_each_time_it_has_doubled() -> None:
    """Warned at 0.02, 0.04, 0.08, ... seconds: few lines, however long the wait."""
    lines: list[str] = []
    patience = Patience(warn_s=0.02, limit_s=0.4, speak=lines.append)
    with pytest.raises(StallError, match=r"for rank 3; gave up after 0\.4 s"):
        patience.wait_until(lambda: False, lambda: "rank 1 waits for rank 3")
    assert 3 <= len(lines) <= 5
    assert all(line.startswith("rank 1 waits for rank 3; waited 0.") for line in lines)
