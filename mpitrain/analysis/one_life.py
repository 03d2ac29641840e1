"""The checks of one life by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mpitrain.analysis.attributes import Terms, check_attributes, terms_of
from mpitrain.analysis.completeness import is_complete
from mpitrain.analysis.findings import Finding
from mpitrain.analysis.invariants import (
    check_read_guarantee,
    check_staleness_bound,
    check_version_order,
    check_written_versions,
)
from mpitrain.analysis.rows import check_rows
from mpitrain.analysis.staleness import check_staleness_columns, staleness_of
from mpitrain.analysis.synchronous import check_synchronous
from mpitrain.analysis.tickets import check_tickets
from mpitrain.storage.reading import LifeLog

MODES = ("bsp", "ssp", "asp")


@dataclass
class LifeReport:
    """What the logs of one life say of it.

    Attributes:
        findings: what is wrong.
        notes: what could not be checked.
        updates_per_shard: updates since the start of the run that are on every shard without a gap;
            None where versions could not be checked.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    updates_per_shard: int | None = None


def check_life(life: LifeLog, *, is_newest: bool = True) -> LifeReport:
    """Run every check that needs the logs of this life alone."""
    report = LifeReport()
    report.findings += check_attributes(life)
    terms = terms_of(life)
    if terms is None:
        report.notes.append(f"life {life.life}: attributes are lacking, rows were not checked")
        return report
    _note_limits(life, terms, report, is_newest=is_newest)
    for rank, log in life.ranks.items():
        report.findings += check_rows(log, rank, terms)
    report.findings += check_tickets(life, terms)
    if terms.mode == "bsp":
        report.findings += check_synchronous(life, terms.start)
        steps = min((log.num_rows for log in life.ranks.values()), default=0)
        report.updates_per_shard = terms.start.version + steps
    elif len({len(log.shards) for log in life.ranks.values()}) > 1:
        report.notes.append("logs have different numbers of shards: versions were not checked")
    elif all(log.per_shard for log in life.ranks.values()):
        report.findings += _check_versions(life, terms, report)
    return report


def _note_limits(life: LifeLog, terms: Terms, report: LifeReport, *, is_newest: bool) -> None:
    if terms.mode not in MODES:
        report.notes.append(f"life {life.life}: mode {terms.mode!r} has no checks of its own")
    if not is_complete(life):
        what = "still runs or was killed" if is_newest else "was killed"
        report.notes.append(f"life {life.life} {what}: the last rows of its ranks may be lacking")
    if not all(log.per_shard for log in life.ranks.values()):
        report.notes.append(
            "log.per_shard was off: no versions to check. Not checked: lost or doubled updates, "
            "what reads must see, the order of versions, the staleness columns"
        )


def _check_versions(life: LifeLog, terms: Terms, report: LifeReport) -> Iterator[Finding]:
    start = terms.start
    faults, sequences = check_written_versions(life, start.version)
    yield from faults
    complete = min((s.num_complete for s in sequences), default=0)
    report.updates_per_shard = start.version + complete
    beyond = max((s.num_total for s in sequences), default=0) - complete
    if beyond > 0 and not is_complete(life):
        report.notes.append(
            f"the longest prefix with no version missing on any shard has "
            f"{report.updates_per_shard} updates; up to {beyond} later ones are logged"
        )
    for log in life.ranks.values():
        yield from check_version_order(log, start.version)
        staleness = staleness_of(log)
        yield from check_staleness_columns(log, staleness)
        if terms.bound is not None:
            yield from check_staleness_bound(log, staleness, terms.bound, terms.size)
    if terms.bound is not None:
        yield from check_read_guarantee(life, terms.bound, start)
