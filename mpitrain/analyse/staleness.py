"""How stale were the gradients: distribution by rank, by shard and over time, and the tail."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpitrain.analyse.picture import add_plot, check_plot
from mpitrain.analyse.staleness_plot import save_plot
from mpitrain.analyse.tables import say_missing, table
from mpitrain.analyse.tool import Answer, Tool, console
from mpitrain.analyse.words import duration, mode_of, number
from mpitrain.analysis.distribution import distribution_of
from mpitrain.analysis.facts import limit_of, run_facts
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.summary import histogram_lines
from mpitrain.core.console import counted

if TYPE_CHECKING:
    from rich.console import Console

Facts = Mapping[str, Any]

QUANTILES = {"p50": "50 %", "p90": "90 %", "p99": "99 %", "p999": "99.9 %", "max": "largest"}
MAX_ROWS, MAX_TIMES = 32, 10


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rundir", type=Path, metavar="RUNDIR")
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")
    add_plot(parser)
    parser.epilog = "Example: mpitrain analyse staleness runs/first --plot staleness.svg"


def _run(options: argparse.Namespace) -> Answer:
    check_plot(options.plot)
    run = open_readable(options.rundir, options.log_root)
    facts = run_facts(run)
    facts |= {"staleness_limit": limit_of(run), **distribution_of(run).facts()}
    if options.plot is not None:
        save_plot(facts, options.plot)
        facts["plot"] = str(options.plot)
    return Answer(facts, lambda: _show(console(), facts), missing=run.missing)


def _show(out: Console, facts: Facts) -> None:
    from rich.text import Text

    out.print(Text(str(facts["run"]), style="bold"))
    sizes = [counted(facts["ranks"], "rank"), counted(facts["shards"], "shard")]
    out.print(Text(f"{mode_of(facts)}, {', '.join(sizes)}, {number(facts['steps'])} updates"))
    say_missing(out, facts)
    limit, largest = facts["staleness_limit"], facts["measures"]["staleness"]["max"]
    if limit is not None:
        out.print(Text(f"the mode allows a staleness of {number(limit)}, found {number(largest)}"))
    out.print(_whole_table(facts))
    unit = "update and shard" if facts["per_shard"] else "update, on its worst shard"
    out.print(Text(f"staleness, per {unit}"))
    for line in histogram_lines(dict(facts["measures"]["staleness"]["counts"])):
        out.print(Text(line))
    out.print(_ranks_table(facts))
    if len(facts["per_shard"]) > 1:
        out.print(_shards_table(facts))
    out.print(_times_table(facts))
    if facts["tail"]:
        out.print(_tail_table(facts))
    if "plot" in facts:
        out.print(Text(f"drawn: {facts['plot']}"))


def _cells(values: Facts) -> list[str]:
    return [number(values["mean"]), *(number(values[name]) for name in QUANTILES)]


def _whole_table(facts: Facts) -> Any:
    names = {"staleness": "staleness", "lead": "lead", "own_missing": "own updates missing"}
    rows = [[text, *_cells(facts["measures"][name])] for name, text in names.items()]
    return table(["", "mean", *QUANTILES.values()], rows)


def _ranks_table(facts: Facts) -> Any:
    ranks = facts["per_rank"]
    shown = sorted(ranks, key=lambda rank: -(rank["staleness"]["mean"] or 0))[:MAX_ROWS]
    rows = [
        [str(rank["rank"]), number(rank["lead"]["count"]), *_cells(rank["staleness"]),
         number(rank["lead"]["mean"]), number(rank["lead"]["max"]),
         number(rank["own_missing"]["mean"])]
        for rank in sorted(shown, key=lambda rank: rank["rank"])
    ]  # fmt: skip
    columns = ["rank", "updates", "mean", *QUANTILES.values(), "lead", "largest", "own missing"]
    return _with_caption(table(columns, rows), len(ranks), "ranks")


def _shards_table(facts: Facts) -> Any:
    shards = facts["per_shard"]
    shown = sorted(shards, key=lambda shard: -(shard["staleness"]["mean"] or 0))[:MAX_ROWS]
    rows = [
        [str(shard["shard"]), *_cells(shard["staleness"])]
        for shard in sorted(shown, key=lambda shard: shard["shard"])
    ]
    made = table(["shard", "mean", *QUANTILES.values()], rows)
    return _with_caption(made, len(shards), "shards")


def _with_caption(made: Any, num: int, name: str) -> Any:
    if num > MAX_ROWS:
        made.caption = f"the {MAX_ROWS} stalest of {num} {name}; --json has all"
    return made


def _times_table(facts: Facts) -> Any:
    """Return the table over time: every fourth part of the forty."""
    parts = facts["over_time"]
    rows = [
        [duration(part["start_s"]), number(part["lead"]["count"]), *_cells(part["staleness"]),
         number(part["lead"]["mean"]), number(part["lead"]["max"])]
        for part in parts[:: max(1, len(parts) // MAX_TIMES)]
    ]  # fmt: skip
    columns = ["from", "updates", "mean", *QUANTILES.values(), "lead", "largest"]
    made = table(columns, rows)
    length = (parts[0]["stop_s"] - parts[0]["start_s"]) if parts else 0.0
    made.caption = f"{len(rows)} of {len(parts)} parts of {duration(length)} each; --json has all"
    return made


def _tail_table(facts: Facts) -> Any:
    rows = [
        [number(tail["staleness"]), str(tail["life"]), str(tail["rank"]), number(tail["row"]),
         duration(tail["time_s"])]
        for tail in facts["tail"]
    ]  # fmt: skip
    return table(["stalest updates", "life", "rank", "row", "at"], rows, texts=0)


TOOL = Tool(
    "staleness",
    "How stale the gradients were: updates of other ranks that each did not know of. By rank, by "
    "shard, over time, with quantiles and the tail; lead and own missing updates beside.",
    _add_arguments,
    _run,
)
