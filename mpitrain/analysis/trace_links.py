"""The arrows of one life: from updates to those who saw them first, and what they say of clocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.arrows import (
    Sights,
    Updates,
    every_nth,
    first_sights,
    gathered,
    lateness_s,
)
from mpitrain.analysis.spans import (
    ENDED,
    READ_BEGAN,
    READ_ENDED,
    WRITE_BEGAN,
    Window,
    latest_reads,
)
from mpitrain.analysis.trace_slices import step_slices
from mpitrain.analysis.trace_text import arrow_end, arrow_start
from mpitrain.storage.reading import Segment

Texts = dict[int, list[str]]
"""Row -> events."""


@dataclass
class Links:
    """What is drawn of a life.

    Attributes:
        leaving: rank -> row -> where arrows leave.
        meeting: rank -> row -> where arrows end.
        count: of arrows.
        nth_update: every n-th update is followed; 0 where none is.
        error_s: largest error of a clock that the logs state.
        late_s: see ``Told``.
    """

    leaving: dict[int, Texts] = field(default_factory=dict)
    meeting: dict[int, Texts] = field(default_factory=dict)
    count: int = 0
    nth_update: int = 0
    error_s: float = 0.0
    late_s: float | None = None


def links_of(
    parts: Sequence[Segment],
    num_steps: Sequence[int],
    zero_ns: int,
    window: Window,
    most: int,
    first_number: int,
) -> Links:
    """Return the arrows of a life, and compare the ranks' clocks by them.

    Args:
        parts: its logs.
        num_steps: of each that are told.
        zero_ns: place of the life's common zero in the trace.
        window: which steps are told.
        most: about how many arrows at most; 0 for none.
        first_number: of the arrows; no two in a trace have the same.
    """
    errors_s = _errors_s(parts)
    links = Links(error_s=float(errors_s.max(initial=0.0)))
    pairs = zip(parts, num_steps, strict=True)
    able = [part for part, num in pairs if num and _has_own_versions(part)]
    if not most or len(able) < 2:
        return links
    links.nth_update = every_nth(sum(num_steps), len(able), most)
    updates, rows = _followed(able, zero_ns, window, links.nth_update)
    for part in able:
        sights = _sights(part, zero_ns, window, updates)
        late_s = lateness_s(updates, sights, errors_s, part.rank)
        if len(late_s):
            links.late_s = max(
                float(late_s.max()), -np.inf if links.late_s is None else links.late_s
            )
        _draw(part.rank, updates, rows, sights, links, first_number)
    return links


def _errors_s(parts: Sequence[Segment]) -> npt.NDArray[np.float64]:
    """Return the stated error of each rank's clock, by rank."""
    errors = np.zeros(max((part.rank for part in parts), default=0) + 1)
    for part in parts:
        said = part.log.attributes.get("clock_error_s")
        if isinstance(said, int | float) and math.isfinite(said):
            errors[part.rank] = abs(said)
    return errors


def _has_own_versions(part: Segment) -> bool:
    """Tell whether each version of a shard is one rank's update."""
    return part.log.per_shard and part.log.attributes.get("mode") != "bsp"


def _followed(
    parts: list[Segment], zero_ns: int, window: Window, nth: int
) -> tuple[Updates, npt.NDArray[np.int64]]:
    """Return every n-th update and its row in its rank's log."""
    found, rows_of = [], []
    for part in parts:
        for first, edges, columns in step_slices(part, zero_ns, ("version_written",)):
            version = columns["version_written"][:, 0]
            is_told = window.has(edges, columns["clock"]) & (version % nth == 0)
            began_ns, ended_ns = edges[is_told, WRITE_BEGAN], edges[is_told, ENDED]
            at_ns = np.minimum(began_ns + 1, ended_ns)
            found.append((part.rank, version[is_told], began_ns, at_ns))
            rows_of.append(np.flatnonzero(is_told) + first)
    versions = np.concatenate([np.empty(0, np.int64), *(one[1] for one in found)])
    _, order = np.unique(versions, return_index=True)
    return gathered(found), np.concatenate([np.empty(0, np.int64), *rows_of])[order]


def _sights(part: Segment, zero_ns: int, window: Window, updates: Updates) -> Sights:
    """Return the reads of one rank that saw a followed update first."""
    before, found = -1, []
    for first, edges, columns in step_slices(part, zero_ns, ("version_read",)):
        versions = np.maximum.accumulate(columns["version_read"][:, 0])
        seen, rows = first_sights(updates, part.rank, versions, before, first)
        before = int(versions[-1])
        is_told = window.has(edges, columns["clock"])[rows - first]
        seen, rows = seen[is_told], rows[is_told]
        read = edges[rows - first]
        at_ns = np.maximum(read[:, READ_BEGAN], read[:, READ_ENDED] - 1)
        found.append(np.stack([seen, rows, latest_reads(edges)[rows - first], at_ns]))
    return Sights(*np.concatenate([np.empty((4, 0), np.int64), *found], axis=1))


def _draw(
    rank: int,
    updates: Updates,
    rows: npt.NDArray[np.int64],
    sights: Sights,
    links: Links,
    first_number: int,
) -> None:
    """Make both ends of each arrow; one that would point back in time is left out."""
    is_forward = updates.at_ns[sights.update] < sights.at_ns
    ends = (sights.update, sights.row, sights.at_ns)
    for update, row, at_ns in zip(*(end[is_forward].tolist() for end in ends), strict=True):
        number, writer = first_number + links.count, int(updates.rank[update])
        leaving = links.leaving.setdefault(writer, {}).setdefault(int(rows[update]), [])
        leaving.append(arrow_start(number, writer, int(updates.at_ns[update])))
        meeting = links.meeting.setdefault(rank, {}).setdefault(row, [])
        meeting.append(arrow_end(number, rank, at_ns))
        links.count += 1
