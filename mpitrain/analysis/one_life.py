"""The checks of one life by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mpitrain.analysis.attributes import Terms, check_attributes, terms_of
from mpitrain.analysis.completeness import is_complete, num_rows_of
from mpitrain.analysis.findings import Finding
from mpitrain.analysis.guarantee import Guarantee
from mpitrain.analysis.invariants import (
    OrderChecks,
    WrittenVersions,
    check_written_versions,
    num_shards,
)
from mpitrain.analysis.rows import RowChecks
from mpitrain.analysis.scan import Viewer, scan
from mpitrain.analysis.seen import Seen
from mpitrain.analysis.staleness import StalenessChecks
from mpitrain.analysis.synchronous import SynchronousChecks, check_digests, check_equal_steps
from mpitrain.analysis.tickets import TicketChecks, check_taken, seen_tickets
from mpitrain.storage.reading import LifeLog, RankLog

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
    report.findings += _LifeChecks(life, terms, report).findings()
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


class _LifeChecks:
    """All checks of the rows of a life; each log is read once."""

    def __init__(self, life: LifeLog, terms: Terms, report: LifeReport) -> None:
        self._life, self._terms, self._report = life, terms, report
        self._tickets = seen_tickets(life, terms)
        self._versions: Seen | None = None
        self._guarantee: Guarantee | None = None
        if terms.mode == "bsp":
            return
        if len({len(log.shards) for log in life.ranks.values()}) > 1:
            report.notes.append("logs have different numbers of shards: versions were not checked")
        elif all(log.per_shard for log in life.ranks.values()):
            self._versions = Seen(terms.start.version + 1, num_shards(life), num_rows_of(life))
            if terms.bound is not None:
                self._guarantee = Guarantee(life, terms.bound, terms.start)

    def findings(self) -> Iterator[Finding]:
        """Read all logs and yield what is wrong: first of rows, then of tickets and versions."""
        of_tickets: list[Finding] = []
        of_versions: list[Finding] = []
        for rank, log in self._life.ranks.items():
            rows = RowChecks(log, rank, self._terms)
            tickets = TicketChecks(log, rank, self._terms, self._tickets)
            versions = self._version_checks(rank, log)
            scan(log, [rows, tickets, *versions, *self._notes(rank, log)])
            yield from rows.findings()
            of_tickets += tickets.findings()
            of_versions += [finding for check in versions for finding in check.findings()]
        yield from of_tickets
        yield from check_taken(self._life, self._terms, self._tickets)
        if self._terms.mode == "bsp":
            yield from of_versions
            yield from self._finish_synchronous()
        elif self._versions is not None:
            yield from self._judge_versions(self._versions)
            yield from of_versions
            if self._guarantee is not None:
                yield from self._guarantee.findings()

    def _version_checks(
        self, rank: int, log: RankLog
    ) -> list[SynchronousChecks | OrderChecks | StalenessChecks]:
        start = self._terms.start
        if self._terms.mode == "bsp":
            return [SynchronousChecks(log, start.version - start.clock(rank))]
        if self._versions is None:
            return []
        staleness = StalenessChecks(log, self._terms.bound, self._terms.size)
        return [OrderChecks(log, start.version), staleness]

    def _notes(self, rank: int, log: RankLog) -> list[Viewer]:
        """Return what notes the versions of a rank for the checks of all ranks together."""
        notes: list[Viewer] = []
        if self._versions is not None and log.num_rows:
            notes.append(WrittenVersions(rank, self._versions))
        if self._guarantee is not None and log.num_rows:
            notes += self._guarantee.viewers(rank)
        return notes

    def _finish_synchronous(self) -> Iterator[Finding]:
        yield from check_equal_steps(self._life)
        yield from check_digests(self._life)
        steps = min((log.num_rows for log in self._life.ranks.values()), default=0)
        self._report.updates_per_shard = self._terms.start.version + steps

    def _judge_versions(self, seen: Seen) -> Iterator[Finding]:
        life, report, start_version = self._life, self._report, self._terms.start.version
        faults, sequences = check_written_versions(life, start_version, seen)
        yield from faults
        complete = min((s.num_complete for s in sequences), default=0)
        report.updates_per_shard = start_version + complete
        beyond = max((s.num_total for s in sequences), default=0) - complete
        if beyond > 0 and not is_complete(life):
            report.notes.append(
                f"the longest prefix with no version missing on any shard has "
                f"{report.updates_per_shard} updates; up to {beyond} later ones are logged"
            )
