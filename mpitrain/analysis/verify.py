"""Verify a run: every check of every log of every life, in one report."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpitrain.analysis.attributes import Terms, check_attributes, terms_of
from mpitrain.analysis.completeness import is_complete
from mpitrain.analysis.findings import Finding
from mpitrain.analysis.invariants import (
    check_read_guarantee,
    check_staleness_bound,
    check_version_order,
    check_written_versions,
    num_shards,
)
from mpitrain.analysis.rows import check_rows
from mpitrain.analysis.staleness import check_staleness_columns, staleness_of
from mpitrain.analysis.synchronous import check_synchronous
from mpitrain.analysis.tickets import check_tickets
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import LifeLog, RunLog, open_log

MODES = ("bsp", "ssp", "asp")


@dataclass
class Report:
    """What the logs of a run say of it.

    Attributes:
        directory: the run directory.
        findings: what is wrong, in the order of the checks.
        notes: what could not be checked, or is not finished yet.
        rows: rows of all logs that were checked.
        ranks: ranks of the newest life.
        shards: shards of the newest life.
        updates_per_shard: updates of the newest life that are on every shard without a gap; None
            when the logs hold no versions.
    """

    directory: Path
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    ranks: int = 0
    shards: int = 0
    updates_per_shard: int | None = None

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.findings

    @property
    def num_faults(self) -> int:
        """Faults in all; a finding may stand for many rows."""
        return sum(finding.num_rows for finding in self.findings)

    def summary(self) -> str:
        """Return the one line that says how it went."""
        updates = "" if self.updates_per_shard is None else f"{self.updates_per_shard} updates on "
        counts = f"{self.rows} rows, {self.ranks} ranks, {updates}each of {self.shards} shards"
        if self.updates_per_shard is None:
            counts = f"{self.rows} rows, {self.ranks} ranks, {self.shards} shards"
        return f"ok: {counts}" if self.ok else f"{self.num_faults} faults in {counts}"

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "directory": str(self.directory),
            "ok": self.ok,
            "faults": self.num_faults,
            "findings": [{**vars(f), "file": str(f.file)} for f in self.findings],
            "notes": self.notes,
            "rows": self.rows,
            "ranks": self.ranks,
            "shards": self.shards,
            "updates_per_shard": self.updates_per_shard,
        }


def verify(directory: str | Path, *, log_root: str | Path | None = None) -> Report:
    """Check all logs of a run, whether it is finished, running or was killed.

    Args:
        directory: the run directory.
        log_root: folder of the logs where they are not in ``directory/log``.

    Raises:
        LogError: there is no log to check.
    """
    log = open_log(directory, log_root=log_root)
    report = Report(Path(directory))
    for life in log.lives:
        life = _readable(life)
        report.findings += _check_files(log, life)
        report.findings += _check_life(life, report)
        report.rows += sum(rank.num_rows for rank in life.ranks.values())
        report.ranks, report.shards = life.size, num_shards(life)
    report.findings += _check_outcome(log, report)
    return report


def _check_outcome(log: RunLog, report: Report) -> Iterator[Finding]:
    """Check that the logs of a run that is done hold as much as its result says."""
    run = log.directory
    try:
        status, result = run.read_status() or {}, run.read_result()
    except LogError as error:
        yield Finding(run.result, None, str(error))
        return
    for life in log.lives:
        if not life.ranks:
            yield Finding(run.life_directory(life.life), None, "there is no log of any rank")
    if status.get("status") != "done":
        return
    if result is None:
        yield Finding(run.result, None, "the run is done, but its result is missing")
        return
    for name, found in (("steps", report.rows), ("ranks", report.ranks)):
        if result.get(name) != found:
            what = f"the result counts {result.get(name)} {name}, the logs hold {found}"
            yield Finding(run.result, None, what)


def _readable(life: LifeLog) -> LifeLog:
    """Read all columns; a log where that fails joins the missing ones."""
    ranks, missing = dict(life.ranks), list(life.missing)
    for rank, log in life.ranks.items():
        try:
            _ = dict(log.steps), log.events
        except LogError as error:
            missing.append((log.path, str(error).removeprefix(f"{log.path}: ")))
            del ranks[rank]
    return dataclasses.replace(life, ranks=ranks, missing=sorted(missing))


def _check_files(log: RunLog, life: LifeLog) -> Iterator[Finding]:
    """Check that the logs are there, and closed where the run says that it is done."""
    for path, reason in life.missing:
        yield Finding(path, None, reason)
    try:
        status = log.directory.read_status() or {}
    except LogError as error:
        yield Finding(log.directory.status, None, str(error))
        return
    if status.get("status") == "done" and status.get("life", life.life) == life.life:
        for rank in life.ranks.values():
            if not rank.is_closed:
                what = "the run is done, but this log was not closed: rows may be lacking"
                yield Finding(rank.path, None, what)


def _check_life(life: LifeLog, report: Report) -> Iterator[Finding]:
    yield from check_attributes(life)
    terms = terms_of(life)
    if terms is None:
        report.notes.append(f"life {life.life}: attributes are lacking, rows were not checked")
        return
    if terms.mode not in MODES:
        report.notes.append(f"life {life.life}: mode {terms.mode} has no checks of its own")
    for log in life.ranks.values():
        yield from check_rows(log, terms)
    yield from check_tickets(life, terms)
    if not is_complete(life):
        report.notes.append(
            f"life {life.life} still runs or was killed: the last rows of its ranks may be lacking"
        )
    if not all(log.per_shard for log in life.ranks.values()):
        report.notes.append(
            "log.per_shard was off: no versions to check. Not checked: lost or doubled updates, "
            "what reads must see, the order of versions, the staleness columns"
        )
    if terms.mode == "bsp":
        yield from check_synchronous(life)
        report.updates_per_shard = min((log.num_rows for log in life.ranks.values()), default=0)
    elif len({len(log.shards) for log in life.ranks.values()}) > 1:
        report.notes.append("logs have different numbers of shards: versions were not checked")
    elif all(log.per_shard for log in life.ranks.values()):
        yield from _check_versions(life, terms, report)


def _check_versions(life: LifeLog, terms: Terms, report: Report) -> Iterator[Finding]:
    faults, sequences = check_written_versions(life)
    yield from faults
    report.updates_per_shard = min((s.num_complete for s in sequences), default=0)
    beyond = max((s.num_total for s in sequences), default=0) - report.updates_per_shard
    if beyond > 0 and not is_complete(life):
        report.notes.append(
            f"the longest prefix with no version missing on any shard has "
            f"{report.updates_per_shard} updates; up to {beyond} later ones are logged"
        )
    for log in life.ranks.values():
        yield from check_version_order(log)
        staleness = staleness_of(log)
        yield from check_staleness_columns(log, staleness)
        if terms.bound is not None:
            yield from check_staleness_bound(log, staleness, terms.bound, terms.size)
    if terms.bound is not None:
        yield from check_read_guarantee(life, terms.bound)
