"""How a run and its jobs stand together, and where a folder holds several."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpitrain.batch import ledger
from mpitrain.batch.contradictions import remarks
from mpitrain.batch.job_standing import JobStanding, job_standings
from mpitrain.batch.run_standing import RUNNING, RunStanding, run_standing
from mpitrain.batch.submit import SCRIPT
from mpitrain.core.errors import UserError, reason
from mpitrain.storage.run_directory import check_is_run


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a run stands.

    Attributes:
        run: by its own word.
        jobs: that should be there, oldest first.
        chain: what happened to its jobs.
        remarks: what somebody should know, or do.
    """

    run: RunStanding
    jobs: list[JobStanding]
    chain: list[ledger.Entry]
    remarks: list[str]

    def facts(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return dataclasses.asdict(self)


def standing_of(root: Path) -> Standing:
    """Look at a run directory, and ask Slurm where it should have a job.

    Raises:
        UserError: it is no run directory.
        LogError: something in it makes no sense.
    """
    if not _is_known(root):
        check_is_run(root)
    run, chain = run_standing(root), ledger.entries(root)
    jobs = job_standings(chain, run.job if run.state == RUNNING else "")
    script = root / SCRIPT
    said = remarks(run, jobs, chain, str(script) if script.is_file() else "")
    return Standing(run=run, jobs=jobs, chain=chain, remarks=said)


def runs_below(root: Path) -> list[Path]:
    """Return the run directories in a folder, by name; none where it is one itself.

    Raises:
        UserError: it cannot be read, or is a folder without any.
    """
    try:
        if _is_known(root) or not root.is_dir():
            return []
        found = sorted(place for place in root.iterdir() if _is_known(place))
    except OSError as error:
        message = f"{root} cannot be read: {reason(error)}"
        raise UserError(message) from error
    if not found:
        message = f"{root} is no run directory, and no folder of run directories"
        raise UserError(message)
    return found


def _is_known(root: Path) -> bool:
    try:
        return any((root / name).is_file() for name in ("run.toml", ledger.NAME))
    except (OSError, ValueError):
        return False
