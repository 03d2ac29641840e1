"""What Slurm's own commands are asked for the jobs of a run, and how they answer."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mpitrain.core.errors import UserError
from mpitrain.slurm import ASK_LIMIT_S, NOT_FOUND, call, duration_s, is_job_id

SUBMIT_LIMIT_S = 60.0
_PAIR = re.compile(r"(?:^| )([A-Za-z][\w/:.*&-]*)=")
_TIME = "%Y-%m-%dT%H:%M:%S"
SBATCH_SAYS = "sbatch: error: "
_UNKNOWN_JOB = "Invalid job id"
_ASIDE = ("CONFIGURING", "POWER_UP_NODE", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED")
"""What Slurm says in place of RUNNING, while something is done to a job that is not its end."""
_ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
}


@dataclass(frozen=True)
class Record:
    """A job as the controller knows it: ``scontrol show job``.

    Attributes:
        fields: by Slurm's names, for example "JobState".
    """

    fields: dict[str, str]

    @property
    def state(self) -> str:
        """For example "RUNNING" or "PENDING"; of several the first, which is the base state."""
        return self.fields.get("JobState", "UNKNOWN").partition(",")[0].partition(" ")[0]

    @property
    def is_alive(self) -> bool:
        """Whether it waits, runs, or is about to do either."""
        return self.state not in _ENDED

    @property
    def is_preempted(self) -> bool:
        """Whether a job of higher rank takes its nodes."""
        return self.state == "PREEMPTED" or self.fields.get("PreemptTime", "None") != "None"

    @property
    def num_restarts(self) -> int:
        """Times that it was requeued; one more than the job knows when Slurm has just done so."""
        text = self.fields.get("Restarts", "")
        return int(text) if text.isdecimal() else 0

    @property
    def is_ending(self) -> bool:
        """Whether Slurm is about to end what runs of it: after scancel, say, or at its limit.

        A lost node does so too where the job may not be requeued, but nobody has asked for that.
        """
        is_running = self.state in ("RUNNING", "SUSPENDED", "UNKNOWN", *_ASIDE)
        return not (is_running or self.has_lost_node)

    @property
    def has_lost_node(self) -> bool:
        """Whether one of its nodes went down; Slurm ends a job then that it may not requeue."""
        return self.state == "NODE_FAIL" or self.fields.get("Reason") == "NodeDown"

    @property
    def is_over_limit(self) -> bool:
        """Whether it has used up its time."""
        run_s = duration_s(self.fields.get("RunTime", ""))
        limit_s = duration_s(self.fields.get("TimeLimit", ""))
        is_over = run_s is not None and limit_s is not None and run_s >= limit_s
        return self.state == "TIMEOUT" or is_over

    def left_s(self, now_s: float) -> float | None:
        """Return the seconds until its time limit, None where it has none or does not say.

        Args:
            now_s: the present, ``time.time()``.
        """
        try:
            end_s = time.mktime(time.strptime(self.fields.get("EndTime", ""), _TIME))
        except (ValueError, OverflowError):
            return None
        has_limit = self.fields.get("TimeLimit", "UNLIMITED") != "UNLIMITED"
        return max(0.0, end_s - now_s) if has_limit else None


def record_of(job_id: str) -> Record | None:
    """Return what the controller knows of a job; None where it knows none or does not answer."""
    return look_up(job_id)[0]


def look_up(job_id: str) -> tuple[Record | None, str]:
    """Return what the controller knows of a job, or None and why it does not answer.

    That is empty where it does answer, and knows no such job.
    """
    if not is_job_id(job_id):
        return None, ""
    code, text, trouble = call(["scontrol", "-o", "show", "job", job_id], limit_s=ASK_LIMIT_S)
    line = text.partition("\n")[0]
    if code == 0 and line:
        return Record(parsed(line)), ""
    if _UNKNOWN_JOB in trouble:
        return None, ""
    return None, trouble or f"scontrol ended with exit code {code}"


def parsed(line: str) -> dict[str, str]:
    """Return names and values of a line of ``scontrol -o``; a value may hold blanks."""
    found = list(_PAIR.finditer(line))
    ends = [match.start() for match in found[1:]] + [len(line)]
    return {
        match[1]: line[match.end() : end].strip() for match, end in zip(found, ends, strict=True)
    }


def requeue(job_id: str) -> str:
    """Put a job back into the queue, which ends what runs of it; return why not, or nothing."""
    code, _, trouble = call(["scontrol", "requeue", job_id], limit_s=SUBMIT_LIMIT_S)
    return "" if code == 0 else trouble or f"scontrol requeue ended with exit code {code}"


def submit(command: Sequence[str], script: str) -> str:
    """Hand a script to ``sbatch`` and return the number of the job.

    Args:
        command: that ends in ``sbatch --parsable`` and options, and reads a script from its input.
        script: the script.

    Raises:
        UserError: Slurm does not take it.
    """
    code, text, trouble = call(command, limit_s=SUBMIT_LIMIT_S, given=script)
    job_id = text.strip().partition(";")[0]
    noise, is_sbatch, said = trouble.partition(SBATCH_SAYS)  # a site's file may speak before it
    said = said.replace(f" {SBATCH_SAYS}", "; ") or noise
    if code == NOT_FOUND:
        message = f"{said}; --dry-run prints the script"
        raise UserError(message)
    if code != 0 or not job_id:
        what = "sbatch refused the job" if is_sbatch else "the job was not submitted"
        message = f"{what}: {said or text.strip() or f'exit code {code}'}"
        raise UserError(message)
    return job_id
