"""What does a run do just now? A row per rank, refreshed until the run ends."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpitrain.analyse.tool import Answer, Tool, console
from mpitrain.analysis.live import GONE, Now, RankNow, look
from mpitrain.core.errors import LogError, UserError
from mpitrain.storage.run_directory import RunDirectory

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

LEAST_EVERY_S = 0.1
MANY = 1_000_000
AROUND_ROWS = 8  # of the terminal, beside those of ranks
QUIET_S = 10.0  # that a rank may take for a phase before it is worth a word
HIDDEN = ("loss", "versions", "steps")  # of an evaluation, beside its metric
STYLES = {"wait": "yellow", "compute": "green", GONE: "bold red", "end": "dim"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Clock, lead and phase are of this moment; staleness and loss are means over each rank's\n"
        "newest 200 steps in its log, which reach the disk every log.flush_every_s. A rank that\n"
        "waits for others leads the slowest by one more than mode.bound.\n\n"
        "example:\n  tail runs/night --every 2"
    )
    parser.add_argument("rundir", type=Path, metavar="RUNDIR")
    parser.add_argument("--once", action="store_true", help="one look; also what --json does")
    parser.add_argument(
        "--every",
        type=float,
        default=1.0,
        metavar="S",
        help=f"seconds between two looks, >= {LEAST_EVERY_S:g} (default: %(default)g)",
    )
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")


def _run(options: argparse.Namespace) -> Answer:
    if not options.every >= LEAST_EVERY_S:
        message = f"--every must be >= {LEAST_EVERY_S:g}, got {options.every:g}"
        raise UserError(message)
    if options.once or options.json:
        now = look(options.rundir, options.log_root)
        return Answer(_facts(now), lambda: console().print(view(options.rundir, now, MANY)))
    if not _is_starting(options.rundir):
        look(options.rundir, options.log_root)  # what is wrong is said before the screen changes
    _follow(options, console(is_live=True))
    return Answer({}, lambda: None)


def _is_starting(root: Path) -> bool:
    """Tell whether a run has said that it runs, though it may have no log so far."""
    try:
        status = RunDirectory(root).read_status() or {}
    except LogError:
        return False
    return status.get("status") == "running"


def _follow(options: argparse.Namespace, out: Console) -> None:
    """Show one look after the other; on a terminal each in the place of the one before."""
    from rich.live import Live

    now: Now | None = None
    with Live(console=out, auto_refresh=False, transient=False) as live:
        while True:
            found = _next(options, now)
            now = found if isinstance(found, Now) else None
            if out.is_terminal:
                rows = out.height - AROUND_ROWS
                shown = _text(found) if now is None else view(options.rundir, now, rows)
                live.update(shown, refresh=True)
            else:
                sys.stdout.write(f"{found if now is None else _line(now)}\n")
                sys.stdout.flush()
            if now is not None and now.is_over:
                return
            time.sleep(options.every)


def _next(options: argparse.Namespace, before: Now | None) -> Now | str:
    """Look; where a run that has just begun has no log so far, say so."""
    try:
        return look(options.rundir, options.log_root, before)
    except LogError as error:
        if not _is_starting(options.rundir):
            raise
        return f"starting: {error}"


def view(root: Path, now: Now, most: int) -> Group:
    """Return what a look shows, with so many ranks at most."""
    from rich.console import Group
    from rich.text import Text

    shown = ranks_shown(now.ranks, most)
    heading = Text(_heading(root, now), style="bold")
    below = [Text(note, style="yellow") for note in [*_remarks(now), *now.notes]]
    if len(shown) < len(now.ranks):
        below.insert(0, Text(f"and {len(now.ranks) - len(shown)} ranks that are further"))
    return Group(heading, _table(shown), *below)


def ranks_shown(ranks: Sequence[RankNow], most: int) -> list[RankNow]:
    """Return the ranks that fit, by number: those that are behind, as others wait for them."""
    if len(ranks) <= most:
        return list(ranks)
    behind = sorted(ranks, key=lambda rank: (rank.doing != GONE, rank.clock, rank.rank))
    return sorted(behind[: max(1, most)], key=lambda rank: rank.rank)


def _text(line: Any) -> Any:
    from rich.text import Text

    return Text(str(line))


def _heading(root: Path, now: Now) -> str:
    parts = [f"{root.absolute().name}: {now.status}, life {now.life}, {now.steps} steps"]
    if now.steps_per_s is not None:
        parts.append(f"{now.steps_per_s:.0f} steps/s")
    if told := _metric(now.evaluation):
        parts.append(f"{told} at step {now.evaluation.get('steps')}")
    return ", ".join(parts)


def _metric(evaluation: Mapping[str, Any]) -> str:
    """Return the first number of an evaluation beside its loss, else the loss."""
    numbers = {name: value for name, value in evaluation.items() if isinstance(value, float)}
    names = [*(name for name in numbers if name not in HIDDEN), *numbers]
    return f"{names[0]} {numbers[names[0]]:.4f}" if names else ""


def _table(ranks: Sequence[RankNow]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("rank", "clock", "lead", "staleness", "steps/s", "loss"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("doing", "host"):
        table.add_column(name, no_wrap=True)
    for rank in ranks:
        table.add_row(*_cells(rank))
    return table


def _cells(rank: RankNow) -> list[str]:
    from rich.markup import escape

    style = STYLES.get(rank.doing, "")
    doing = f"{rank.doing} {_age(rank.since_s)}"
    return [
        str(rank.rank), str(rank.clock), str(rank.lead), _number(rank.staleness, 2),
        _number(rank.steps_per_s, 1), _number(rank.loss, 4),
        f"[{style}]{doing}[/]" if style else doing, escape(rank.host),
    ]  # fmt: skip


def _remarks(now: Now) -> list[str]:
    """Return what stands out: ranks that are gone, and a run in which nothing moves."""
    gone = [str(rank.rank) for rank in now.ranks if rank.doing == GONE]
    remarks = [f"gone without a word: rank {', '.join(gone)}"] if gone else []
    if now.status == "running" and now.quiet_s > QUIET_S:
        remarks.append(f"no rank has begun anything for {_age(now.quiet_s)}")
    return remarks


def _line(now: Now) -> str:
    """Return a look as one line, where there is no terminal."""
    clocks = " ".join(f"{rank.rank}:{rank.clock}:{rank.doing}" for rank in now.ranks)
    speed = "" if now.steps_per_s is None else f" steps/s={now.steps_per_s:.1f}"
    return f"{now.status} life={now.life} steps={now.steps}{speed} ranks={clocks}"


def _age(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _facts(now: Now) -> dict[str, Any]:
    return {**dataclasses.asdict(now), "over": now.is_over}


TOOL = Tool(
    "tail",
    "Follow a run in the terminal, a row per rank: clock, lead, staleness, steps/s and what it is "
    "doing, refreshed until the run ends.",
    _add_arguments,
    _run,
)
