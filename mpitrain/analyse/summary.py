"""What happened in a run, on one page; several runs in one table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpitrain.analyse.tables import pairs, say_missing, table
from mpitrain.analyse.tool import Answer, Tool, console
from mpitrain.analyse.words import duration, mode_of, number, percent, ranks_text
from mpitrain.analysis.facts import table_of
from mpitrain.analysis.overview import overview_of
from mpitrain.analysis.readable import open_readable

if TYPE_CHECKING:
    from rich.console import Console

Facts = Mapping[str, Any]

PHASES = ("compute", "read", "write", "wait", "other")
QUANTILES = {"p50": "50 %", "p90": "90 %", "p99": "99 %", "p999": "99.9 %", "max": "largest"}
MAX_RANKS, MAX_EVALUATIONS = 32, 8


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rundirs", type=Path, metavar="RUNDIR", nargs="+")
    parser.add_argument("--log-root", type=Path, help="folder of the logs, if not RUNDIR/log")
    parser.epilog = "Example: mpitrain analyse summary runs/first; several runs give one table."


def _run(options: argparse.Namespace) -> Answer:
    runs = [overview_of(open_readable(path, options.log_root)) for path in options.rundirs]
    missing = [what for run in runs for what in run["missing"]]
    if len(runs) == 1:
        return Answer(runs[0], lambda: _show_page(console(), runs[0]), missing=missing)
    return Answer({"runs": runs}, lambda: _show_table(console(), runs), missing=missing)


def _show_page(out: Console, facts: Facts) -> None:
    from rich.text import Text

    out.print(Text(str(facts["run"]), style="bold"))
    out.print(pairs(_head(facts)))
    say_missing(out, facts)
    out.print(_ranks_table(facts))
    out.print(_quantiles_table(facts))
    if facts["evaluations"]:
        out.print(_evaluations_table(facts))
    if len(facts["lives"]) > 1:
        out.print(_lives_table(facts))
    events = ", ".join(f"{num} {kind}" for kind, num in facts["events"].items())
    out.print(Text(f"events: {events or 'none'}"))


def _head(facts: Facts) -> dict[str, str]:
    """Return what stands at the top of the page, by name."""
    reason = f" ({facts['reason']})" if facts["reason"] else ""
    hosts = "; ".join(f"{host}: {ranks_text(ranks)}" for host, ranks in facts["hosts"].items())
    speed = f"{number(facts['steps_per_s'])} steps/s, {number(facts['samples_per_s'])} samples/s"
    return {
        "where": facts["directory"],
        "status": f"{facts['status'] or 'unknown'}{reason}",
        "mode": f"{mode_of(facts)}, tickets {facts['share']}",
        **_configured(facts["configuration"]),
        "ranks": f"{facts['ranks']} on {hosts}",
        **_job(facts["lives"]),
        "shards": str(facts["shards"]),
        "steps": f"{number(facts['steps'])} in {duration(facts['seconds'])}: {speed}",
        "time": ", ".join(f"{name} {percent(facts['shares'][name])}" for name in PHASES),
        "final": _final(facts["final"]),
    }


def _job(lives: Sequence[Facts]) -> dict[str, str]:
    """Return the line about the Slurm job of the newest life, if it ran in one."""
    newest = lives[-1]
    if not newest["slurm"]:
        return {}
    return {"slurm": f"job {_job_text(newest)} on {newest['slurm'].get('nodes', '?')}"}


def _job_text(life: Facts) -> str:
    """Return number and restarts of a life's job; empty outside Slurm."""
    said = life["slurm"]
    restarts = said.get("restarts", "0")
    job = str(said.get("array") or said.get("job", ""))
    return job + (f", restart {restarts}" if restarts != "0" else "")


def _configured(tables: Facts) -> dict[str, str]:
    """Return the lines of the head that come from run.toml."""
    optimizer, data, model = (table_of(tables, name) for name in ("optimizer", "data", "model"))
    found = {}
    if optimizer:
        found["optimizer"] = f"{optimizer.get('kind')}, rate {optimizer.get('rate')}"
    if data:
        found["data"] = f"{data.get('source')}, mini-batches of {data.get('batch_size')}"
    if model:
        hidden = f" {model['hidden']}" if model.get("hidden") else ""
        found["model"] = f"{model.get('kind')}{hidden}, {model.get('dtype')}"
    return found


def _final(final: Facts) -> str:
    if final["loss"] is None:
        return "no evaluation so far"
    metric = "" if final["metric"] is None else f", {final['metric_name']} {final['metric']:.4f}"
    return f"loss {number(final['loss'], 4)}{metric} at step {number(final['steps'])}"


def _ranks_table(facts: Facts) -> Any:
    ranks = facts["per_rank"]
    shown = sorted(ranks, key=lambda rank: -rank["shares"]["wait"])[:MAX_RANKS]
    rows = [
        [
            str(rank["rank"]),
            rank["host"] or "-",
            number(rank["steps"]),
            number(rank["steps"] / rank["seconds"] if rank["seconds"] else None),
            *(percent(rank["shares"][name]) for name in PHASES),
            number(rank["staleness"]["mean"]),
            number(rank["lead"]["mean"]),
        ]
        for rank in sorted(shown, key=lambda rank: rank["rank"])
    ]
    made = table(["rank", "host", "steps", "steps/s", *PHASES, "staleness", "lead"], rows, texts=2)
    if len(ranks) > MAX_RANKS:
        made.caption = f"the {MAX_RANKS} of {len(ranks)} ranks that waited most; --json has all"
    return made


def _quantiles_table(facts: Facts) -> Any:
    limit = facts["staleness_limit"]
    names = {"staleness": "staleness, per update and shard", "lead": "lead, per update"}
    rows = [
        [text, number(facts[name]["mean"]), *(number(facts[name][key]) for key in QUANTILES),
         number(limit if name == "staleness" else facts["bound"])]
        for name, text in names.items()
    ]  # fmt: skip
    return table(["", "mean", *QUANTILES.values(), "allowed"], rows)


def _evaluations_table(facts: Facts) -> Any:
    evaluations = facts["evaluations"]
    name = evaluations[-1]["metric_name"] or "metric"
    rows = [
        [
            number(evaluation["steps"]),
            duration(evaluation["time_s"]),
            number(evaluation["loss"], 4),
            number(evaluation["metric"], 4),
        ]
        for evaluation in _spread(evaluations)
    ]
    return table(["evaluated at step", "time", "loss", name], rows, texts=0)


def _spread(evaluations: list[Facts]) -> Iterator[Facts]:
    """Yield the first and last evaluation and some evenly between."""
    last, num = len(evaluations) - 1, min(MAX_EVALUATIONS, len(evaluations))
    for index in range(num):
        yield evaluations[index * last // max(1, num - 1)]


def _lives_table(facts: Facts) -> Any:
    has_jobs = any(life["slurm"] for life in facts["lives"])
    columns = ["life", "ranks", "rows", "counted", "started from", "logs"]
    rows = [
        [
            str(life["life"]),
            str(life["ranks"]),
            number(life["rows"]),
            number(life["counted"]),
            "nothing" if life["from_life"] is None
            else f"life {life['from_life']}, step {number(life['from_steps'])}",
            "closed" if life["closed"] else "open or killed",
            *([_job_text(life)] if has_jobs else []),
        ]
        for life in facts["lives"]
    ]  # fmt: skip
    return table([*columns, *(["Slurm job"] if has_jobs else [])], rows)


def _names(runs: list[dict[str, Any]]) -> dict[str, str]:
    """Return a name for each run, by directory: its own, or that of its folder, if they differ."""
    directories = [run["directory"] for run in runs]
    for names in ([str(run["run"]) for run in runs], [Path(path).name for path in directories]):
        if len(set(names)) == len(set(directories)):
            return dict(zip(directories, names, strict=True))
    return {directory: directory for directory in directories}


def _show_table(out: Console, runs: list[dict[str, Any]]) -> None:
    names = _names(runs)
    rows = [
        [
            names[run["directory"]],
            mode_of(run),
            run["status"] or "unknown",
            str(run["ranks"]),
            number(run["steps"]),
            duration(run["seconds"]),
            number(run["samples_per_s"]),
            percent(run["shares"]["wait"]),
            number(run["staleness"]["mean"]),
            number(run["staleness"]["p99"]),
            number(run["final"]["loss"], 4),
            number(run["final"]["metric"], 4),
        ]
        for run in runs
    ]
    columns = ["run", "mode", "status", "ranks", "steps", "time", "samples/s", "wait"]
    out.print(table([*columns, "staleness", "99 %", "loss", "metric"], rows, texts=3))
    for run in runs:
        say_missing(out, run)


TOOL = Tool(
    "summary",
    "What happened in a run: configuration, ranks, speed, where the time went, staleness, "
    "evaluations, events. Several runs: one table. Exit code 2: nothing can be read, or logs are "
    "missing.",
    _add_arguments,
    _run,
)
