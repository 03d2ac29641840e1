"""Kills while checkpoints of more than 100 MiB are written, and at random moments: run by hand.

    python -m tests.lives.stress_kills [PHASE_REPEATS [RANDOM_REPEATS [MODE ...]]]

After each kill the newest complete checkpoint must have the right checksums, the run must go on
from it, the whole history must prove itself, and in bsp end with the bits of a run that nobody
killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from mpitrain.analysis.verify import verify
from mpitrain.core.errors import UserError
from mpitrain.environment import limit_blas_threads
from mpitrain.replaying.session import replay_run
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.reading import open_log
from mpitrain.storage.run_directory import read_json
from tests.lives.hooks import KILL
from tests.lives.jobs import Job, descendants, ranks_of, wait_for_steps

RANKS = 3
PHASES = ("temporary", "data", "fsync", "rename", "completion", "pruning")
STEPS = 72
NOT_KILLED = "not killed: it was done before"
LARGE = "model.hidden=[4096,2048]"
SETTINGS = (
    f"run.steps={STEPS}",
    "device.kernels=numpy",  # NumPy is there at once, Numba compiles first
    "run.progress_every_s=60",
    "data.batch_size=4",
    "model.kind=tests.lives.hooks:killed_while_writing",
    "optimizer.kind=adam",
    "optimizer.rate=0.0001",
    "checkpoint.every_steps=18",
    "checkpoint.keep=1",
    "log.flush_every_s=0.5",
)


def start(folder: Path, mode: str, size: str = LARGE, **environ: str) -> Job:
    """Start the run."""
    words = ["train", f"mode.kind={mode}", f"run.directory={folder / 'run'}", *SETTINGS, size]
    return Job(folder, "mpirun", RANKS, words, **environ)


def judge(folder: Path, expected: str | None) -> str:
    """Check what a killed job left, resume it, check again; return what is wrong, or nothing."""
    run = folder / "run"
    checkpoints = Checkpoints(run / "checkpoints")
    newest = checkpoints.newest()
    if newest is not None:  # else it was killed while the first one was written
        checkpoints.check(newest)
    if checkpoints.refused():
        return f"refused: {checkpoints.refused()}"
    fault = replayed(run, folder / "killed-replay")
    if fault:
        return f"the replay of the killed run: {fault}"
    again = Job(folder, "mpirun", RANKS, ["resume", str(run)])
    code = again.wait(120)
    report = verify(run)
    result = read_json(run / "result.json") or {}
    if code or not report.ok or report.rows != STEPS:
        return f"{code} {report.summary()} {report.findings[:1]} {again.text()[-1500:]}"
    if expected is not None and result["parameters_sha256"] != expected:
        return "other parameters than without the kill"
    return replayed(run, folder / "whole-replay")


def replayed(run: Path, place: Path) -> str:
    """Replay what the logs hold; return what is wrong, or nothing."""
    limit_blas_threads(1)  # as the ranks did
    try:
        found = replay_run(run, {"run.directory": str(place)})
    except UserError as error:
        is_too_early = "no step that is whole" in str(error) and least_rows(run) == 0
        return "" if is_too_early else str(error)
    report = verify(place)
    return "" if found.is_same and report.ok else f"{found.lines} {report.findings[:1]}"


def least_rows(run: Path) -> int:
    """Return the rows of the rank that has fewest of them in the newest life."""
    return min((log.num_rows for log in open_log(run).lives[-1].ranks.values()), default=0)


def at_phase(folder: Path, mode: str, rank: int, phase: str, count: int, size: str = LARGE) -> str:
    """Kill one rank at a phase."""
    job = start(folder, mode, size, **{KILL: f"{rank} {phase} {count}"})
    code = job.wait(120)
    return NOT_KILLED if code == 0 else ""


def at_random(folder: Path, mode: str, chosen: random.Random) -> str:
    """Kill one rank, or all of them, at some moment after the first checkpoint."""
    job = start(folder, mode)
    wait_for_steps(job, folder / "run", 60)
    time.sleep(chosen.uniform(0.0, 4.0))
    pids = ranks_of(job)
    victims = chosen.choice([[pid] for pid in pids.values()] + [descendants(job.process.pid)])
    for pid in victims if pids else []:
        try:
            signal_kill(pid)
        except ProcessLookupError:
            continue
    return NOT_KILLED if job.wait(120) == 0 else ""


def signal_kill(pid: int) -> None:
    """Send SIGKILL."""
    os.kill(pid, signal.SIGKILL)


def main(words: list[str]) -> int:
    """Run all; print a line per case."""
    num_phase, num_random = (int(word) for word in (words + ["5", "20"][len(words) :])[:2])
    chosen, bad = random.Random(11), 0
    for mode in words[2:] or ("bsp", "ssp", "asp"):
        expected = None
        if mode == "bsp":
            folder = Path(tempfile.mkdtemp(prefix="mpitrain-kills-"))
            start(folder, mode).wait(120)
            expected = (read_json(folder / "run" / "result.json") or {})["parameters_sha256"]
            shutil.rmtree(folder)
        cases = [(phase, n) for phase in PHASES for n in range(num_phase)]
        cases += [("random", n) for n in range(num_random)]
        for phase, _n in cases:
            folder = Path(tempfile.mkdtemp(prefix="mpitrain-kills-"))
            # rank 0 alone marks and prunes; the first files of the run are not killed here
            rank = 0 if phase in ("completion", "pruning") else chosen.randrange(RANKS)
            count = chosen.randint(2, 3) if phase == "completion" else 1
            if phase not in ("completion", "pruning"):
                count = chosen.randint(*((7, 12) if rank == 0 else (2, 4)))
            if phase == "random":
                fault = at_random(folder, mode, chosen)
                while fault == NOT_KILLED:  # it came too late: another moment
                    shutil.rmtree(folder)
                    fault = at_random(folder, mode, chosen)
            else:
                fault = at_phase(folder, mode, rank, phase, count)
            fault = fault or judge(folder, expected)
            bad += bool(fault)
            print(f"{mode} {phase} rank {rank} count {count}: {fault or 'ok'}", flush=True)  # noqa: T201
            shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
