"""Slurm's client commands, for tests: submit, ask, wait and say what happened instead."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from mpitrain.launch_environment import ROOT_DEFAULTS
from tests.ranks.launcher import ROOT, run
from tests.slurm.needs import PATH

Record = dict[str, str]
# a job must not take over what pytest was started with
FOREIGN = ("SLURM", "SBATCH_", "SALLOC_", "OMPI_", "PRTE_", "PMIX_", "PMI_", "MPICH_", "HYDRA_")
ASK_LIMIT_S = 20.0
TAIL = 3000  # characters of each file in a report


class Client:
    """One cluster as its users see it.

    Attributes:
        folder: of the cluster.
        environ: for client commands and jobs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: text for name, text in os.environ.items() if not name.startswith(FOREIGN)}
        self.environ = {
            **kept,
            "PATH": PATH,
            "SLURM_CONF": str(folder / "slurm.conf"),
            # nodes claim more cores than the machine has
            "PRTE_MCA_hwloc_default_binding_policy": "none",
            **(ROOT_DEFAULTS if os.geteuid() == 0 else {}),
        }

    def run(
        self, *words: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None, limit_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the cluster would; see ``tests.ranks.launcher.run``."""
        return run(words, cwd=cwd, timeout=limit_s, environ={**self.environ, **(env or {})})

    def ask(self, *words: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
        """Return what a short command prints; it must succeed."""
        ended = self.run(*words, cwd=cwd, env=env, limit_s=ASK_LIMIT_S)
        assert ended.returncode == 0, f"{' '.join(words)}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def sbatch(self, *words: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
        """Submit a job from ``cwd`` and return its number."""
        return self.ask("sbatch", "--parsable", *words, cwd=cwd, env=env).strip().split(";")[0]

    def srun(
        self,
        *words: str,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        limit_s: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on nodes and return how it ended."""
        return self.run("srun", *words, cwd=cwd, env=env, limit_s=limit_s)

    def scancel(self, *words: str) -> None:
        """Cancel or signal jobs."""
        self.ask("scancel", *words)

    def requeue(self, job_id: str) -> None:
        """Put a job back into the queue."""
        self.ask("scontrol", "requeue", job_id)

    def job(self, job_id: str) -> Record:
        """Return what Slurm knows of a job: "JobState", "Restarts", "NodeList", ..."""
        return _record(self.ask("scontrol", "-o", "show", "job", job_id))

    def node_states(self) -> Record:
        """Return the state of each node, as "idle"; with "*" behind it when it does not answer."""
        lines = self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines()
        return dict(line.split() for line in lines)

    def wait_for(
        self,
        job_id: str,
        wanted: str | Collection[str] | Callable[[Record], bool],
        *,
        limit_s: float = 30,
    ) -> Record:
        """Wait until a job is in one of some states, or its record is as wanted; return the record.

        Raises:
            AssertionError: it was not so within ``limit_s`` seconds; shows records, output, logs.
        """
        states = {wanted} if isinstance(wanted, str) else wanted
        until = time.monotonic() + limit_s
        while True:
            found = self.job(job_id)
            if states(found) if callable(states) else found["JobState"] in states:
                return found
            if time.monotonic() > until:
                asked = "what was wanted" if callable(states) else " or ".join(sorted(states))
                message = f"not {asked} after {limit_s} s\n{self.report(job_id)}"
                raise AssertionError(message)
            time.sleep(0.1)

    def wait_for_nodes(
        self, wanted: Callable[[str], bool], *nodes: str, limit_s: float = 60
    ) -> None:
        """Wait until the state of each of ``nodes`` is as wanted.

        Raises:
            AssertionError: it was not so within ``limit_s`` seconds; shows states and logs.
        """
        until = time.monotonic() + limit_s
        while True:
            states = self.node_states()
            if all(wanted(states.get(node, "unknown")) for node in nodes):
                return
            if time.monotonic() > until:
                message = f"nodes after {limit_s} s: {states}\n{self.report()}"
                raise AssertionError(message)
            time.sleep(0.1)

    def report(self, job_id: str = "") -> str:
        """Return all that tells what a job and the daemons did: record, output, ends of logs."""
        found = self.job(job_id) if job_id else {}
        record = "".join(f"  {name}={text}\n" for name, text in found.items())
        outputs = {Path(found[name]) for name in ("StdOut", "StdErr") if name in found}
        files = [*sorted(outputs), *sorted(self.folder.glob("log/*"))]
        return record + "".join(f"--- {path}\n{_tail(path)}\n" for path in files)


def _record(line: str) -> Record:
    """Read ``A=1 B=two words C=3``."""
    found: Record = {}
    name = ""
    for word in line.split():
        head, equals, text = word.partition("=")
        if equals and head[:1].isupper():
            name = head
            found[name] = text
        elif name:
            found[name] += f" {word}"
    return found


def _tail(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-TAIL:]
    except OSError as error:
        return str(error)
