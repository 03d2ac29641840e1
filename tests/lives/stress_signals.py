"""Signals at random moments, through every launcher, in every mode: run by hand, many times.

    python -m tests.lives.stress_signals [REPEATS] [LAUNCHER ...]

Each job gets its signal between 0.2 and 4 s after its start (before, Python itself is starting, and
nothing can be lost): while Python and MPI start, in the
bounded wait, in a collective, in an evaluation, while a checkpoint is written. What is stopped is
resumed with another signal or to its end, and the whole history is verified.
"""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from mpitrain.analysis.verify import verify
from tests.lives.jobs import LAUNCHERS, Job, status_of

RANKS = 3
BEFORE = "ended before it began"
EARLIEST_S, LATEST_S = 0.2, 4.0
STEPS = 2400
SETTINGS = (
    f"run.steps={STEPS}",
    "device.kernels=numpy",  # NumPy is there at once, Numba compiles first
    "run.evaluate_every=100",
    "checkpoint.every_steps=150",
    "data.source=synthetic",
    "data.num_test=20000",
    "model.hidden=[256,256]",
    "straggler.kind=exponential",
    "straggler.delay=0.004",
)


def one(folder: Path, launcher: str, mode: str, at_s: float) -> str:
    """Stop one run once; resume it to the end; return how it went."""
    run = folder / "run"
    words = ["train", f"mode.kind={mode}", f"run.directory={run}", *SETTINGS]
    job = Job(folder, launcher, RANKS, words)
    time.sleep(at_s)
    job.signal(signal.SIGUSR1)
    sent_s = time.monotonic()
    code = job.wait()
    took_s = time.monotonic() - sent_s
    state = status_of(run).get("status", "nothing yet")
    outcome = f"{code} {state}"
    if state == "nothing yet" and not launcher.startswith("launch"):
        return BEFORE  # another's launcher passed it on before Python was there to hear it
    if outcome not in ("0 done", "3 stopped"):
        return f"{outcome} at {at_s:.2f} s: {job.text()[-1500:]}"
    report = verify(run)
    if not report.ok:
        return f"{outcome}, verify: {report.findings[0]}"
    if code == 3:
        stopped = job.text().count("stopped at step")
        steps = int(job.text().split("stopped at step ")[1].split()[0])
        if stopped != 1 or report.rows != steps:
            return f"{stopped} lines say stopped; {report.rows} rows on the timeline, {steps} steps"
        again = Job(folder, launcher, RANKS, ["resume", str(run)])
        code = again.wait()
        report = verify(run)
        if code or not report.ok or report.rows != STEPS:
            return f"resume: {code}, {report.summary()}: {again.text()[-1500:]}"
    elif report.rows != STEPS:
        return f"{outcome}, but {report.rows} rows"
    return outcome if took_s < 10 else f"{outcome}, but after {took_s:.1f} s"


def main(words: list[str]) -> int:
    """Run all; print a table of outcomes."""
    repeats = int(words[0]) if words else 30
    chosen = random.Random(7)
    bad = 0
    for launcher in words[1:] or LAUNCHERS:
        for mode in ("bsp", "ssp", "asp"):
            outcomes: Counter[str] = Counter()
            for _ in range(repeats):
                folder = Path(tempfile.mkdtemp(prefix="mpitrain-signals-"))
                outcome = one(folder, launcher, mode, chosen.uniform(EARLIEST_S, LATEST_S))
                outcomes[outcome] += 1
                if outcome in (BEFORE, "0 done", "3 stopped"):
                    shutil.rmtree(folder)
                else:
                    bad += 1
                    print(f"{folder}: {outcome}", flush=True)  # noqa: T201
            print(f"{launcher} {mode}: {dict(outcomes)}", flush=True)  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
