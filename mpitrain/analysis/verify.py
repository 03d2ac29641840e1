"""Verify a run: every check of every log of every life, and of their timeline, in one report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpitrain.analysis.findings import Finding
from mpitrain.analysis.history import check_history, history_notes
from mpitrain.analysis.invariants import num_shards
from mpitrain.analysis.lacking import check_any, ending_of, is_stillborn, lost_logs
from mpitrain.analysis.one_life import LifeReport, check_life
from mpitrain.analysis.readable import readable
from mpitrain.analysis.report import Report
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import LifeLog, RunLog, Stretch, open_log
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.timeline import chain_of

__all__ = ["Report", "verify"]


def verify(directory: str | Path, *, log_root: str | Path | None = None) -> Report:
    """Check all logs of a run, whether it is finished, running or was killed.

    Args:
        directory: the run directory.
        log_root: folder of the logs where they are not in ``directory/log``.

    Raises:
        LogError: there is no log to check.
    """
    log = open_log(directory, log_root=log_root)
    check_any(Path(directory), log.lives)
    report = Report(Path(directory))
    checked = [_checked(readable(life), is_newest=life is log.lives[-1]) for life in log.lives]
    log = RunLog(log.directory, [one.life for one in checked])
    chain, reason = chain_of(log.lives)
    report.lives = len(chain)
    status, result = _said(log.directory, report)
    for one in checked:
        report.findings += _check_files(log.directory, one.life, status, report, chain)
        report.findings += one.report.findings
        report.notes += one.report.notes
        if chain and one.life is chain[-1].life:
            report.ranks, report.shards = one.life.size, num_shards(one.life)
            report.updates_per_shard = one.report.updates_per_shard
    report.rows = sum(segment.num_rows for stretch in chain for segment in stretch.segments())
    # a run that ended early has left tickets, and with equal shares some between those taken
    is_done = status.get("status") == "done" and not (result or {}).get("ended_early")
    report.findings += check_history(log, chain, reason, is_done=is_done)
    report.notes += history_notes(log, chain)
    report.findings += _check_outcome(log.directory, status, result, report)
    return report


@dataclass(frozen=True)
class _Checked:
    """A life, without the logs that turned out to be damaged, and what the others say."""

    life: LifeLog
    report: LifeReport


def _checked(life: LifeLog, *, is_newest: bool) -> _Checked:
    """Check a life; a log that cannot be read to its end joins the missing ones.

    What the others say is then said without it, from the beginning.
    """
    while life.ranks:
        try:
            return _Checked(life, check_life(life, is_newest=is_newest))
        except LogError as error:
            life = _without(life, error)
    return _Checked(life, LifeReport())


def _without(life: LifeLog, error: LogError) -> LifeLog:
    """Return a life without the log that an error names.

    Raises:
        LogError: it names none of them.
    """
    for rank, log in life.ranks.items():
        if str(error).startswith(f"{log.path}: "):
            reason = str(error).removeprefix(f"{log.path}: ")
            others = {other: kept for other, kept in life.ranks.items() if other != rank}
            missing = sorted([*life.missing, (log.path, reason)])
            return LifeLog(life.life, life.size, others, missing)
    raise error


def _said(run: RunDirectory, report: Report) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return what status.json and result.json say; what cannot be read is a finding."""
    status: dict[str, Any] = {}
    try:
        status = run.read_status() or {}
    except (LogError, RecursionError) as error:
        report.findings.append(Finding(run.status, None, str(error)))
    try:
        return status, run.read_result()
    except (LogError, RecursionError) as error:
        report.findings.append(Finding(run.result, None, str(error)))
    return {}, None


def _check_outcome(
    run: RunDirectory, status: dict[str, Any], result: dict[str, Any] | None, report: Report
) -> Iterator[Finding]:
    """Check that the logs of a run that is done hold as much as its result says."""
    if status.get("status") != "done":
        return
    if result is None:
        yield Finding(run.result, None, "the run is done, but its result is missing")
        return
    for name, found in (("steps", report.rows), ("ranks", report.ranks)):
        if result.get(name) != found:
            what = f"the result counts {result.get(name)} {name}, the logs hold {found}"
            yield Finding(run.result, None, what)


def _check_files(
    run: RunDirectory,
    life: LifeLog,
    status: dict[str, Any],
    report: Report,
    chain: list[Stretch],
) -> Iterator[Finding]:
    """Check that the logs are there, and closed where the run says that it is done or stopped."""
    ending = ending_of(life, status)
    if ending is None and is_stillborn(life, chain):
        report.notes.append(f"life {life.life} was killed while it started: it has no rows")
    for path, reason in lost_logs(run, life, chain, status):
        yield Finding(path, None, reason)
    if ending is None:
        return
    for rank in life.ranks.values():
        if not rank.is_closed:
            what = f"{ending}, but this log was not closed: rows may be lacking"
            yield Finding(rank.path, None, what)
