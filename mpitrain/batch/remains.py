"""What a life left in its run directory, as far as the job must know to go on."""

from __future__ import annotations

from mpitrain.batch.decision import DONE, FAIL, KILLED, NEVER, STOP
from mpitrain.config import ENVIRONMENT
from mpitrain.config.text import read_toml
from mpitrain.core.errors import LogError, UserError
from mpitrain.slurm import Slurm
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.run_directory import LAUNCHER, SAID_BY, Json, RunDirectory


def outcome_of(
    directory: RunDirectory, job: Slurm, *, exit_code: int, signal: str
) -> tuple[str, str]:
    """Return how the life of this start of the job ended, and what status.json says of it.

    A run that was done before is done where the ranks found nothing to do, and ended well. Where
    they did not, they were to make it longer.

    Args:
        directory: of the run.
        job: with the number of its start.
        exit_code: of the launcher.
        signal: that the job script got; empty without one.
    """
    try:
        facts = read_toml(directory.run_toml).get(ENVIRONMENT, {})
        status = directory.read_status() or {}
    except (UserError, LogError):
        return NEVER, ""
    state, why = str(status.get("status", "")), str(status.get("reason", ""))
    is_mine = _is_of(facts, job)
    if state == DONE and (is_mine or (exit_code == 0 and not signal)):
        return DONE, why
    if not is_mine:
        return NEVER, why
    if status.get(SAID_BY) == LAUNCHER:  # the ranks themselves left no word
        return KILLED, why
    return (state if state in (STOP, FAIL) else KILLED), why


def newest_steps(directory: RunDirectory) -> int:
    """Return the steps of the newest checkpoint, -1 where there is none."""
    return max((found.steps for found in Checkpoints(directory.checkpoints).complete()), default=-1)


def life_of(directory: RunDirectory) -> int:
    """Return the number of the newest life, -1 where nobody says."""
    try:
        life = (directory.read_status() or {}).get("life", -1)
    except LogError:
        return -1
    return life if isinstance(life, int) else -1


def _is_of(facts: Json, job: Slurm) -> bool:
    """Tell whether a life of this start of the job wrote these facts; older ones stay there."""
    mine = job.facts()
    return all(facts.get(name) == mine[name] for name in ("slurm_job", "slurm_restarts"))
