"""What can happen to a job that trains: each scene submits one, lets it happen, and looks after.

The scenes run side by side, as most of their time is Slurm's: a requeued job waits some seconds.
Those that take a node away play on node3, all others on the two other nodes.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ranks.launcher import ROOT, python_of
from tests.slurm.cluster import Cluster

TEMPLATE = str(ROOT / "jobs" / "train.sbatch")
STEPS = 240
RUN = f"""
[run]
steps = {STEPS}
progress_every_s = 30.0
[data]
batch_size = 8
[model]
kind = "softmax"
[mode]
kind = "bsp"
[checkpoint]
every_steps = 20
"""
SLOW = ("straggler.kind=constant", "straggler.delay=0.05")  # 6 s of two ranks
ENDS = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT")
QUIET = ("-N2", "--ntasks-per-node=1", "-wnode1,node2")
ON_NODE3 = ("-N1", "--ntasks-per-node=2", "-wnode3")


@dataclass(frozen=True)
class Scene:
    """A job and what became of it.

    Attributes:
        directory: of the run.
        output: of the job.
        state: of the job at the end.
        restarts: of the job.
        took_s: from what happened to the end.
    """

    directory: Path
    output: str
    state: str
    restarts: int
    took_s: float

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says."""
        return dict(json.loads((self.directory / "status.json").read_text()))

    @property
    def result(self) -> dict[str, Any]:
        """What result.json says."""
        return dict(json.loads((self.directory / "result.json").read_text()))

    @property
    def chain(self) -> list[dict[str, Any]]:
        """The lines of jobs.jsonl; none where nothing was ever written."""
        path = self.directory / "jobs.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def story(self) -> list[tuple[str, str]]:
        """What happened, and why, of each line of jobs.jsonl."""
        return [(line["what"], line["cause"]) for line in self.chain]


class Stage:
    """Submits jobs for scenes."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.run_file = folder / "run.toml"
        self.run_file.write_text(RUN)

    def submit(
        self,
        name: str,
        options: Sequence[str] = QUIET,
        words: Sequence[str] = SLOW,
        *,
        mpi: str = "openmpi",
        env: Mapping[str, str] | None = None,
        run_file: str | None = None,
    ) -> str:
        """Submit a job that trains in ``folder/name``; return its number."""
        more = {"MPITRAIN_PYTHON": str(python_of(mpi)), **(env or {})}
        given = [f"--output={self.folder / name}.out", f"--job-name={name}", *options]
        run = [run_file or str(self.run_file), f"run.directory={self.folder / name}", *words]
        return self.cluster.sbatch(*given, TEMPLATE, *run, cwd=ROOT, env=more)

    def wait_for_life(self, job: str, name: str, life: int) -> None:
        """Wait until a life of the run has begun."""
        self.cluster.wait_for(job, lambda _: self.life(name) >= life, limit_s=90)

    def wait_for_steps(self, job: str, name: str, number: int) -> None:
        """Wait until the run has a checkpoint of so many steps, or more."""
        folder = self.folder / name / "checkpoints"

        def is_there(_: object) -> bool:
            found = [int(p.parent.name[5:]) for p in folder.glob("step-*/complete.json")]
            return max(found, default=-1) >= number

        self.cluster.wait_for(job, is_there, limit_s=90)

    def life(self, name: str) -> int:
        """Return the number of the run's life, -1 before the first."""
        try:
            return int(json.loads((self.folder / name / "status.json").read_text())["life"])
        except (OSError, ValueError):
            return -1

    def end(self, job: str, name: str, since_s: float, limit_s: float = 120) -> Scene:
        """Wait for the end of the job and return what became of it."""
        record = self.cluster.wait_for(job, ENDS, limit_s=limit_s)
        return Scene(
            directory=self.folder / name,
            output=(self.folder / f"{name}.out").read_text(),
            state=record["JobState"],
            restarts=int(record["Restarts"]),
            took_s=time.monotonic() - since_s,
        )

    def play(
        self,
        name: str,
        happens: Callable[[str], object],
        options: Sequence[str] = QUIET,
        *,
        limit_s: float = 120,
    ) -> Scene:
        """Submit a job, let something happen to it in the middle of its steps, and wait."""
        job = self.submit(name, options)
        self.wait_for_steps(job, name, 60)
        began_s = time.monotonic()
        happens(job)
        return self.end(job, name, began_s, limit_s)

    # --- what happens

    def signal_to_shell(self) -> Scene:
        """USR1 to the job script, as Slurm sends it before the time limit."""
        return self.play("shell", lambda job: self.cluster.scancel("-b", "-sUSR1", job))

    def signal_to_ranks(self) -> Scene:
        """USR1 to the ranks."""
        return self.play("ranks", lambda job: self.cluster.scancel("-sUSR1", job))

    def requeue(self) -> Scene:
        """Somebody requeues the job."""
        return self.play("requeue", self.cluster.requeue)

    def cancel(self) -> Scene:
        """Somebody ends the job."""
        return self.play("cancel", self.cluster.scancel)

    def kill_rank(self) -> Scene:
        """A rank is killed."""
        return self.play("kill", lambda _: os.kill(self.ranks_of("kill")[-1], signal.SIGKILL))

    def preempt(self) -> Scene:
        """A job of higher rank needs the node."""

        def happens(_: str) -> None:
            urgent = ["-purgent", "--exclusive", "-wnode3", "--wrap=sleep 1"]
            self.cluster.sbatch(*urgent, cwd=self.folder)

        return self.play("preempt", happens, ON_NODE3)

    def set_down(self) -> Scene:
        """The administrator sets the node down, and later up again."""

        def happens(job: str) -> None:
            self.cluster.set_down("node3")
            self.cluster.wait_for(job, lambda record: record["Restarts"] == "1")
            self.cluster.resume("node3")

        return self.play("down", happens, ON_NODE3)

    def cut(self) -> Scene:
        """The node's power is cut, and later it comes back."""

        def happens(job: str) -> None:
            self.cluster.cut("node3")
            self.cluster.wait_for(job, lambda record: record["Restarts"] == "1", limit_s=90)
            self.cluster.restore("node3")

        return self.play("cut", happens, ON_NODE3)

    def time_limit(self) -> Scene:
        """The time limit is shorter than the run; Slurm sends the signal."""
        options = [*QUIET, "--time=1", "--signal=B:USR1@50"]
        began_s = time.monotonic()
        slow = ["straggler.kind=constant", "straggler.delay=0.35", "run.stop_before_limit_s=none"]
        return self.end(self.submit("limit", options, slow), "limit", began_s, 240)

    def deadline(self) -> Scene:
        """The time limit is shorter than the run, and no signal comes."""
        options = [*QUIET, "--time=1", "--signal=B:USR1@1"]
        began_s = time.monotonic()
        slow = ["straggler.kind=constant", "straggler.delay=0.35"]
        return self.end(self.submit("deadline", options, slow), "deadline", began_s, 240)

    def ranks_of(self, name: str) -> list[int]:
        """Return the processes of the ranks of a run."""
        place = f"run.directory={self.folder / name}"
        found = []
        for process in Path("/proc").iterdir():
            try:
                words = (process / "cmdline").read_bytes().decode().split("\0")
                environ = (process / "environ").read_bytes().decode(errors="replace")
            except (OSError, ValueError):
                continue
            if place in words and "python" in words[0] and "SLURM_STEP_NUM_TASKS" in environ:
                found.append(int(process.name))
        return found
