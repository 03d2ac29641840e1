"""Did the run keep its promises? Checks every row of every staleness log of a run.

    python tools/verify.py RUNDIR [--json]

Prints "ok" with what was checked, or what is wrong with file and row. Works on finished, running
and killed runs; needs no MPI. Exit code 0: nothing is wrong; 1: something is; 2: RUNDIR is no run
directory.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

try:
    from mpitrain.analysis.verify import Report, verify
except ModuleNotFoundError:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from mpitrain.analysis.verify import Report, verify
from mpitrain.core.errors import LogError

MAX_LINES = 20


def main(arguments: list[str] | None = None) -> int:
    """Check the run that the command line names and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rundir", type=Path, metavar="RUNDIR")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")
    options = parser.parse_args(arguments)
    try:
        report = verify(options.rundir, log_root=options.log_root)
    except LogError as error:
        print(f"verify: error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(report.to_json()))
    else:
        print("\n".join(lines_of(report)))
    return 0 if report.ok else 1


def lines_of(report: Report) -> list[str]:
    """Return the report for people: findings, notes, and how it went."""
    lines = [str(finding) for finding in report.findings[:MAX_LINES]]
    if len(report.findings) > MAX_LINES:
        lines.append(f"... and {len(report.findings) - MAX_LINES} more")
    lines += [f"note: {note}" for note in report.notes]
    return [*lines, report.summary()]


if __name__ == "__main__":
    sys.exit(main())
