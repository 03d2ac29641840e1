"""Killed at any moment, a run finds its newest complete checkpoint, and finds it whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mpitrain.storage.checkpoint_file import CheckpointFile
from mpitrain.storage.checkpoints import Checkpoints

PHASES = ["temporary", "data", "fsync", "rename", "completion", "pruning"]
PART_BYTES = 400_000

# Writes checkpoint after checkpoint of two ranks, keeps two, and says what it has done. Killed in
# the given phase when it comes for the given time.
PROGRAM = """
import os, signal, sys
import numpy as np
from pathlib import Path
from mpitrain.storage import durable
from mpitrain.storage.checkpoint_file import write_checkpoint_file
from mpitrain.storage.checkpoints import Checkpoints

folder, phase, left = Checkpoints(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])

def reached(now):
    global left
    left -= now == phase
    if now == phase and left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

durable.reached = reached
folder.clear_debris()
newest = folder.newest()
life, steps = (0, 0) if newest is None else (newest.life + 1, newest.steps)
while True:
    steps += 1
    path = folder.begin(steps)
    files = {}
    for name in ("state.h5", "rank-00000.h5", "rank-00001.h5"):
        arrays = {"parameters/w": np.full(100_000, steps, np.float32)}
        files[name] = write_checkpoint_file(path / name, {"steps": steps}, arrays)
    folder.mark_complete(steps, life, files, {"metric": float(-steps)})
    print("complete", steps, flush=True)
    folder.prune(2)
    print("pruned", steps, flush=True)
"""


def check_whole(folder: Path, said: list[str]) -> int:
    """Check that the newest checkpoint is whole and not older than what was said; return steps."""
    checkpoints = Checkpoints(folder)
    assert checkpoints.refused() == []
    newest = checkpoints.newest()
    last = max((int(line.split()[1]) for line in said), default=0)
    if newest is None:
        assert last == 0
        return 0
    assert newest.steps in (last, last + 1)
    for checkpoint in checkpoints.complete():
        checkpoints.check(checkpoint)
    for name, written in newest.files.items():
        with CheckpointFile(newest.path / name, written) as file:
            values = file.read("parameters/w", most_bytes=PART_BYTES)
            np.testing.assert_array_equal(values, np.full(100_000, newest.steps, np.float32))
    return newest.steps


@pytest.mark.parametrize("phase", PHASES)
def test_killed_in_any_phase_the_newest_complete_checkpoint_is_whole(
    tmp_path: Path, phase: str
) -> None:
    """Each phase, the first time it comes and later, each life going on from what the last left."""
    reached = 0
    for time_of_phase in (1, 2, 3, 7, 12):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), phase, str(time_of_phase)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        reached = check_whole(tmp_path, ended.stdout.splitlines() or [f"complete {reached}"])
    left = [path.name for path in tmp_path.iterdir() if not (path / "complete.json").exists()]
    assert len(left) <= 1
    Checkpoints(tmp_path).clear_debris()
    assert len(list(tmp_path.iterdir())) == len(Checkpoints(tmp_path).complete()) <= 3


def test_killed_at_random_moments_the_newest_complete_checkpoint_is_whole(tmp_path: Path) -> None:
    """From outside, while it writes as fast as it can."""
    source = random.Random(0)
    reached = 0
    for _ in range(12):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), "none", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            first = running.stdout.readline()
            time.sleep(source.random() * 0.1)
            running.kill()
            said = [first, *running.stdout.read().splitlines(keepends=True)]
        whole = [line for line in said if line.endswith("\n")]
        now = check_whole(tmp_path, whole)
        assert now > reached
        reached = now
