"""What Slurm says about the job that this process runs in; asks no MPI.

This is the one place that reads Slurm's variables. Newer versions give the end of the job in one.
Older ones must be asked, which costs the scheduler a little: ask once and count from there.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROCID = "SLURM_PROCID"  # number of the task in its step
LOCALID = "SLURM_LOCALID"  # number of the task on its node
STEP_TASKS = "SLURM_STEP_NUM_TASKS"
JOB_TASKS = "SLURM_NTASKS"
ASK_LIMIT_S = 10.0
NOT_FOUND = 127  # exit code of a shell for a command that is not there
_JOB = re.compile(r"\d{1,12}([+_]\d{1,9})?", re.ASCII)
_GPUS = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS", "SLURM_GPUS_ON_NODE")
_TIME = re.compile(r"(?:(?P<d>\d{1,6})-)?(?:(?P<h>\d{1,6}):)?(?P<m>\d{1,6}):(?P<s>\d{1,6})", re.A)


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """A Slurm job, as its variables describe it.

    Attributes:
        job_id: number of the job, for example "1234", or "1234+1" in a heterogeneous one.
        step_id: number of the step that this process is a task of; empty in a batch script.
        name: of the job.
        partition: where it runs.
        cluster: which runs it.
        array: job and index of a cell of an array, "1234_5"; empty elsewhere.
        num_restarts: times the job was requeued.
        num_tasks: ranks that were asked for; None when it does not say.
        step_tasks: tasks of the step; None in a batch script.
        nodes: the nodes as Slurm abbreviates them, for example "node[1-4]".
        gpus: those of the job or node, as Slurm writes them; empty without one.
        end_s: when the job will be ended, ``time.time()``; None when no variable says so.
    """

    job_id: str
    step_id: str = ""
    name: str = ""
    partition: str = ""
    cluster: str = ""
    array: str = ""
    num_restarts: int = 0
    num_tasks: int | None = None
    step_tasks: int | None = None
    nodes: str = ""
    gpus: str = ""
    end_s: float | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Slurm | None:
        """Return the job that ``environ`` tells of, None outside Slurm."""
        job_id = environ.get("SLURM_JOB_ID", "")
        if not job_id:
            return None
        end_s = _number(environ.get("SLURM_JOB_END_TIME"))
        array = environ.get("SLURM_ARRAY_JOB_ID", "")
        step_tasks = _number(environ.get(STEP_TASKS))
        return cls(
            job_id=job_id,
            step_id=environ.get("SLURM_STEP_ID", ""),
            name=environ.get("SLURM_JOB_NAME", ""),
            partition=environ.get("SLURM_JOB_PARTITION", ""),
            cluster=environ.get("SLURM_CLUSTER_NAME", ""),
            array=f"{array}_{environ.get('SLURM_ARRAY_TASK_ID', '')}" if array else "",
            num_restarts=_number(environ.get("SLURM_RESTART_COUNT")) or 0,
            num_tasks=step_tasks or _number(environ.get(JOB_TASKS)) or None,
            step_tasks=step_tasks or None,
            nodes=environ.get("SLURM_JOB_NODELIST", ""),
            gpus=next((environ[name] for name in _GPUS if environ.get(name)), ""),
            end_s=float(end_s) if end_s else None,
        )

    @property
    def name_for_slurm(self) -> str:
        """What Slurm's commands are to be given: of an array its number alone means all cells.

        One cell of each array has that number as its own job's.
        """
        return self.array or self.job_id

    def facts(self) -> dict[str, str]:
        """Return what a run records of its job, the same on every rank; what is empty is left out.

        The step is that of the ranks, or of the launcher that started them.
        """
        found = {
            "slurm_job": self.job_id,
            "slurm_step": self.step_id,
            "slurm_job_name": self.name,
            "slurm_array": self.array,
            "slurm_restarts": str(self.num_restarts),
            "slurm_nodes": self.nodes,
            "slurm_partition": self.partition,
            "slurm_cluster": self.cluster,
        }
        return {name: value for name, value in found.items() if value}

    def time_left_s(self, now_s: float) -> float | None:
        """Return the seconds until the job is ended, None when it has no limit or nobody says.

        Where no variable tells the end it asks ``squeue``, which may take seconds.

        Args:
            now_s: the present, ``time.time()``.
        """
        if self.end_s is not None:
            return max(0.0, self.end_s - now_s)
        return duration_s(_asked(self.name_for_slurm))


def duration_s(text: str) -> float | None:
    """Return the seconds in Slurm's ``[[D-]HH:]MM:SS``; None for UNLIMITED and whatever else."""
    found = _TIME.fullmatch(text.strip())
    if found is None or (found["d"] and not found["h"]):
        return None
    days, hours, minutes, seconds = (int(found[name] or 0) for name in "dhms")
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def call(
    command: Sequence[str], *, limit_s: float, given: str | None = None
) -> tuple[int, str, str]:
    """Run a command; return its exit code, its output and what it complained of, in one line.

    Args:
        command: of Slurm's, or one that ends in one of these.
        limit_s: after which it is ended; the exit code is 124 then.
        given: its input; without one it only asks, and is told to write times as they are read.
    """
    environ = dict(os.environ)
    if given is None:
        environ["SLURM_TIME_FORMAT"] = "standard"
    try:
        done = subprocess.run(
            command,
            input=given or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
            env=environ,
        )
    except FileNotFoundError:
        return NOT_FOUND, "", f"there is no {command[0]} here"
    except (OSError, ValueError) as error:
        return 126, "", f"{command[0]}: {error}"
    except subprocess.TimeoutExpired:
        return 124, "", f"{command[0]} did not answer within {limit_s:g} s"
    return done.returncode, done.stdout, " ".join(done.stderr.split())


def is_job_id(text: str) -> bool:
    """Tell whether a text is the number of a job, of a cell of an array, or of a part of a job."""
    return _JOB.fullmatch(text) is not None


def _asked(job_id: str) -> str:
    code, answer, _ = call(["squeue", "-h", "-j", job_id, "-o", "%L"], limit_s=ASK_LIMIT_S)
    return answer.partition("\n")[0] if code == 0 else ""


def _number(text: str | None) -> int | None:
    """Return a count that a variable holds, None when it holds none."""
    is_count = text is not None and text.isascii() and text.isdecimal() and len(text) < 16
    return int(text) if is_count and text is not None else None
