"""Checks of how clocks and tickets go on from a life to its successor.

An era is a run of lives with the same number of ranks, mode and share. Within it clocks go on from
the cut and tickets come from one deal. A new era begins at clock 0 with a deal of all tickets that
the era before did not take.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import Terms
from mpitrain.analysis.findings import Finding
from mpitrain.core.tickets import Deal
from mpitrain.storage.reading import Segment, Stretch

Indices = npt.NDArray[np.int64]


def check_era(
    place: Path, before: Stretch, old: Terms, new: Terms, num_rows: int
) -> Iterator[Finding]:
    """Check clocks and tickets at the start of a life; its cut has been found right.

    Args:
        place: a log of the life.
        before: the life that wrote the checkpoint.
        old: terms of that life.
        new: terms of this life.
        num_rows: rows that are there on the timeline before this life.
    """
    same = (old.size, old.mode, old.share) == (new.size, new.mode, new.share)
    cut, taken = new.start.cut, old.start.tickets_drawn + sum(before.num_rows.values())
    clocks = cut if same else np.zeros(new.size, np.int64)
    found = [new.start.clock(rank) for rank in range(new.size)]
    if found != clocks.tolist():
        yield _wrong(place, "/start/clocks", found, clocks.tolist())
    if new.share == "shared":
        drawn = taken if same else 0
        if new.start.tickets_drawn != drawn:
            yield _wrong(place, "tickets_drawn", new.start.tickets_drawn, drawn)
    if old.share == "shared":
        yield from _check_drawn(before, old.start.deal, old.start.tickets_drawn, taken)
    if same:
        yield from _check_deal(place, new.start.deal, old.start.deal)
    elif (indices := _taken(before, old, taken, num_rows)) is not None:
        yield from _check_deal(place, new.start.deal, old.start.deal.without(indices))


def _check_drawn(before: Stretch, deal: Deal, first: int, stop: int) -> Iterator[Finding]:
    """Check that the rows up to the cut took the tickets of ``first`` to ``stop`` - 1."""
    for segment in before.segments():
        for row, ticket in _first_beyond(segment, deal, stop):
            what = f"took ticket {ticket} before a checkpoint up to which only those below "
            yield Finding(segment.log.path, row, f"{what}{deal.ticket(stop)} were taken")


def _first_beyond(segment: Segment, deal: Deal, stop: int) -> list[tuple[int, int]]:
    """Return the first row that took a ticket from ``stop`` on, and the ticket; or nothing."""
    for first, rows in segment.log.slices(["ticket"], segment.num_rows):
        tickets = rows["ticket"]
        beyond = np.flatnonzero(deal.indices(tickets) >= stop)
        if beyond.size:
            return [(first + int(beyond[0]), int(tickets[beyond[0]]))]
    return []


def _taken(before: Stretch, terms: Terms, num_taken: int, most: int) -> Indices | None:
    """Return the indices of the tickets that an era took; None if more than ``most`` in all."""
    if terms.share == "shared":
        return np.arange(num_taken) if num_taken <= most else None
    clocks = [before.num_rows[rank] + terms.start.clock(rank) for rank in range(terms.size)]
    if sum(clocks) > most:
        return None
    return np.concatenate([np.arange(num) * terms.size + p for p, num in enumerate(clocks)])


def _check_deal(place: Path, found: Deal, wanted: Deal) -> Iterator[Finding]:
    if found.next != wanted.next:
        yield _wrong(place, "tickets_next", found.next, wanted.next)
    if not np.array_equal(found.holes, wanted.holes):
        said = f"{len(found.holes)} holes", f"{len(wanted.holes)} others"
        yield _wrong(place, "/start/ticket_holes", *said)


def _wrong(place: Path, name: str, found: object, wanted: object) -> Finding:
    return Finding(place, None, f"{name} is {found}, the life before gives {wanted}")
