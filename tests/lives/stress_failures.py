"""A rank dies or hangs in each phase of each mode: run by hand.

    python -m tests.lives.stress_failures [LAUNCHER [MODE ...]]

Each case prints how long the job took to end, what it said of the rank, and what it left in the
process table and in /dev/shm; the run is then resumed to its end and its history verified.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from mpitrain.analysis.verify import verify
from mpitrain.segments import mapped_segments
from tests.lives.hooks import ACT
from tests.lives.jobs import Job, descendants, status_of, wait_for_steps

RANKS = 3
LIMIT_S = 3.0
STEPS = 300
PHASES = {
    "bsp": ("read", "compute", "collective", "write", "checkpoint"),
    "ssp": ("wait", "read", "compute", "write", "checkpoint"),
    "asp": ("wait", "read", "compute", "write", "checkpoint"),
}
ACTIONS = ("kill", "stop", "loop", "segv")
SETTINGS = (
    f"run.steps={STEPS}",
    "device.kernels=numpy",  # NumPy is there at once, Numba compiles first
    "model.kind=tests.lives.hooks:acting",
    "model.hidden=[64]",
    "checkpoint.every_steps=60",
    "straggler.kind=constant",
    "straggler.delay=0.01",
    f"mode.limit_s={LIMIT_S:g}",
    "mode.warn_s=1",
)


def one(folder: Path, launcher: str, mode: str, phase: str, action: str) -> tuple[bool, str]:
    """Run one case; return whether all is well, and what was seen."""
    run = folder / "run"
    words = ["train", f"mode.kind={mode}", f"run.directory={run}", *SETTINGS]
    job = Job(folder, launcher, RANKS, words, **{ACT: f"1 {action} {phase}"})
    wait_for_steps(job, run)
    began_s = time.monotonic()
    pids = descendants(job.process.pid)
    shared = {path for pid in pids for path in mapped_segments(pid)}
    code = job.wait(40)
    took_s = time.monotonic() - began_s
    orphans = left_after(pids)
    left = [path for path in shared if path.exists()]
    said = [line for line in job.text().splitlines() if "rank 1" in line and "mpitrain" in line]
    state = status_of(run).get("status")
    again = Job(folder, launcher, RANKS, ["resume", str(run)])
    resumed = again.wait(60)
    report = verify(run)
    is_well = bool(code and not orphans and not left and resumed == 0 and report.ok)
    is_well = is_well and report.rows == STEPS and took_s < LIMIT_S + 6
    facts = (
        f"{took_s:.1f} s, code {code}, status {state}, orphans {orphans}, left {len(left)}, "
        f"resume {resumed}, {report.summary()}"
    )
    text = facts + "".join(f"\n    {line[:250]}" for line in said[-2:])
    if not is_well:
        text += f"\n{job.text()[-600:]}\n{again.text()[-300:]}"
    return is_well, text


def left_after(pids: list[int], limit_s: float = 3.0) -> list[int]:
    """Return which processes are still there, and no zombies, after at most ``limit_s``."""
    until = time.monotonic() + limit_s
    while True:
        left = [pid for pid in pids if _is_alive(pid)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return fields.rpartition(")")[2].split()[0] not in "ZX"


def main(words: list[str]) -> int:
    """Run all cases; print a line for each."""
    launcher, bad = (words or ["launch"])[0], 0
    for mode in words[1:] or PHASES:
        for phase in PHASES[mode]:
            for action in ACTIONS:
                folder = Path(tempfile.mkdtemp(prefix="mpitrain-failures-"))
                is_well, text = one(folder, launcher, mode, phase, action)
                bad += not is_well
                print(f"{'ok ' if is_well else 'BAD'} {mode} {phase} {action}: {text}", flush=True)  # noqa: T201
                shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
