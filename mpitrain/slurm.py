"""What Slurm says about the job that this process runs in; asks no MPI.

Newer versions give the end of the job in a variable. Older ones must be asked, which costs the
scheduler a little: ask once and count from there.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

ASK_LIMIT_S = 10.0
_TIME = re.compile(r"(?:(?P<d>\d{1,6})-)?(?:(?P<h>\d{1,6}):)?(?P<m>\d{1,6}):(?P<s>\d{1,6})", re.A)


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """A Slurm job, as its variables describe it.

    Attributes:
        job_id: number of the job, for example "1234", or "1234+1" in a heterogeneous one.
        num_restarts: times the job was requeued.
        num_tasks: ranks that were asked for; None when it does not say.
        nodes: the nodes as Slurm abbreviates them, for example "node[1-4]".
        end_s: when the job will be ended, ``time.time()``; None when no variable says so.
    """

    job_id: str
    num_restarts: int = 0
    num_tasks: int | None = None
    nodes: str = ""
    end_s: float | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Slurm | None:
        """Return the job that ``environ`` tells of, None outside Slurm."""
        job_id = environ.get("SLURM_JOB_ID", "")
        if not job_id:
            return None
        tasks = _number(environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS"))
        end_s = _number(environ.get("SLURM_JOB_END_TIME"))
        return cls(
            job_id=job_id,
            num_restarts=_number(environ.get("SLURM_RESTART_COUNT")) or 0,
            num_tasks=tasks or None,
            nodes=environ.get("SLURM_JOB_NODELIST", ""),
            end_s=float(end_s) if end_s else None,
        )

    def time_left_s(self, now_s: float) -> float | None:
        """Return the seconds until the job is ended, None when it has no limit or nobody says.

        Where no variable tells the end it asks ``squeue``, which may take seconds.

        Args:
            now_s: the present, ``time.time()``.
        """
        if self.end_s is not None:
            return max(0.0, self.end_s - now_s)
        return duration_s(_asked(self.job_id))


def duration_s(text: str) -> float | None:
    """Return the seconds in Slurm's ``[[D-]HH:]MM:SS``; None for UNLIMITED and whatever else."""
    found = _TIME.fullmatch(text.strip())
    if found is None or (found["d"] and not found["h"]):
        return None
    days, hours, minutes, seconds = (int(found[name] or 0) for name in "dhms")
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _asked(job_id: str) -> str:
    command = ["squeue", "-h", "-j", job_id, "-o", "%L"]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_LIMIT_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.partition("\n")[0] if answer.returncode == 0 else ""


def _number(text: str | None) -> int | None:
    """Return a count that a variable holds, None when it holds none."""
    is_count = text is not None and text.isascii() and text.isdecimal() and len(text) < 16
    return int(text) if is_count and text is not None else None
