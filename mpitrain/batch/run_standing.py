"""How a run stands, from its directory alone; also of one that has not begun."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mpitrain.analysis.live import GONE, Now, look
from mpitrain.config import ENVIRONMENT, Config, from_mapping
from mpitrain.config.text import read_toml
from mpitrain.core.errors import LogError, UserError
from mpitrain.core.position import Position
from mpitrain.plan import make_work
from mpitrain.storage.checkpoint_mark import MARK
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints
from mpitrain.storage.life_log import ranks_found
from mpitrain.storage.opening import opened
from mpitrain.storage.plain_data import plain_attributes
from mpitrain.storage.run_directory import Json, RunDirectory

NOT_BEGUN, RUNNING, STOPPED, FAILED, DONE = "not begun", "running", "stopped", "failed", "done"


@dataclass(frozen=True, kw_only=True)
class RunStanding:
    """How a run stands.

    Attributes:
        directory: of the run.
        name: of the run, else of its directory.
        state: of status.json: "running", "stopped", "failed", "done"; "not begun" without it.
        reason: of that state; empty without one.
        since: when that was written; empty where nobody says.
        life: number of the newest; -1 without one.
        job: Slurm's number of the job of the newest life; empty without one.
        steps: that are taken, of all ranks.
        total_steps: of all ranks; None where that cannot be said so far.
        steps_per_s: of all ranks, just now; None where it does not run.
        evaluation: newest one, by name, with its step as "steps"; empty before.
        checkpoint: name of the newest one; empty without one.
        checkpoint_steps: of that.
        checkpoint_age_s: of that.
        is_abandoned: it says that it runs, and all its processes on this host are gone.
        notes: what of its ranks could not be read, while it runs.
    """

    directory: str
    name: str
    state: str = NOT_BEGUN
    reason: str = ""
    since: str = ""
    life: int = -1
    job: str = ""
    steps: int = 0
    total_steps: int | None = None
    steps_per_s: float | None = None
    evaluation: Json
    checkpoint: str = ""
    checkpoint_steps: int = -1
    checkpoint_age_s: float | None = None
    is_abandoned: bool = False
    notes: tuple[str, ...] = ()


def run_standing(root: Path) -> RunStanding:
    """Look at a run directory.

    Raises:
        UserError: its run.toml makes no sense.
        LogError: its status.json makes no sense.
    """
    directory = _directory(root)
    if directory is None:
        return RunStanding(directory=str(root), name=root.absolute().name, evaluation={})
    tables = read_toml(directory.run_toml)
    config = from_mapping(tables)
    status = directory.read_status() or {}
    result = _result(directory) if status.get("status") == DONE else {}
    newest = Checkpoints(directory.checkpoints).newest()
    now = _now(root, directory)
    life = status.get("life", -1)
    state = str(status.get("status", NOT_BEGUN))
    return RunStanding(
        directory=str(root),
        name=config.run.name,
        state=state,
        reason=str(status.get("reason") or ""),
        since=str(status.get("time", "")),
        life=life if isinstance(life, int) else -1,
        job=_job(_facts(tables)),
        steps=_steps(result, now, newest, state),
        total_steps=_total_steps(config, directory, now),
        steps_per_s=None if now is None or state != RUNNING else now.steps_per_s,
        evaluation=_evaluation(result, now),
        checkpoint="" if newest is None else newest.name,
        checkpoint_steps=-1 if newest is None else newest.steps,
        checkpoint_age_s=None if newest is None else _age_s(newest),
        is_abandoned=state == RUNNING and now is not None and _is_abandoned(now),
        notes=tuple(now.notes) if now is not None and state == RUNNING else (),
    )


def _directory(root: Path) -> RunDirectory | None:
    """Return the run directory; None where no run has begun there."""
    if not (root / "run.toml").is_file():
        return None
    said = from_mapping(read_toml(root / "run.toml")).log.directory
    return RunDirectory(root, None if said is None else Path(said))


def _now(root: Path, directory: RunDirectory) -> Now | None:
    """Look at the ranks and their logs; None before there are any, or where none are kept."""
    try:
        return look(root, directory.log_root)
    except LogError:
        return None


def _job(facts: Json) -> str:
    """Return the job of the newest life, as Slurm's commands know it; empty outside Slurm."""
    return str(facts.get("slurm_array") or facts.get("slurm_job") or "")


def _facts(tables: Json) -> Json:
    found = tables.get(ENVIRONMENT)
    return found if isinstance(found, dict) else {}


def _result(directory: RunDirectory) -> Json:
    try:
        return directory.read_result() or {}
    except LogError:
        return {}


def _steps(result: Json, now: Now | None, newest: Checkpoint | None, state: str) -> int:
    """Return the steps: of the result, of the ranks while they run, else of the checkpoint."""
    if isinstance(result.get("steps"), int):
        return int(result["steps"])
    kept = -1 if newest is None else newest.steps
    seen = 0 if now is None or state != RUNNING else now.steps
    return max(0, kept, seen)


def _total_steps(config: Config, directory: RunDirectory, now: Now | None) -> int | None:
    """Return the steps that the run is to take; the data's size is in its logs."""
    try:
        said = {} if now is None else _attributes(directory, now.life)
        size, samples = said.get("size"), said.get("num_samples")
        if not (isinstance(size, int) and isinstance(samples, int) and size > 0 and samples > 0):
            return config.run.steps
        start = Position.first(config.mode.kind, config.share, size)
        return make_work(config, samples, start).total_steps
    except (LogError, UserError):
        return config.run.steps


def _attributes(directory: RunDirectory, newest: int) -> Json:
    """Return what a log says of its run: of the newest life that has one."""
    for life in range(newest, -1, -1):
        folder = directory.life_directory(life)
        ranks = ranks_found(directory, life) if folder.is_dir() else ()
        if ranks:
            path = directory.log_path(life, min(ranks))
            with opened(path) as file:
                return plain_attributes(path, file)
    return {}


def _evaluation(result: Json, now: Now | None) -> Json:
    if now is not None and now.evaluation:
        return now.evaluation
    return {name: result[name] for name in ("steps", "metric") if name in result}


def _age_s(checkpoint: Checkpoint) -> float | None:
    try:
        return max(0.0, time.time() - (checkpoint.path / MARK).stat().st_mtime)
    except OSError:
        return None


def _is_abandoned(now: Now) -> bool:
    """Tell whether ranks are gone without a word, as far as this host can see."""
    return bool(now.ranks) and all(rank.doing == GONE for rank in now.ranks)
