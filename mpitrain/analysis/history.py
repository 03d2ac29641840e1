"""Checks of a run's timeline: lives fit together, no finished update is lost, no ticket twice.

Each life is checked by itself elsewhere; here every pair of a life and its successor is. The
successor says how far the life had come at the checkpoint: the clocks of its ranks (the cut), the
steps on the timeline, the version of every shard, the tickets taken. All of that must follow from
the rows of the life up to the cut, which must all be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from mpitrain.analysis.attributes import Terms, said_of, terms_of
from mpitrain.analysis.cut import check_cut
from mpitrain.analysis.era import check_era
from mpitrain.analysis.findings import Finding
from mpitrain.analysis.timeline_tickets import check_timeline_tickets
from mpitrain.storage.reading import LifeLog, RunLog, Stretch

SAME = ("seed", "batch_size", "num_samples", "layout", "block")
"""Attributes that are equal in all lives on the timeline: they decide what a ticket means."""


def check_history(
    log: RunLog, chain: Sequence[Stretch], reason: str | None, *, is_done: bool
) -> Iterator[Finding]:
    """Check the timeline of a run.

    Args:
        log: all lives.
        chain: the lives on the timeline, oldest first.
        reason: why the chain has no beginning; None where it has.
        is_done: the run says that it is done.
    """
    yield from _check_run_ids(log)
    if reason is not None:
        yield Finding(_place(log, chain[0].life), None, f"the timeline breaks off: {reason}")
    terms = [terms_of(stretch.life) for stretch in chain]
    num_rows = 0
    for (before, after), (old, new) in zip(pairwise(chain), pairwise(terms), strict=True):
        num_rows += sum(segment.num_rows for segment in before.segments())
        if old is not None and new is not None:
            yield from _check_pair(_place(log, after.life), before, old, after, new, num_rows)
    if len(chain) > 1:
        yield from check_timeline_tickets(chain, is_complete=is_done and reason is None)


def history_notes(log: RunLog, chain: Sequence[Stretch]) -> Iterator[str]:
    """Say which rows of which lives are not on the timeline."""
    for before, after in pairwise(chain):
        beyond = sum(rank.num_rows for rank in before.life.ranks.values()) - sum(
            segment.num_rows for segment in before.segments()
        )
        if beyond:
            yield (
                f"life {before.life.life}: {beyond} rows after the checkpoint that life "
                f"{after.life.life} started from are not on the timeline"
            )
    counted = [stretch.life.life for stretch in chain]
    for life in log.lives:
        num_rows = sum(rank.num_rows for rank in life.ranks.values())
        if life.life not in counted and num_rows:
            yield f"life {life.life}: no life went on from it, its {num_rows} rows do not count"


def _check_run_ids(log: RunLog) -> Iterator[Finding]:
    said = {life.life: _said(life, "run_id") for life in log.lives if life.ranks}
    common = Counter(said.values()).most_common(1)
    for life in log.lives:
        if life.life in said and said[life.life] != common[0][0]:
            what = f"run_id is {said[life.life]!r}, in most lives of this run {common[0][0]!r}"
            yield Finding(_place(log, life), None, what)


def _check_pair(
    place: Path, before: Stretch, old: Terms, after: Stretch, new: Terms, num_rows: int
) -> Iterator[Finding]:
    """Check what a life says of its start against the rows of the life before."""
    for name in SAME:
        there, here = _said(before.life, name), _said(after.life, name)
        if there != here:
            what = f"{name} is {here!r}, in life {before.life.life} {there!r}"
            yield Finding(place, None, what)
    faults = [*check_cut(place, before, new.start, old)]
    yield from faults
    if not faults:
        yield from check_era(place, before, old, new, num_rows)


def _said(life: LifeLog, name: str) -> int | str | None:
    return said_of(life.ranks[min(life.ranks)], name)


def _place(log: RunLog, life: LifeLog) -> Path:
    """Return the log that speaks for a life: that of its lowest rank."""
    return life.ranks[min(life.ranks)].path if life.ranks else log.directory.log
