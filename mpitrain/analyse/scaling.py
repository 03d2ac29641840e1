"""What do more ranks gain? One table over runs on several numbers of ranks."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpitrain.analyse.tables import table
from mpitrain.analyse.tool import Answer, Tool, console
from mpitrain.analyse.words import mode_of, number, percent
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.scaling import WARM_UP, Speed, scaling_of, speed_of
from mpitrain.core.errors import LogError

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]

COLUMNS = ("ranks", "nodes", "steps/s", "samples/s", "speed-up", "efficiency", "wait", "staleness")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rundirs", type=Path, metavar="RUNDIR", nargs="+")
    parser.add_argument(
        "--warm-up",
        type=_share,
        default=WARM_UP,
        metavar="SHARE",
        help="of the time of each life, from its begin, that does not count (%(default)s)",
    )
    parser.epilog = (
        "Example: mpitrain analyse scaling runs/scaling/ranks-*; jobs/scaling.sbatch makes them."
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        message = f"must be a number >= 0 and < 1, got '{text}'"
        raise argparse.ArgumentTypeError(message)
    return share


def _run(options: argparse.Namespace) -> Answer:
    speeds, notes, missing = list[Speed](), list[str](), list[str]()
    for path in options.rundirs:
        try:
            run = open_readable(path)
            speeds.append(speed_of(run, options.warm_up))
        except LogError as error:
            notes.append(str(error))
        else:
            notes += [f"{path}: incomplete: {what}" for what in run.missing]
            missing += run.missing
    if not speeds:
        raise LogError(notes[0])
    rows = scaling_of(speeds)
    notes += _differences(rows)
    return Answer(
        {"warm_up": options.warm_up, "runs": rows, "notes": notes},
        lambda: _show(console(), rows, notes),
        missing=missing,
    )


def _differences(rows: Sequence[Row]) -> list[str]:
    """Return in what the runs are not alike, so that more ranks are not all that tells."""
    notes = [
        f"{row['directory']}: {row['status'] or 'nothing says how it ended'}"
        for row in rows
        if row["status"] != "done"
    ]
    modes = dict.fromkeys(mode_of(row) for row in rows)
    return [*notes, f"the modes differ: {'; '.join(modes)}"] if len(modes) > 1 else notes


def _show(out: Console, rows: Sequence[Row], notes: Sequence[str]) -> None:
    from rich.text import Text

    out.print(table(COLUMNS, map(_cells, rows), texts=0))
    for note in notes:
        out.print(Text(note, style="yellow"))


def _cells(row: Row) -> list[str]:
    return [
        str(row["ranks"]),
        str(row["nodes"]),
        *(number(row[name]) for name in ("steps_per_s", "samples_per_s", "speed_up")),
        percent(row["efficiency"]),
        percent(row["wait_share"]),
        number(row["staleness"]),
    ]


TOOL = Tool(
    "scaling",
    "What do more ranks gain? Speed, speed-up and efficiency over runs of the same run file on "
    "several numbers of ranks, warm-up not counted. Exit code 2: nothing can be read, or logs are "
    "missing.",
    _add_arguments,
    _run,
)
