"""Who takes which mini-batch, and when there is no work left: pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Work(Protocol):
    """How the tickets of a run are dealt out."""

    @property
    def num_tickets(self) -> int:
        """Tickets asked for."""

    @property
    def total_steps(self) -> int:
        """Steps of all ranks together."""

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


@dataclass(frozen=True)
class EqualShare:
    """Rank p takes ticket ``clock * size + p``; a last round is completed.

    Attributes:
        num_tickets: tickets asked for.
        size: number of ranks.
    """

    num_tickets: int
    size: int

    @property
    def num_rounds(self) -> int:
        """Steps of each rank."""
        return -(-self.num_tickets // self.size)

    @property
    def total_steps(self) -> int:
        """Steps of all ranks together, rounded up to whole rounds."""
        return self.num_rounds * self.size

    def is_left(self, clock: int, num_drawn: int) -> bool:
        """Tell whether this rank has rounds left."""
        return clock < self.num_rounds

    def take(self, clock: int, rank: int, draw: Callable[[], int]) -> int | None:
        """Return this rank's ticket of the round."""
        return clock * self.size + rank


@dataclass(frozen=True)
class SharedWork:
    """Tickets 0 .. num_tickets - 1 are drawn from one counter, so a fast rank does more.

    Attributes:
        num_tickets: tickets asked for.
    """

    num_tickets: int

    @property
    def total_steps(self) -> int:
        """Steps of all ranks together."""
        return self.num_tickets

    def is_left(self, clock: int, num_drawn: int) -> bool:
        """Tell whether the counter still has tickets."""
        return num_drawn < self.num_tickets

    def take(self, clock: int, rank: int, draw: Callable[[], int]) -> int | None:
        """Draw a ticket; another rank may have drawn the last one just before."""
        ticket = draw()
        return ticket if ticket < self.num_tickets else None
