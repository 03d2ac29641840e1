"""Checks of the tickets: every mini-batch is taken, and none twice."""

from __future__ import annotations

import numpy as np

from mpitrain.analysis.attributes import Terms
from mpitrain.analysis.completeness import check_completeness, column_of, num_rows_of
from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.scan import Rows
from mpitrain.analysis.seen import Seen
from mpitrain.storage.reading import LifeLog, RankLog


class TicketChecks:
    """Who took which mini-batch: by formula, or from one counter by all ranks together.

    Both speak of the tickets that were left at the start of the era, by index.
    """

    names = ("clock", "ticket")

    def __init__(self, log: RankLog, rank: int, terms: Terms, seen: Seen) -> None:
        self._rank = rank
        self._terms = terms
        self._seen = seen
        self._ticket: int | None = None  # of the row before
        self._wrong = {name: Wrong(log.path) for name in ("equal", "left", "increasing")}

    def findings(self) -> list[Finding]:
        """Return what was wrong, check by check."""
        return [finding for wrong in self._wrong.values() for finding in wrong.findings()]

    def look(self, first: int, rows: Rows) -> None:
        """Check a slice."""
        if self._terms.share == "equal":
            self._look_at_equal(first, rows)
        else:
            self._look_at_shared(first, rows)

    def _look_at_equal(self, first: int, rows: Rows) -> None:
        ticket = rows["ticket"]
        indices = rows["clock"] * self._terms.size + self._rank
        # a wrong clock is told elsewhere
        wanted = self._terms.start.deal.tickets(np.maximum(indices, 0))
        self._wrong["equal"].add(
            first,
            ticket != wanted,
            lambda row: f"ticket is {ticket[row]}, with equal shares it must be {wanted[row]}",
        )

    def _look_at_shared(self, first: int, rows: Rows) -> None:
        ticket = rows["ticket"]
        indices = self._terms.start.deal.indices(ticket)
        self._seen.add(self._rank, indices[:, np.newaxis])
        self._wrong["left"].add(
            first,
            indices < self._terms.start.tickets_drawn,
            lambda row: f"ticket is {ticket[row]}, which was taken before this life began",
        )
        before = ticket[0] - 1 if self._ticket is None else self._ticket
        before = np.concatenate([[before], ticket[:-1]])
        self._ticket = int(ticket[-1])
        self._wrong["increasing"].add(
            first, ticket <= before, lambda row: f"ticket is {ticket[row]} after {before[row]}"
        )


def seen_tickets(life: LifeLog, terms: Terms) -> Seen:
    """Return where the tickets of a life are noted."""
    return Seen(terms.start.tickets_drawn, 1, num_rows_of(life))


def check_taken(life: LifeLog, terms: Terms, seen: Seen) -> list[Finding]:
    """Check that tickets from one counter were all taken, each once."""
    if terms.share == "equal":
        return []
    deal, first = terms.start.deal, terms.start.tickets_drawn
    faults, _ = check_completeness(
        life,
        seen,
        0,
        lambda log: deal.indices(column_of(log, "ticket")),
        first,
        "ticket {}",
        lambda index: str(deal.ticket(index)) if index >= first else None,
    )
    return faults
