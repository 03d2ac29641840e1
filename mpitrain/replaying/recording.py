"""A run that is to be replayed: its logs, verified, and the configuration of each of its lives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpitrain.analysis.verify import verify
from mpitrain.config import (
    ENVIRONMENT,
    Config,
    changed,
    from_mapping,
    parsed,
    settings,
    to_mapping,
)
from mpitrain.config.text import read_toml
from mpitrain.config.usage import unused
from mpitrain.core.errors import LogError, UserError
from mpitrain.schedules.recorded import RecordedLife, recorded_lives
from mpitrain.storage.reading import open_log
from mpitrain.storage.run_directory import RunDirectory, check_is_run

CHANGING = ("optimizer", "staleness", "mode.scale", "data.micro_batch_size")
"""Tables and keys that make another training of the same schedule: a counterfactual."""
HARMLESS = (
    "run.name",
    "run.directory",
    "run.evaluate_every",
    "run.coherence_every",
    "run.coherence_samples",
    "run.coherence_lags",
    "run.progress_every_s",
    "data.path",
    "data.cache_bytes",
    "log",
    "checkpoint.best",
    "device",
)
"""Tables and keys that change what is written and looked at, and no parameter but by its device's
last bits, which is said."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What there is of a run.

    Attributes:
        directory: of the run.
        lives: on its timeline, oldest first.
        configs: of each life, with the changes that were asked for.
        changes: full names of the settings that make it another training.
        facts: of the environment it ran in.
        result: what result.json holds; None where the run is not done.
    """

    directory: RunDirectory
    lives: Sequence[RecordedLife]
    configs: Sequence[Config]
    changes: Sequence[str]
    facts: Mapping[str, Any]
    result: Mapping[str, Any] | None


def read_recording(root: Path, overrides: Sequence[str] | Mapping[str, Any]) -> Recording:
    """Read and verify a run.

    Args:
        root: the run directory.
        overrides: ``key=value`` words, or values by dotted key.

    Raises:
        UserError: it cannot be replayed, or not with these changes; names file and row.

    Collective: no.
    """
    check_is_run(root)
    values = overrides if isinstance(overrides, Mapping) else dict(map(parsed, overrides))
    _check_names(values)
    try:
        report = verify(root)
        if not report.ok:
            message = f"the run cannot be replayed: {report.findings[0]}"
            raise UserError(message)
        log = open_log(root)
        lives = recorded_lives(log)
        result = log.directory.read_result()
    except LogError as error:
        message = f"the run cannot be replayed: {error}"
        raise UserError(message) from error
    if not sum(life.schedule.num_updates for life in lives):
        message = f"the run cannot be replayed: {root} has no step that is whole in its logs"
        raise UserError(message)
    tables = [read_toml(_run_file(root, life.life)) for life in lives]
    olds = [from_mapping(table) for table in tables]
    for life, old in zip(lives, olds, strict=True):
        _check_terms(_run_file(root, life.life), old, life)
    new = [_changed(old, values) for old in olds]
    facts = read_toml(root / "run.toml").get(ENVIRONMENT, {})
    return Recording(
        directory=log.directory,
        lives=lives,
        configs=new,
        changes=sorted({name for pair in zip(olds, new, strict=True) for name in _changes(*pair)}),
        facts=facts if isinstance(facts, Mapping) else {},
        result=result,
    )


def _run_file(root: Path, life: int) -> Path:
    """Return the run file that a life was started with: the next life keeps it."""
    kept = {
        int(found[1]): path
        for path in root.glob("run-before-life-*.toml")
        if (found := re.fullmatch(r"run-before-life-(\d{3,9})\.toml", path.name))
    }
    later = [number for number in kept if number > life]
    return kept[min(later)] if later else root / "run.toml"


def _check_terms(run_file: Path, config: Config, life: RecordedLife) -> None:
    """Check that a run file is still the one that the life was started with, as its log says.

    Raises:
        UserError: a setting was changed.
    """
    attributes, mode = life.logs[0].attributes, config.mode
    said = {
        "mode.kind": mode.kind,
        "mode.bound": -1 if mode.bound is None else mode.bound,
        "mode.scale": mode.scale,
        "run.share": config.share,
        "run.seed": config.run.seed,
    }
    logged = {"mode.kind": "mode", "run.share": "share", "run.seed": "seed"}
    for name, value in said.items():
        found = attributes.get(logged.get(name, name.partition(".")[2]), value)
        if found != value:
            message = (
                f"the run cannot be replayed: {run_file} says {name} = {value!r}, "
                f"{life.logs[0].path} {found!r}; put it back"
            )
            raise UserError(message)


def _check_names(values: Mapping[str, Any]) -> None:
    for name in values:
        parsed(f"{name}=none")  # refuses what is no setting
        if not any(name == known or name.startswith(f"{known}.") for known in CHANGING + HARMLESS):
            message = (
                f"{name} cannot be changed in a replay: the schedule was recorded with it; what "
                f"can be: {', '.join(CHANGING + HARMLESS)}"
            )
            raise UserError(message)


def _changed(old: Config, values: Mapping[str, Any]) -> Config:
    """Return a life's configuration, with the changes, and none of what only live ranks need."""
    places = {"run.directory": None, "log.directory": None, "run.name": f"{old.run.name}-replay"}
    return changed(old, {**places, "log.enabled": True, "log.per_shard": True, **values})


def _changes(old: Config, new: Config) -> list[str]:
    """Return the settings that are other ones, and that training uses."""
    before, after = to_mapping(old), to_mapping(new)
    facts = list(settings())
    in_vain = unused(facts, before).keys() & unused(facts, after).keys()
    return [
        full
        for table, keys in after.items()
        for key, value in keys.items()
        if value != before[table][key]
        and ((full := f"{table}.{key}") in CHANGING or table in CHANGING)
        and full not in in_vain
    ]
