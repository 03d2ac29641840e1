"""The timeline of a run as a trace: all ranks' steps, what they waited for and whom they saw.

The trace is written rank by rank and slice by slice, so that a long run needs little memory: each
log is read four times. Lives follow each other: a life's common zero is put at the end of the life
before, as the time between two lives is in no log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from mpitrain.analysis.readable import Opened
from mpitrain.analysis.spans import BEGAN, ENDED, Edges, Window
from mpitrain.analysis.trace_events import Between, checkpoints_of, events_between
from mpitrain.analysis.trace_links import Links, links_of
from mpitrain.analysis.trace_slices import step_slices
from mpitrain.analysis.trace_text import (
    CHECKPOINTS,
    STEP_COLUMNS,
    STEPS,
    counters_text,
    names_of,
    steps_text,
)
from mpitrain.storage.reading import Segment

Write = Callable[[str], None]

TEXT_ROWS = 4096  # rows that are text at one time


@dataclass
class Told:
    """What a trace holds.

    Attributes:
        steps: of all ranks.
        arrows: from an update to a read that first saw it.
        nth_update: every n-th update has arrows; 0 where none has.
        first_ns: when the first step that is told began; None without one.
        last_ns: when the last one ended.
        lives_s: life -> place of its common zero in the trace, seconds.
        error_s: largest error of a clock that the logs state.
        late_s: largest time by which a read seems to have come before the write it saw, beyond
            what two clocks' errors allow; negative is good; None where nothing was compared.
    """

    steps: int = 0
    arrows: int = 0
    nth_update: int = 0
    first_ns: int | None = None
    last_ns: int = 0
    lives_s: dict[int, float] = field(default_factory=dict)
    error_s: float = 0.0
    late_s: float | None = None

    def add(self, links: Links) -> None:
        """Count the arrows of a life."""
        self.arrows += links.count
        self.nth_update = max(self.nth_update, links.nth_update)
        self.error_s = max(self.error_s, links.error_s)
        late_s = [late for late in (self.late_s, links.late_s) if late is not None]
        self.late_s = max(late_s, default=None)


@dataclass
class _Scanned:
    """What one look at a part's times shows."""

    part: Segment
    num_told: int
    last_ns: int
    between: list[Between]
    checkpoints: list[tuple[int, str]]


def write_trace(run: Opened, window: Window, most_arrows: int, write: Write) -> Told:
    """Write the events of a trace as the elements of a JSON array, without its brackets.

    Args:
        run: the timeline; every log is readable.
        window: which steps.
        most_arrows: about how many arrows at most; 0 for none.
        write: takes text.

    Returns:
        what was written.
    """
    told = Told()
    join = _Joined(write)
    zero_ns = 0
    for parts in (stretch.segments() for stretch in run.chain):
        scanned = [_scan(part, zero_ns, window) for part in parts]
        told.lives_s |= {part.life: zero_ns / 1e9 for part in parts}
        counts = [one.num_told for one in scanned]
        links = links_of(parts, counts, zero_ns, window, most_arrows, told.arrows + 1)
        told.add(links)
        for one in scanned:
            join.add(_names(one))
            join.add(_rank_text(one, zero_ns, window, links, told))
        zero_ns = max([zero_ns, *(one.last_ns for one in scanned)])
    return told


class _Joined:
    """Puts commas between elements."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._is_first = True

    def add(self, texts: Iterator[str]) -> None:
        """Write these elements."""
        block: list[str] = []
        for text in texts:
            block.append(text)
            if len(block) == TEXT_ROWS:
                self._flush(block)
        self._flush(block)

    def _flush(self, block: list[str]) -> None:
        if block:
            self._write(("" if self._is_first else ",\n") + ",\n".join(block))
            self._is_first = False
            block.clear()


def _scan(part: Segment, zero_ns: int, window: Window) -> _Scanned:
    starts, ends, num_told = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for _, edges, columns in step_slices(part, zero_ns):
        starts.append(edges[:, BEGAN])
        ends.append(edges[:, ENDED])
        num_told += int(window.has(edges, columns["clock"]).sum())
    ended = np.concatenate(ends)
    events = part.log.events
    between = events_between(part.rank, events, zero_ns, np.concatenate(starts), ended)
    checkpoints = checkpoints_of(part.rank, events, zero_ns)
    last_ns = max([zero_ns, *ended[-1:].tolist(), *(b.at_ns for b in between[-1:])])
    return _Scanned(part, num_told, last_ns, between, checkpoints)


def _names(one: _Scanned) -> Iterator[str]:
    host = str(one.part.log.attributes.get("host", "?"))
    threads = [STEPS, CHECKPOINTS] if one.checkpoints else [STEPS]
    return names_of(one.part.rank, host, threads)


def _rank_text(
    one: _Scanned, zero_ns: int, window: Window, links: Links, told: Told
) -> Iterator[str]:
    """Yield the events of one rank in one life."""
    part = one.part
    leaving, meeting = (by_rank.get(part.rank, {}) for by_rank in (links.leaving, links.meeting))
    after: dict[int, list[str]] = defaultdict(list)
    for happened in one.between:
        after[happened.row].append(happened.text)
    is_begun = window.from_ns is None and not window.first_clock
    yield from after.get(-1, ()) if is_begun or not one.part.num_rows else ()
    for first, edges, columns in step_slices(part, zero_ns, STEP_COLUMNS, TEXT_ROWS):
        (rows,) = np.nonzero(window.has(edges, columns["clock"]))
        if not len(rows):
            continue
        _note(told, edges[rows])
        kept = {name: columns[name][rows] for name in STEP_COLUMNS}
        numbers = (rows + first).tolist()
        seen = {i: meeting[row] for i, row in enumerate(numbers) if row in meeting}
        more = {
            i: [*leaving.get(row, ()), *after.get(row, ())]
            for i, row in enumerate(numbers)
            if row in leaving or row in after
        }
        yield from steps_text(part.rank, edges[rows], kept, seen, more)
        yield from counters_text(part.rank, edges[rows], kept)
    yield from (text for at_ns, text in one.checkpoints if _is_in(window, at_ns))


def _is_in(window: Window, at_ns: int) -> bool:
    is_late = window.from_ns is None or at_ns >= window.from_ns
    return is_late and (window.to_ns is None or at_ns <= window.to_ns)


def _note(told: Told, edges: Edges) -> None:
    told.steps += len(edges)
    first_ns, last_ns = int(edges[0, BEGAN]), int(edges[-1, ENDED])
    told.first_ns = first_ns if told.first_ns is None else min(told.first_ns, first_ns)
    told.last_ns = max(told.last_ns, last_ns)
