"""Which tickets are left to take, in order: pure.

A run that goes on with another number of ranks deals the tickets that are left anew. Those are the
holes, tickets that some rank did not get to while others were further, and everything from ``next``
on. The i-th ticket of a deal is the i-th smallest of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Tickets = npt.NDArray[np.int64]


def _none() -> Tickets:
    return np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Deal:
    """Tickets that are not taken yet, by index.

    Attributes:
        next: first ticket above which none is taken.
        holes: (H,), int64, increasing: tickets below ``next`` that are not taken.
    """

    next: int = 0
    holes: Tickets = field(default_factory=_none)

    def ticket(self, index: int) -> int:
        """Return the ticket with this index, >= 0."""
        num = len(self.holes)
        return int(self.holes[index]) if index < num else self.next + index - num

    def tickets(self, indices: Tickets) -> Tickets:
        """Return the tickets of many indices: same shape, int64, new."""
        num = len(self.holes)
        fresh = self.next + indices - num
        if not num:
            return fresh
        return np.where(indices < num, self.holes[np.minimum(indices, num - 1)], fresh)

    def indices(self, tickets: Tickets) -> Tickets:
        """Return the index of each ticket, -1 for one that is not in the deal: int64, new."""
        num = len(self.holes)
        fresh = np.where(tickets >= self.next, tickets - self.next + num, -1)
        if not num:
            return fresh
        place = np.minimum(np.searchsorted(self.holes, tickets), num - 1)
        return np.where(self.holes[place] == tickets, place, fresh)

    def num_below(self, ticket: int) -> int:
        """Return how many tickets of the deal are below one: as many are left of a run so long."""
        return int(np.searchsorted(self.holes, ticket)) + max(0, ticket - self.next)

    def skipped(self, count: int) -> Deal:
        """Return the deal without its first ``count`` tickets, >= 0."""
        num = len(self.holes)
        return Deal(self.next + max(0, count - num), self.holes[min(count, num) :])

    def without(self, indices: Tickets) -> Deal:
        """Return the deal that is left when the tickets of ``indices`` are taken.

        Args:
            indices: (taken,), int64, each once, in any order.
        """
        num = len(self.holes)
        most = max(num, int(indices.max(initial=-1)) + 1)
        is_left = np.ones(most, np.bool_)
        is_left[indices] = False
        return Deal(self.next + most - num, self.tickets(np.flatnonzero(is_left)))
