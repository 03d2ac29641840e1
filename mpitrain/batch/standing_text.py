"""How a run and its jobs stand, in lines for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpitrain.batch.job_standing import GONE, SILENT, JobStanding
from mpitrain.batch.ledger import Entry
from mpitrain.batch.run_standing import RunStanding
from mpitrain.batch.standing import Standing

COLUMNS = ("time", "job", "start", "what", "why", "life", "step", "in words")
_HIDDEN = ("loss", "versions", "steps")  # of an evaluation, beside its metric


def lines_of(standing: Standing) -> list[str]:
    """Return the lines above the table of what went before."""
    run = standing.run
    found = [f"{run.name}: {_state(run)}"]
    if run.state != "not begun":
        found += _progress(run)
    found += [_job(job) for job in standing.jobs]
    return found


def rows_of(chain: Sequence[Entry]) -> list[list[str]]:
    """Return the table of what went before, a row of cells for each entry."""
    return [
        [
            entry.time,
            entry.job,
            str(entry.restarts),
            entry.what,
            entry.cause,
            "" if entry.life < 0 else str(entry.life),
            "" if entry.steps < 0 else str(entry.steps),
            entry.text,
        ]
        for entry in chain
    ]


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in plain text; columns that are empty in all rows are left out."""
    kept = [n for n in range(len(columns)) if any(row[n] for row in rows)]
    cells = [[row[n] for n in kept] for row in [columns, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def one_line(standing: Standing, name: str) -> str:
    """Return how a run stands in one line."""
    run = standing.run
    parts = [run.state]
    if run.state != "not begun":
        parts.append(_steps(run))
    if told := _metric(run.evaluation):
        parts.append(told)
    parts += [f"job {job.job} {job.state}" for job in standing.jobs]
    parts += standing.remarks[:1]
    return f"{name}: {', '.join(parts)}"


def _state(run: RunStanding) -> str:
    parts = [run.state]
    if run.life >= 0:
        parts.append(f"life {run.life}")
    if run.since:
        parts.append(f"since {run.since}")
    return ", ".join(parts) + (f" ({run.reason})" if run.reason else "")


def _progress(run: RunStanding) -> Iterator[str]:
    speed = "" if run.steps_per_s is None else f", {run.steps_per_s:.0f} steps/s"
    yield f"  {_steps(run)}{speed}"
    if told := _metric(run.evaluation):
        yield f"  {told}"
    if not run.checkpoint:
        yield "  no checkpoint so far"
    else:
        age = "" if run.checkpoint_age_s is None else f", {age_text(run.checkpoint_age_s)} old"
        yield f"  newest checkpoint: {run.checkpoint}{age}"
    for note in run.notes:
        yield f"  {note}"


def _steps(run: RunStanding) -> str:
    if run.total_steps is None:
        return f"step {run.steps}"
    return f"step {run.steps} of {run.total_steps} ({run.steps / run.total_steps:.0%})"


def _metric(evaluation: Mapping[str, Any]) -> str:
    """Return the first number of an evaluation beside its loss, else the loss."""
    numbers = {name: value for name, value in evaluation.items() if isinstance(value, float)}
    names = [*(name for name in numbers if name not in _HIDDEN), *numbers]
    if not names:
        return ""
    return f"{names[0]} {numbers[names[0]]:.4f} at step {evaluation.get('steps', '?')}"


def _job(job: JobStanding) -> str:
    if job.state in (GONE, SILENT):
        return f"job {job.job}: {'not in the queue' if job.state == GONE else job.reason}"
    parts = [job.state]
    if job.nodes:
        parts.append(f"on {job.nodes}")
    if job.left_s is not None:
        parts.append(f"{age_text(job.left_s)} left")
    if job.reason:
        parts.append(f"reason: {job.reason}")
    if job.restarts:
        parts.append(f"requeued {job.restarts} times" if job.restarts > 1 else "requeued once")
    if job.output:
        parts.append(f"output: {job.output}")
    return f"job {job.job}: {', '.join(parts)}"


def age_text(seconds: float) -> str:
    """Return a time, for example "12 s", "5 min" or "3.5 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
