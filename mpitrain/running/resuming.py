"""Going on from a checkpoint: what is read, what may be changed, and where the new life starts."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpitrain import environment
from mpitrain.config import ENVIRONMENT, Config, changed, from_mapping, parsed, to_mapping
from mpitrain.config.text import read_toml
from mpitrain.core.errors import CheckpointError, LogError, UserError
from mpitrain.core.position import Position, Start
from mpitrain.devices.device import CPU, Device
from mpitrain.running.best import Best, Seen
from mpitrain.running.checkpoint_content import read_position
from mpitrain.running.loaded_checkpoint import checkpoint_at
from mpitrain.running.totals import Totals
from mpitrain.storage.checkpoint_mark import MARK, STATE
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints
from mpitrain.storage.run_directory import RunDirectory, read_json

FIXED_TABLES = ("data", "model")
FIXED = (
    "run.name",
    "run.directory",
    "run.seed",
    "run.share",
    "run.init_from",
    "optimizer.kind",
    "mode.kind",
    "staleness.compensation",
    "log.directory",
)
"""What a checkpoint's contents depend on; data.path may follow data that was moved."""
TERMS = (
    "run.seed",
    "data.batch_size",
    "optimizer.kind",
    "mode.kind",
    "staleness.compensation",
)
"""Settings that a checkpoint keeps, so that an edited run.toml is found out; one that an older
checkpoint has not was at its default."""
MOVABLE = ("data.path", "data.cache_bytes", "data.micro_batch_size")
LENGTH = ("steps", "data_passes", "early_stop")
"""What decides when a run ends."""


@dataclass(frozen=True)
class Resumption:
    """What a run goes on from.

    Attributes:
        config: of the new life.
        directory: of the run.
        checkpoint: a complete one; None where no life came so far: the run starts anew.
        old: where the ranks of its life stood; None then.
        totals: what the run had done.
        seen: what its evaluations had shown.
        run_id: of the run.
        life: number of the new life.
        facts: of the environment of the life before.
    """

    config: Config
    directory: RunDirectory
    checkpoint: Checkpoint | None
    old: Position | None
    totals: Totals
    seen: Seen
    run_id: str
    life: int
    facts: Mapping[str, Any]

    def start(self, size: int) -> Start:
        """Return where the new life starts on ``size`` ranks."""
        config = self.config
        if self.checkpoint is None or self.old is None:
            first = Position.first(config.mode.kind, config.share, size)
            return Start(life=self.life, position=first)
        mark = self.checkpoint.path / MARK
        return Start(
            life=self.life,
            position=self.old.on(config.mode.kind, config.share, size),
            checkpoint=self.checkpoint.name,
            checkpoint_sha256=hashlib.sha256(mark.read_bytes()).hexdigest(),
            from_life=self.checkpoint.life,
            cut=self.old.clocks,
        )


def find_resumption(
    root: Path, overrides: Sequence[str] | Mapping[str, Any], name: str | None
) -> Resumption:
    """Look at a run directory and decide what to go on from; changes nothing.

    Args:
        root: the run directory.
        overrides: ``key=value`` words, or values by dotted key.
        name: of the checkpoint; None takes the newest.

    Raises:
        UserError: there is nothing to go on from, or a setting cannot be changed.

    Collective: no; rank 0 alone calls it.
    """
    run_toml = root / "run.toml"
    tables = read_toml(run_toml)
    old = from_mapping(tables)
    # a run directory may have been moved
    config = changed(_changed(old, overrides), {"run.directory": str(root.absolute())})
    log_root = None if old.log.directory is None else Path(old.log.directory)
    directory = RunDirectory(root.absolute(), log_root)
    facts = tables.get(ENVIRONMENT)
    facts = facts if isinstance(facts, Mapping) else {}
    checkpoint = _chosen(Checkpoints(directory.checkpoints), name)
    if checkpoint is None:
        position, totals, seen = None, Totals(), Seen()
        run_id = str(facts.get("run_id", uuid.uuid4().hex))
    else:
        position, totals, run_id, terms, seen = read_position(checkpoint)
        _check_terms(config, terms, run_toml)
        seen = _seen_after(directory, checkpoint, old, config, seen)
    life = next_life(directory)
    return Resumption(config, directory, checkpoint, position, totals, seen, run_id, life, facts)


def next_life(directory: RunDirectory) -> int:
    """Return the number after that of every life that has left anything."""
    logs = directory.log.iterdir() if directory.log.is_dir() else ()
    found = (re.fullmatch(r"life-(\d{3,9})", path.name) for path in logs)
    numbers = [int(match[1]) for match in found if match]
    numbers += [ck.life for ck in Checkpoints(directory.checkpoints).complete()]
    try:
        said = (directory.read_status() or {}).get("life")
    except LogError:
        said = None
    if isinstance(said, int) and 0 <= said < 10**6:
        numbers.append(said)
    return max(numbers, default=-1) + 1


def checkpoint_of(place: str) -> Checkpoint:
    """Return the checkpoint that ``run.init_from`` names: a checkpoint's folder or a run's newest.

    Raises:
        UserError: there is none, or it is damaged.
    """
    try:
        found = checkpoint_at(place)
        Checkpoints(found.path.parent).check(found, [STATE])
    except UserError as error:
        message = f"run.init_from = {place!r}: {error}"
        raise UserError(message) from error
    return found


def check_data(facts: Mapping[str, Any], digest: str) -> None:
    """Check that the data are those that the run was trained on.

    Raises:
        UserError: they are others.
    """
    before = facts.get("data_sha256", digest)
    if before != digest:
        message = (
            f"the data have SHA-256 {digest[:12]}..., those of the run {str(before)[:12]}...; "
            "give the same data by data.path, or those of a script to mpitrain.resume or .replay"
        )
        raise UserError(message)


def environment_changes(facts: Mapping[str, Any], device: Device, kernels: str) -> Iterator[str]:
    """Yield what is another than in the life before, for people.

    Args:
        facts: of the life before; one that says nothing of its device had the CPU.
        device: of this rank now.
        kernels: what runs its updates now.
    """
    before, now = {"device": CPU.text, **facts}, environment.facts(device)
    changes = [f"{k} {before[k]} -> {v}" for k, v in now.items() if before.get(k, v) != v]
    if changes:
        yield f"environment differs: {'; '.join(changes)}; bit-identity is not promised"
    elif before.get("kernels", kernels) != kernels:  # elsewhere the device says it
        yield f"kernels differ, which give the same bits: {before['kernels']} -> {kernels}"


def is_done(directory: RunDirectory) -> bool:
    """Tell whether the run says that it is done and has its result."""
    try:
        state = (directory.read_status() or {}).get("status")
        return state == "done" and read_json(directory.result) is not None
    except LogError:
        return False


def terms_of(config: Config) -> dict[str, Any]:
    """Return the settings that a checkpoint keeps, by dotted name: others would not fit it."""
    tables = to_mapping(config)
    return {name: tables[name.partition(".")[0]][name.partition(".")[2]] for name in TERMS}


def _check_terms(config: Config, terms: Mapping[str, Any], run_toml: Path) -> None:
    kept = terms_of(Config()) | dict(terms)
    for name, value in terms_of(config).items():
        if kept[name] != value:
            message = (
                f"{run_toml}: {name} is {value!r}, the checkpoint was written with "
                f"{kept[name]!r}; put it back"
            )
            raise UserError(message)


def _seen_after(
    directory: RunDirectory, checkpoint: Checkpoint, old: Config, new: Config, seen: Seen
) -> Seen:
    """Return what the evaluations before the new life have shown.

    A run evaluates at its end, after its last checkpoint; its result keeps that. One that was cut
    off when it had ended early, and whose length nobody changes, has only to say so.
    """
    best = Best.of(new, seen)
    has_ended, is_over = best.seen.has_ended, is_done(directory)
    result = (read_json(directory.result) or {}) if is_over else {}
    if (result.get("life"), result.get("steps")) == (checkpoint.life, checkpoint.steps):
        metric = result.get("metric")
        metric = metric if isinstance(metric, float) else None
        best.look_at_end(checkpoint.steps, metric, old.run.evaluate_every)
    if not has_ended:
        return best.seen
    if any(getattr(old.run, key) != getattr(new.run, key) for key in LENGTH):
        best.begin_anew()
    elif is_over:
        message = (
            f"the run ended early, after {seen.num_without} evaluations without a better metric "
            f"(run.early_stop = {old.run.early_stop}); to go on give run.early_stop=none, a larger "
            "one, or a larger run.steps or run.data_passes"
        )
        raise UserError(message)
    return best.seen


def _changed(old: Config, overrides: Sequence[str] | Mapping[str, Any]) -> Config:
    values = overrides if isinstance(overrides, Mapping) else dict(map(parsed, overrides))
    new = changed(old, values)
    before, after = to_mapping(old), to_mapping(new)
    for table, keys in after.items():
        for key, value in keys.items():
            full = f"{table}.{key}"
            is_fixed = full in FIXED or (table in FIXED_TABLES and full not in MOVABLE)
            if is_fixed and value != before[table][key]:
                message = (
                    f"{full} cannot be changed on resume (it is {before[table][key]!r}, asked for "
                    f"is {value!r}); fixed are {', '.join((*FIXED, *FIXED_TABLES))}; "
                    "run.init_from starts a new run from old parameters"
                )
                raise UserError(message)
    return new


def _chosen(folder: Checkpoints, name: str | None) -> Checkpoint | None:
    """Return the checkpoint of this name, or the newest; None where there is none at all."""
    if name is not None:
        return folder.find(name)
    try:
        return folder.sound()
    except CheckpointError as error:
        message = f"{error}; to go on from another one give --checkpoint"
        raise CheckpointError(message) from error
