"""What a run is: its name, mode, ranks, lives and how it stands. The head of every answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpitrain.analysis.attributes import said_of
from mpitrain.analysis.lacking import read_or_empty
from mpitrain.analysis.readable import Opened
from mpitrain.config.text import read_toml
from mpitrain.core.errors import UserError
from mpitrain.storage.reading import LifeLog
from mpitrain.storage.run_directory import RunDirectory


def run_facts(run: Opened) -> dict[str, Any]:
    """Return what a run is as a JSON object.

    Keys: directory, run, mode, bound (None where there is none), share, ranks, shards, steps (rows
    on the timeline), status ("done", "running", ...; None where nothing says), reason, missing.
    """
    life, directory = run.newest, run.log.directory
    status = read_or_empty(directory, "status")
    said = {name: _said(life, name) for name in ("mode", "bound", "share")}
    has_bound = said["mode"] == "ssp" and isinstance(said["bound"], int)
    return {
        "directory": str(directory.root),
        "run": table_of(configuration_of(directory), "run").get("name", directory.root.name),
        "mode": said["mode"],
        "bound": said["bound"] if has_bound else None,
        "share": said["share"],
        "ranks": life.size,
        "shards": min((len(log.shards) for log in life.ranks.values()), default=0),
        "steps": run.num_rows,
        "status": status.get("status"),
        "reason": status.get("reason") or None,
        "missing": run.missing,
    }


def _said(life: LifeLog, name: str) -> int | str | None:
    return said_of(life.ranks[min(life.ranks)], name) if life.ranks else None


def table_of(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a table of run.toml; empty where there is none."""
    table = tables.get(name)
    return table if isinstance(table, Mapping) else {}


def settings_of(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of run.toml by dotted name."""
    return {
        f"{table}.{name}": value
        for table, settings in tables.items()
        if isinstance(settings, Mapping)
        for name, value in settings.items()
    }


def number_of(values: Mapping[str, Any], name: str) -> int | float | None:
    """Return a number that a file says, None where it is missing or is none."""
    value = values.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def configuration_of(run: RunDirectory) -> Mapping[str, Any]:
    """Return the tables of run.toml; empty where it is missing or cannot be read."""
    try:
        return read_toml(run.run_toml)
    except (UserError, OSError, ValueError, RecursionError):
        return {}


def limit_of(run: Opened) -> int | None:
    """Return the most updates of others that a gradient may lack; None where there is no limit.

    (2 s + 1)(P - 1) in ssp, 0 in bsp; the largest of all lives on the timeline.
    """
    limits = [_limit_of_life(stretch.life) for stretch in run.chain]
    known = [limit for limit in limits if limit is not None]
    return max(known) if len(known) == len(limits) else None


def _limit_of_life(life: LifeLog) -> int | None:
    mode, bound = _said(life, "mode"), _said(life, "bound")
    if mode == "bsp":
        return 0
    if mode != "ssp" or not isinstance(bound, int):
        return None
    return (2 * bound + 1) * (life.size - 1)


def job_of(life: LifeLog) -> dict[str, str]:
    """Return what the logs say of the Slurm job that a life ran in; empty where it ran in none."""
    attributes = next(iter(life.ranks.values())).attributes if life.ranks else {}
    names = [name for name in attributes if name.startswith("slurm_")]
    return {name.removeprefix("slurm_"): str(attributes[name]) for name in sorted(names)}


def hosts_of(life: LifeLog) -> dict[str, list[int]]:
    """Return the ranks by host."""
    hosts: dict[str, list[int]] = {}
    for rank, log in life.ranks.items():
        hosts.setdefault(str(log.attributes.get("host", "?")), []).append(rank)
    return hosts
