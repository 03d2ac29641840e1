"""The rules of bounded and asynchronous modes: when a rank may start its next step.

A rule sees two numbers, the rank's own clock and the slowest clock of the ranks that still have
work, and says yes or no. It knows neither MPI nor time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mpitrain.core.errors import UserError


class Rule(Protocol):
    """When a rank may start a step."""

    def may_start(self, clock: int, slowest: int) -> bool:
        """Tell whether a rank at ``clock`` may start while the slowest is at ``slowest``."""


@dataclass(frozen=True)
class Bounded:
    """Start while the lead is at most ``bound`` (stale synchronous parallel).

    Source: Ho et al., "More effective distributed ML via a stale synchronous parallel parameter
    server", NIPS 2013, section 2.
    """

    bound: int

    def __post_init__(self) -> None:
        if self.bound < 0:
            message = f"mode.bound must be >= 0, got {self.bound}"
            raise UserError(message)

    def may_start(self, clock: int, slowest: int) -> bool:
        """Tell whether the lead is within the bound."""
        return clock - slowest <= self.bound


@dataclass(frozen=True)
class Unbounded:
    """Start always (asynchronous)."""

    def may_start(self, clock: int, slowest: int) -> bool:
        """Tell yes."""
        return True
