"""Which ranks were slow, who waited for whom, and what another bound would have gained."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mpitrain.analyse.picture import add_plot, check_plot
from mpitrain.analyse.stragglers_plot import save_plot
from mpitrain.analyse.tables import new_table
from mpitrain.analyse.tool import Answer, Tool, console
from mpitrain.analysis.delays import Delays, delays_of
from mpitrain.analysis.lateness import LEAST_ROWS, Straggler, others_median
from mpitrain.analysis.phases import OWN
from mpitrain.analysis.readable import open_readable
from mpitrain.core.console import counted
from mpitrain.schedules.what_if import Outcome, outcomes_of, trace_of
from mpitrain.storage.reading import LifeLog

if TYPE_CHECKING:
    from rich.table import Table

MOST_SHOWN = 16  # ranks
MOST_SPANS = 4
EXAMPLE = "example: mpitrain analyse stragglers runs/digits-ssp-20261126-090000"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rundir", type=Path, metavar="RUNDIR")
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")
    parser.add_argument("--no-prediction", action="store_true", help="simulate no other bounds")
    add_plot(parser)
    parser.epilog = EXAMPLE


def _run(options: argparse.Namespace) -> Answer:
    check_plot(options.plot)
    run = open_readable(options.rundir, options.log_root)
    delays = delays_of(run)
    outcomes, why = ([], "") if options.no_prediction else _predicted(run.newest)
    facts = facts_of(delays, outcomes, why)
    if options.plot is not None:
        save_plot(delays, options.rundir.absolute().name, options.plot)
        facts["plot"] = str(options.plot)
    return Answer(facts, lambda: _show(delays, outcomes, why, options.plot), missing=run.missing)


def _predicted(life: LifeLog) -> tuple[list[Outcome], str]:
    trace = trace_of(life)
    return ([], trace) if isinstance(trace, str) else (outcomes_of(trace), "")


def facts_of(delays: Delays, outcomes: Sequence[Outcome], why: str = "") -> dict[str, Any]:
    """Return everything that was found, for programs."""
    windows = delays.windows
    return {
        "mode": delays.mode,
        "bound": delays.bound,
        "ranks": delays.size,
        "lives": delays.num_lives,
        "seconds": delays.seconds,
        "steps_per_s": delays.steps_per_s,
        "lost_s": delays.lost_s,
        "lost_share": delays.lost_share,
        "stragglers": [asdict(straggler) for straggler in delays.stragglers],
        "per_rank": [_facts_of_rank(delays, rank) for rank in range(delays.size)],
        "waited_for_s": delays.waited_s[:, :-1],
        "waited_for_nobody_s": delays.waited_s[:, -1],
        "longest_steps": [asdict(step) for step in delays.longest],
        "windows": {
            "edges_s": windows.edges_s,
            "num_rows": windows.num_rows,
            "wait_s": windows.wait_s,
            **{f"{name}_s": windows.own_s[:, phase] for phase, name in enumerate(OWN)},
        },
        "predictions": [asdict(one) | {"is_rough": one.is_rough} for one in outcomes],
        "no_prediction_because": why or None,
        "notes": delays.notes,
    }


def _facts_of_rank(delays: Delays, rank: int) -> dict[str, Any]:
    return {
        "rank": rank,
        "host": delays.hosts[rank],
        "steps": int(delays.num_rows[rank]),
        "wait_s": float(delays.wait_s[rank]),
        "idle_s": float(delays.idle_s[rank]),
        "others_waited_s": float(delays.waited_s[:, rank].sum()),
        **{f"{name}_s": float(delays.own_s[rank, phase]) for phase, name in enumerate(OWN)},
    }


def _show(delays: Delays, outcomes: Sequence[Outcome], why: str, plot: Path | None = None) -> None:
    out = console()
    out.print(_heading(delays))
    for line in verdict_lines(delays):
        out.print(line, style="bold red" if delays.stragglers else "bold")
    out.print(_table_of_ranks(delays))
    if delays.waited_s[:, :-1].sum() > 0 and delays.size <= MOST_SHOWN:
        out.print(_table_of_waits(delays))
    out.print(_longest_line(delays))
    if outcomes:
        out.print(_table_of_outcomes(delays, outcomes))
    for line in _last_lines(delays, outcomes, why):
        out.print(line)
    if plot is not None:
        out.print(f"drawn: {plot}")


def _heading(delays: Delays) -> str:
    bound = "" if delays.bound is None else f" bound {delays.bound}"
    lives = f", {delays.num_lives} lives" if delays.num_lives > 1 else ""
    return (
        f"{delays.mode}{bound}, {counted(delays.size, 'rank')}{lives}: "
        f"{counted(int(delays.num_rows.sum()), 'step')} in "
        f"{delays.seconds:.1f} s, {delays.steps_per_s:.0f} steps/s; {delays.lost_share:.0%} of the "
        f"ranks' time, {delays.lost_s:.1f} s, was lost to waiting for others"
    )


def verdict_lines(delays: Delays) -> list[str]:
    """Return for each straggler a sentence, or one that says that there is none."""
    if delays.num_rows.max() < LEAST_ROWS:
        return [f"under {LEAST_ROWS} steps of each rank are too few to judge"]
    if not delays.stragglers and delays.num_missing:
        return [
            "of the ranks whose logs are there none was slower than the others by much; "
            f"{delays.waited_s[:, -1].sum():.1f} s they waited for nobody of them"
        ]
    if not delays.stragglers:
        return ["no rank was slower than the others by much"]
    return [_verdict(delays, straggler) for straggler in delays.stragglers]


def _verdict(delays: Delays, one: Straggler) -> str:
    host = f" on {delays.hosts[one.rank]}" if delays.hosts[one.rank] else ""
    waited_s = float(delays.waited_s[:, one.rank].sum())
    waited = f"; the others waited {waited_s:.1f} s for it" if waited_s else ""
    return (
        f"rank {one.rank}{host} was slow: its steps took {one.times:.1f} times as long as the "
        f"others', {one.late_s * 1e3:.2f} ms more; {one.phase_share:.0%} of that in "
        f"{_phase(one.phase)}; {_when(one)}{waited}"
    )


def _phase(name: str) -> str:
    return "between two steps (evaluating, saving)" if name == "between" else f"the {name} phase"


def _when(one: Straggler) -> str:
    if one.span_share > 0.9:  # nearly always
        return "throughout"
    spans = [f"{begin:.2f}-{end:.2f} s" for begin, end in one.spans[:MOST_SPANS]]
    num_more = len(one.spans) - MOST_SPANS
    more = f" and {num_more} more spans" if num_more > 0 else ""
    return f"{one.span_share:.0%} of the time ({', '.join(spans)}{more})"


def _table_of_ranks(delays: Delays) -> Table:
    table = new_table("time of a step, ms, by rank")
    names = ("rank", "steps", *OWN, "wait", "own/others", "waited for others", "others waited")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for cells in _rows_of_ranks(delays):
        table.add_row(*cells)
    return table


def _rows_of_ranks(delays: Delays) -> Iterator[list[str]]:
    num = np.where(delays.num_rows > 0, delays.num_rows, np.nan)
    own_s = delays.windows.own_s.sum(axis=(1, 2)) / num
    with np.errstate(invalid="ignore", divide="ignore"):
        times = own_s / others_median(own_s)
    slow = {one.rank for one in delays.stragglers}
    shown = _shown_ranks(times, slow)
    for rank in shown:
        lost_s = delays.waited_s[rank, :-1].sum() + delays.idle_s[rank]
        style = "[red]" if rank in slow else ""
        yield [
            f"{style}{rank}",
            str(int(delays.num_rows[rank])),
            *(f"{1e3 * own:.3f}" for own in delays.own_s[rank] / num[rank]),
            f"{1e3 * delays.wait_s[rank] / num[rank]:.3f}",
            f"{style}{times[rank]:.2f}",
            f"{lost_s:.2f} s",
            f"{delays.waited_s[:, rank].sum():.2f} s",
        ]
    num_there = int((delays.num_rows > 0).sum())
    if len(shown) < num_there:
        yield [f"{num_there - len(shown)} more", *[""] * (len(OWN) + 5)]


def _shown_ranks(times: np.ndarray, slow: set[int]) -> list[int]:
    """Return all ranks, or of many the slowest."""
    order = sorted(range(len(times)), key=lambda r: (r not in slow, -np.nan_to_num(times[r])))
    return sorted(rank for rank in order[:MOST_SHOWN] if not np.isnan(times[rank]))


def _table_of_waits(delays: Delays) -> Table:
    table = new_table("who waited for whom, s: row for column")
    for name in ("rank", *map(str, range(delays.size)), "nobody"):
        table.add_column(name, justify="right", no_wrap=True)
    for rank in range(delays.size):
        cells = [
            f"{value:.2f}" if value >= 0.005 else "-" for value in delays.waited_s[rank]
        ]  # rounds to 0.01
        table.add_row(str(rank), *cells)
    return table


def _longest_line(delays: Delays) -> str:
    said = [
        f"{step.own_s * 1e3:.1f} ms (rank {step.rank}, {step.phase}, at {step.at_s:.1f} s)"
        for step in delays.longest[:3]
    ]
    return f"longest steps: {', '.join(said)}"


def _table_of_outcomes(delays: Delays, outcomes: Sequence[Outcome]) -> Table:
    table = new_table("what it would have been under another bound, simulated from this log")
    for name in ("", "steps/s", "gain", "waiting", "mean staleness", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        rough = "rough" if outcome.is_rough else ""
        mark = f"this run {rough and '(rough)'}".rstrip() if outcome.is_own else rough
        table.add_row(
            outcome.mode if outcome.bound is None else f"{outcome.mode} {outcome.bound}",
            f"{delays.steps_per_s * outcome.gain:.0f}",
            f"{outcome.gain:.2f}",
            f"{outcome.wait_share:.0%}",
            f"{outcome.staleness_mean:.2f}",
            mark,
            style="bold" if outcome.is_own else None,
        )
    return table


def _last_lines(delays: Delays, outcomes: Sequence[Outcome], why: str) -> Iterator[str]:
    own = [outcome for outcome in outcomes if outcome.is_own]
    if own and delays.steps_per_s:
        share = own[0].simulated_steps_per_s / delays.steps_per_s
        yield f"of this run's own speed the simulator gives {share:.0%}"
    for reason in dict.fromkeys(one.rough_because for one in outcomes if one.is_rough):
        yield f"rough: {reason}"
    if why:
        yield f"note: nothing is predicted: {why}"
    yield from (f"note: {note}" for note in delays.notes)


TOOL = Tool(
    "stragglers",
    "Which ranks were slow, when and in which phase, who waited for whom and how long, and what "
    "the run would have gained under another bound. Exit code 0; 2: RUNDIR is no run directory or "
    "holds no step, or logs are missing.",
    _add_arguments,
    _run,
)
