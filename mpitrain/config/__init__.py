"""The configuration of a run: frozen tables, read from a TOML file and ``table.key=value`` words.

Every table and every key is optional. Values are checked when they are constructed, so a Config
that exists is valid; what only the data or the number of ranks can decide is checked where those
are known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mpitrain.config.learning import Data, Model, Optimizer
from mpitrain.config.setting import NONE, Fact, Table, check_names, describe, shown
from mpitrain.config.simulation import Simulate
from mpitrain.config.staleness import Staleness
from mpitrain.config.tables import (
    Checkpoint,
    Device,
    Log,
    Mode,
    Run,
    Straggler,
)
from mpitrain.config.text import (
    format_tables,
    format_value,
    parse_value,
    read_toml,
    split_override,
)
from mpitrain.config.usage import unused
from mpitrain.core.errors import UserError

__all__ = [
    "Checkpoint",
    "Config",
    "Data",
    "Device",
    "Log",
    "Mode",
    "Model",
    "Optimizer",
    "Run",
    "Simulate",
    "Staleness",
    "Straggler",
    "changed",
    "from_mapping",
    "ignored",
    "load",
    "parsed",
    "settings",
    "to_mapping",
    "to_toml",
]

ALTERNATIVES = (("run", "steps", "data_passes"), ("checkpoint", "every_steps", "every_s"))
ENVIRONMENT = "environment"  # the table of a written run file that holds facts, not settings
USED_WITH_OWN = ("data.batch_size", "data.micro_batch_size")

TABLES: dict[str, type[Table]] = {
    kind.table: kind
    for kind in (
        Run,
        Data,
        Model,
        Optimizer,
        Mode,
        Staleness,
        Straggler,
        Checkpoint,
        Log,
        Device,
        Simulate,
    )
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything about a run; the value that all ranks share.

    Attributes:
        given: dotted names of what a run file or an override said, whatever its value; not of what
            a run wrote into its own run.toml, where every setting is.
    """

    run: Run = dataclasses.field(default_factory=Run)
    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    mode: Mode = dataclasses.field(default_factory=Mode)
    staleness: Staleness = dataclasses.field(default_factory=Staleness)
    straggler: Straggler = dataclasses.field(default_factory=Straggler)
    checkpoint: Checkpoint = dataclasses.field(default_factory=Checkpoint)
    log: Log = dataclasses.field(default_factory=Log)
    device: Device = dataclasses.field(default_factory=Device)
    simulate: Simulate = dataclasses.field(default_factory=Simulate)
    given: frozenset[str] = dataclasses.field(default=frozenset(), compare=False, repr=False)

    @property
    def share(self) -> str:
        """Who takes which batch, decided: "equal" or "shared"."""
        if self.run.share != "auto":
            return self.run.share
        return "equal" if self.mode.kind == "bsp" else "shared"

    def __post_init__(self) -> None:
        """Check what concerns several tables."""
        if self.mode.kind == "bsp" and self.run.share == "shared":
            msg = (
                "run.share 'shared' needs mode.kind ssp or asp: in bsp every rank takes its part "
                "of each global batch; choose from: auto, equal"
            )
            raise UserError(msg)
        if self.data.source in ("hdf5", "idx") and self.data.path is None:
            msg = f"data.path must be given for data.source '{self.data.source}'"
            raise UserError(msg)
        is_dana = self.staleness.compensation == "dana_slim" and self.mode.kind != "bsp"
        if is_dana and self.optimizer.kind != "sgd":
            msg = (
                "staleness.compensation 'dana_slim' brings its own momentum and needs "
                f"optimizer.kind 'sgd', got '{self.optimizer.kind}'"
            )
            raise UserError(msg)
        for limit in ("limit_s", "stop_before_limit_s"):
            is_asked = getattr(self.run, limit) not in (None, getattr(Run, limit))
            if is_asked and not self.checkpoint.enabled:
                msg = (
                    f"run.{limit} needs checkpoint.enabled = true: the run is to stop with a "
                    f"checkpoint; leave one of the two out"
                )
                raise UserError(msg)


def load(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read a run file and apply overrides.

    Args:
        path: TOML file; None means all defaults.
        overrides: ``table.key=value`` each, later ones win. A value is TOML, or a bare word; "none"
            is None. What an override makes pointless in the file is dropped: see ``changed``.

    Raises:
        UserError: the file or a value is not valid; names it.
    """
    tables = {} if path is None else read_toml(path)
    _check(tables)
    values = dict(map(parsed, overrides))
    config = from_mapping(_merged(tables, values))
    return dataclasses.replace(config, given=config.given | values.keys())


def changed(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Return a configuration with some values replaced.

    run.steps replaces run.data_passes and the other way round, as do checkpoint.every_s and
    checkpoint.every_steps; a mode.kind that knows no bound drops mode.bound. Only what
    ``overrides`` itself holds must agree.

    Args:
        config: not changed.
        overrides: dotted name -> value, for example ``{"mode.kind": "ssp"}``.

    Raises:
        UserError: a name or value is not valid; names it.
    """
    for name in overrides:
        _find(name)
    new = from_mapping(_merged(to_mapping(config), overrides))
    return dataclasses.replace(new, given=config.given | overrides.keys())


def from_mapping(tables: Mapping[str, Mapping[str, Any]]) -> Config:
    """Make a configuration from plain values, for example ``{"mode": {"kind": "ssp"}}``.

    Raises:
        UserError: a table, key or value is not valid; names it.
    """
    _check(tables)
    made: dict[str, Any] = {
        name: TABLES[name](**values) for name, values in tables.items() if name != ENVIRONMENT
    }
    is_of_a_run = ENVIRONMENT in tables
    given = () if is_of_a_run else (f"{name}.{key}" for name in made for key in tables[name])
    return Config(**made, given=frozenset(given))


def to_toml(config: Config, *, environment: Mapping[str, Any] | None = None) -> str:
    """Return the configuration as a run file, defaults filled in; ``load`` gives it back.

    What the run does not use and was left at its default is left out.

    Args:
        config: what was run.
        environment: facts about where it was run, written as a table of their own; ``load``
            ignores it.
    """
    tables, defaults = to_mapping(config), to_mapping(Config())
    names = unused(list(settings()), tables)
    for fact in settings():
        if fact.name in names and tables[fact.table][fact.key] == defaults[fact.table][fact.key]:
            del tables[fact.table][fact.key]
    facts = {} if environment is None else {ENVIRONMENT: environment}
    return format_tables(tables | facts)


def to_mapping(config: Config) -> dict[str, dict[str, Any]]:
    """Return the configuration as plain values; ``from_mapping`` gives it back."""
    return {name: dataclasses.asdict(getattr(config, name)) for name in TABLES}


def ignored(
    config: Config, own: Collection[str] = (), not_looked_at: Mapping[str, str] | None = None
) -> list[str]:
    """Return a line for each setting that was given and that the run has no use for.

    For example "optimizer.momentum = 0.5 (optimizer.kind is adam)".

    Args:
        config: not changed.
        own: tables that a script's own objects stand for; of these only batch sizes are used.
        not_looked_at: tables, or settings by full name, that this kind of run does not look at,
            each with the reason.
    """
    tables, defaults = to_mapping(config), to_mapping(Config())
    facts, lines, aside = list(settings()), [], not_looked_at or {}
    reasons = unused(facts, tables)
    for fact in facts:
        value = tables[fact.table][fact.key]
        if fact.table in own and fact.name not in USED_WITH_OWN:
            reasons[fact.name] = f"the script gives its own {fact.table}"
        for name in aside.keys() & {fact.table, fact.name}:
            reasons[fact.name] = aside[name]
        is_given = fact.name in config.given or value != defaults[fact.table][fact.key]
        if fact.name in reasons and is_given:
            text = NONE if value is None else format_value(value)
            lines.append(f"{fact.name} = {text} ({reasons[fact.name]})")
    return lines


def settings() -> Iterator[Fact]:
    """Return every setting of every table in order: name, types, default, unit, a sentence."""
    for table in TABLES.values():
        yield from describe(table)


def parsed(text: str) -> tuple[str, Any]:
    """Return dotted name and value of a ``table.key=value`` word.

    Raises:
        UserError: there is no such key, or it is no such word.
    """
    name, value = split_override(text)
    fact = _find(name)
    parsed = parse_value(value)
    return name, value if str in fact.types and not isinstance(parsed, str) else parsed


def _find(name: str) -> Fact:
    table, _, key = name.partition(".")
    check_names("table", [table], TABLES)
    facts = {fact.key: fact for fact in describe(TABLES[table])}
    check_names("key", [key], facts, table)
    return facts[key]


def _merged(
    tables: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    merged = {name: dict(values) for name, values in tables.items()}
    for table, *pair in ALTERNATIVES:
        for kept, dropped in (pair, pair[::-1]):
            if f"{table}.{kept}" in overrides:
                merged.get(table, {}).pop(dropped, None)
    if overrides.get("mode.kind", "ssp") != "ssp":
        merged.get("mode", {}).pop("bound", None)
    for name, value in overrides.items():
        table, _, key = name.partition(".")
        merged.setdefault(table, {})[key] = value
    return merged


def _check(tables: Mapping[str, Any]) -> None:
    given = {name: values for name, values in tables.items() if name != ENVIRONMENT}
    check_names("table", given, TABLES)
    for name, values in given.items():
        if not isinstance(values, Mapping):
            msg = f"{name} must be a table, got {shown(values)}"
            raise UserError(msg)
        check_names("key", values, [fact.key for fact in describe(TABLES[name])], name)
