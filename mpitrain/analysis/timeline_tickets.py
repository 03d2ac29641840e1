"""Checks of the tickets over a whole timeline: none is taken by two lives, none is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mpitrain.analysis.completeness import column_of
from mpitrain.analysis.findings import MAX_PER_CHECK, Finding
from mpitrain.analysis.seen import Seen
from mpitrain.analysis.sequence import Sequence as Tickets
from mpitrain.storage.reading import Segment, Stretch


def check_timeline_tickets(chain: Sequence[Stretch], *, is_complete: bool) -> Iterator[Finding]:
    """Check that no two lives took the same ticket; and that all were taken, if ``is_complete``.

    Tickets that one life took twice are the business of the checks of that life.
    """
    segments = [segment for stretch in chain for segment in stretch.segments()]
    sequence = _seen(segments)
    if sequence is not None and sequence.num_complete < sequence.num_total and is_complete:
        yield _tell_absent(segments, sequence.num_complete)
    if sequence is None:
        yield from _look_closer(segments, is_complete=is_complete)


def _seen(segments: Sequence[Segment]) -> Tickets | None:
    """Return what was taken; None where a ticket was taken twice, or is none."""
    num_rows = sum(segment.num_rows for segment in segments)
    seen = Seen(0, 1, num_rows)
    for number, segment in enumerate(segments):
        for _, rows in segment.log.slices(["ticket"], segment.num_rows):
            seen.add(number, rows["ticket"][:, np.newaxis])
    return seen.judge(0, -1)


def _look_closer(segments: Sequence[Segment], *, is_complete: bool) -> Iterator[Finding]:
    columns = [column_of(segment.log, "ticket")[: segment.num_rows] for segment in segments]
    tickets = np.concatenate([np.empty(0, np.int64), *columns])
    owners = np.repeat(np.arange(len(segments)), [len(column) for column in columns])
    lives = np.array([segment.life for segment in segments], np.int64)[owners]
    rows = np.concatenate([np.empty(0, np.int64), *(np.arange(len(c)) for c in columns)])
    order = np.argsort(tickets, kind="stable")
    ordered = tickets[order]
    is_doubled = (ordered[1:] == ordered[:-1]) & (lives[order][1:] != lives[order][:-1])
    for index in np.flatnonzero(is_doubled).tolist()[:MAX_PER_CHECK]:
        first, again = order[index], order[index + 1]
        yield _tell_twice(segments[owners[first]], int(rows[first]), segments[owners[again]],
                          int(rows[again]))  # fmt: skip
    distinct = np.unique(tickets)
    absent = np.flatnonzero(distinct != np.arange(len(distinct)))
    if is_complete and absent.size:
        yield _tell_absent(segments, int(absent[0]))


def _tell_absent(segments: Sequence[Segment], ticket: int) -> Finding:
    what = f"ticket {ticket} was never taken, though the run is done"
    return Finding(segments[-1].log.path, None, what)


def _tell_twice(here: Segment, row: int, there: Segment, other: int) -> Finding:
    ((_, rows),) = here.log.slices(["ticket"], row + 1, start=row)
    ticket = rows["ticket"][0]
    what = f"ticket {ticket} is taken again in life {there.life}, {there.log.path.name} row {other}"
    return Finding(here.log.path, row, what)
