"""Jobs that are requeued many times in a row, and signals at random moments, on a real Slurm.

    python -m tests.slurm.stress_jobs requeues --times 10
    python -m tests.slurm.stress_jobs signals --times 20 --mode ssp

Too long for every run of the tests. One line for each job; exit code 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from mpitrain.analysis.verify import verify
from tests.slurm.cluster import Cluster
from tests.slurm.scenes import SLOW, STEPS, Scene, Stage

TWO_BY_TWO = ("-N2", "--ntasks-per-node=2")
MOST_START_S = 3.0  # from the first line of the job to the first step, about


def tell(what: str, trouble: str) -> None:
    """Say what was done and whether it went well."""
    sys.stdout.write(f"{what}: {trouble or 'good'}\n")
    sys.stdout.flush()


def trouble_of(scene: Scene, life: int | None = None) -> str:
    """Return what is wrong with a job that had to end by itself; empty where nothing is."""
    if scene.state != "COMPLETED":
        return f"the job ended as {scene.state}"
    if scene.result["steps"] != STEPS:
        return f"{scene.result['steps']} steps instead of {STEPS}"
    if life is not None and scene.result["life"] != life:
        return f"life {scene.result['life']} instead of {life}"
    report = verify(scene.directory)
    return "" if report.ok else f"verify: {report.findings[0]}"


def requeues(stage: Stage, mode: str, times: int) -> bool:
    """Signal one job in each of its lives after some steps, many times; then let it end."""
    words = ["straggler.kind=constant", "straggler.delay=0.3", f"mode.kind={mode}"]
    words += ["checkpoint.every_steps=1000"]
    began_s = time.monotonic()
    job = stage.submit("requeues", TWO_BY_TWO, words)
    for life in range(times):
        stage.wait_for_life(job, "requeues", life)
        time.sleep(0.3)
        stage.cluster.scancel("-b", "-sUSR1", job)
        stage.cluster.wait_for(
            job, lambda record, life=life: int(record["Restarts"]) > life, limit_s=60
        )
    scene = stage.end(job, "requeues", began_s, 240)
    steps = [line["steps"] for line in scene.chain]
    trouble = trouble_of(scene, times)
    tell(f"{mode}: {scene.restarts} requeues in {scene.took_s:.0f} s, stops at {steps}", trouble)
    return not trouble


def signals(stage: Stage, mode: str, times: int, seed: int) -> bool:
    """Signal the script or the ranks of many jobs, each at a random moment."""
    rng, num_bad = random.Random(seed), 0
    for number in range(times):
        name = f"signal-{number}"
        at_s, to_shell = rng.uniform(0, MOST_START_S + 3), rng.random() < 0.5
        extra = ["run.evaluate_every=40", "checkpoint.every_steps=40"]
        began_s = time.monotonic()
        job = stage.submit(name, TWO_BY_TWO, [*SLOW, f"mode.kind={mode}", *extra])
        stage.cluster.wait_for(job, "RUNNING", limit_s=60)
        time.sleep(at_s)
        stage.cluster.run("scancel", *(["-b"] if to_shell else []), "-sUSR1", job, limit_s=20)
        scene = stage.end(job, name, began_s, 180)
        trouble = trouble_of(scene)
        num_bad += bool(trouble)
        to, told = "script" if to_shell else "ranks", [line["outcome"] for line in scene.chain]
        tell(f"{mode}: {at_s:.2f} s after the start, to the {to}: {told}", trouble)
        if trouble:
            tell(scene.output, trouble)
    return not num_bad


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("requeues", "signals"))
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--mode", choices=("bsp", "ssp", "asp"), default="bsp")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Cluster() as cluster:
        stage = Stage(cluster, Path(folder))
        if options.what == "requeues":
            is_good = requeues(stage, options.mode, options.times)
        else:
            is_good = signals(stage, options.mode, options.times, options.seed)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
