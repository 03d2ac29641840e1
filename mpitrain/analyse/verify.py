"""Did the run keep its promises?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mpitrain.analyse.tool import Answer, Tool
from mpitrain.analysis.verify import Report, verify

MAX_LINES = 20


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rundir", type=Path, metavar="RUNDIR")
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")
    parser.epilog = "Example: mpitrain analyse verify runs/first && echo it kept its promises"


def _run(options: argparse.Namespace) -> Answer:
    report = verify(options.rundir, log_root=options.log_root)

    def show() -> None:
        sys.stdout.write("".join(f"{line}\n" for line in lines_of(report)))

    return Answer(report.to_json(), show, 0 if report.ok else 1)


def lines_of(report: Report) -> list[str]:
    """Return the report for people: findings, notes, and how it went."""
    lines = [str(finding) for finding in report.findings[:MAX_LINES]]
    if len(report.findings) > MAX_LINES:
        lines.append(f"... and {len(report.findings) - MAX_LINES} more")
    lines += [f"note: {note}" for note in report.notes]
    return [*lines, report.summary()]


TOOL = Tool(
    "verify",
    "Check every row of every staleness log of a run, finished, running or killed. Exit code 0: "
    "nothing is wrong; 1: something is; 2: RUNDIR is no run directory.",
    _add_arguments,
    _run,
)
