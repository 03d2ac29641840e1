"""Who takes which mini-batch, and when there is no work left: pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from mpitrain.core.tickets import Deal


class Work(Protocol):
    """How the tickets of a run are dealt out."""

    @property
    def num_tickets(self) -> int:
        """Tickets asked for, since the start of the run."""

    @property
    def total_steps(self) -> int:
        """Steps of all ranks together, since the start of the run."""

    def is_left(self, clock: int, num_drawn: int) -> bool:
        """Tell whether a rank at ``clock`` may hope for work.

        Args:
            clock: steps this rank has finished.
            num_drawn: numbers drawn from the shared counter so far.
        """

    def take(self, clock: int, rank: int, draw: Callable[[], int]) -> int | None:
        """Return the next ticket of ``rank`` at ``clock``, or None when there is none.

        Args:
            clock: steps this rank has finished.
            rank: this rank.
            draw: takes the next number from the shared counter.
        """

    def num_taken(self, num_drawn: int) -> int:
        """Return how many of the numbers drawn from the shared counter stand for tickets."""


@dataclass(frozen=True)
class EqualShare:
    """Rank p takes ticket ``clock * size + p`` of the deal; a last round is completed.

    Attributes:
        num_tickets: tickets asked for.
        size: number of ranks.
        before: tickets taken before clocks were 0.
        deal: tickets that were left then.
    """

    num_tickets: int
    size: int
    before: int = 0
    deal: Deal = field(default_factory=Deal)

    @cached_property
    def num_rounds(self) -> int:
        """Steps of each rank; a round that was completed before may have taken more than asked."""
        return -(-self.deal.num_below(self.num_tickets) // self.size)

    @property
    def total_steps(self) -> int:
        """Steps of all ranks together, rounded up to whole rounds."""
        return self.before + self.num_rounds * self.size

    def is_left(self, clock: int, num_drawn: int) -> bool:
        """Tell whether this rank has rounds left."""
        return clock < self.num_rounds

    def take(self, clock: int, rank: int, draw: Callable[[], int]) -> int | None:
        """Return this rank's ticket of the round."""
        return self.ticket(clock, rank)

    def ticket(self, clock: int, rank: int) -> int:
        """Return the ticket of ``rank`` at ``clock``."""
        return self.deal.ticket(clock * self.size + rank)

    def num_taken(self, num_drawn: int) -> int:
        """Nothing is drawn."""
        return 0


@dataclass(frozen=True)
class SharedWork:
    """The tickets of the deal are drawn from one counter, so a fast rank does more.

    Attributes:
        num_tickets: tickets asked for.
        before: tickets taken before the counter was 0.
        deal: tickets that were left then.
    """

    num_tickets: int
    before: int = 0
    deal: Deal = field(default_factory=Deal)

    @property
    def total_steps(self) -> int:
        """Steps of all ranks together."""
        return self.before + self.num_left

    @cached_property
    def num_left(self) -> int:
        """Tickets of the deal that were asked for; other ranks may have taken more than those."""
        return self.deal.num_below(self.num_tickets)

    def is_left(self, clock: int, num_drawn: int) -> bool:
        """Tell whether the counter still has tickets."""
        return num_drawn < self.num_left

    def take(self, clock: int, rank: int, draw: Callable[[], int]) -> int | None:
        """Draw a ticket; another rank may have drawn the last one just before."""
        index = draw()
        return self.deal.ticket(index) if index < self.num_left else None

    def num_taken(self, num_drawn: int) -> int:
        """Return what was drawn, without the numbers beyond the last ticket."""
        return min(num_drawn, self.num_left)
