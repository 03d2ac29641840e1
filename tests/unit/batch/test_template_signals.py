"""Signals to the job templates at moments that no real Slurm can be asked for, with fakes beside.

The fake Python writes down what it is asked; before the first word that a test names, it sends the
job's shell a signal. The fake srun runs until it gets USR1 and ends with 3.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

JOBS = Path(__file__).resolve().parents[3] / "jobs"
LIMIT_S = 60.0
PYTHON = """\
#!/bin/bash
echo "$*" >> "$FAKES/log"
if [[ " $* " == *" $SIGNAL_AT "* ]]; then
    until [ -s "$FAKES/pid" ]; do sleep 0.01; done
    kill -USR1 "$(<"$FAKES/pid")"
fi
case " $* " in
    *" cells "*) echo run.directory=r ;;
    *" mpitrain.mpiexec "*) echo pmix ;;
    *" requeue "*) exit 3 ;;
esac
"""
SRUN = """\
#!/bin/bash
trap 'echo srun was told >> "$FAKES/log"; exit 3' USR1
echo srun runs >> "$FAKES/log"
for _ in {1..1000}; do sleep 0.05; done
"""


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """Return a folder with a fake python and srun."""
    for name, text in {"python": PYTHON, "srun": SRUN}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "log").touch()
    return tmp_path


def begin(
    fakes: Path, *words: str, signal_at: str = "nowhere", **more: str
) -> subprocess.Popen[str]:
    """Start a template as the script of a job of two tasks."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "MPITRAIN_"))}
    job = {
        "PATH": f"{fakes}:{os.environ['PATH']}",
        "FAKES": str(fakes),
        "SIGNAL_AT": signal_at,
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "x",
        "SLURM_JOB_NODELIST": "node1",
        "SLURM_ARRAY_TASK_ID": "0",
        "SLURM_NTASKS": "2",
        "MPITRAIN_JOBS": str(JOBS),
        "MPITRAIN_PYTHON": str(fakes / "python"),
    }
    script = subprocess.Popen(
        ["bash", *words], cwd=fakes, env={**kept, **job, **more}, stderr=subprocess.PIPE, text=True
    )
    (fakes / "pid").write_text(str(script.pid))
    return script


def ended(script: subprocess.Popen[str]) -> tuple[int, str]:
    """Return exit code and errors of a template."""
    try:
        said = script.communicate(timeout=LIMIT_S)[1]
    finally:
        script.kill()
    return script.returncode, said


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        (("train.sbatch", "run.toml", "run.directory=r"), "--version"),
        (("train.sbatch", "run.toml", "run.directory=r"), "mpitrain.mpiexec"),
        (("sweep.sbatch", "run.toml", "cells.txt"), "cells"),
        (("sweep.sbatch", "run.toml", "cells.txt"), "--version"),
    ],
)
def test_signal_before_there_are_ranks_lets_none_begin(
    fakes: Path, words: tuple[str, ...], moment: str
) -> None:
    """And the job is requeued for its sake; a cell of a sweep does not die of it either."""
    code, said = ended(begin(fakes, str(JOBS / words[0]), *words[1:], signal_at=moment))
    log = (fakes / "log").read_text()
    assert code == 3, said
    assert "srun runs" not in log
    assert "requeue r --exit-code 0 --signal USR1 " in log


def test_signal_reaches_the_ranks_although_others_get_one_too(fakes: Path) -> None:
    """Slurm may signal all processes of a script; its pause is one of them."""
    script = begin(fakes, str(JOBS / "train.sbatch"), "run.toml", "run.directory=r")
    wait_until(lambda: "srun runs" in (fakes / "log").read_text())
    os.kill(script.pid, signal.SIGUSR1)
    children = Path(f"/proc/{script.pid}/task/{script.pid}/children")

    def is_told() -> bool:
        return "srun was told" in (fakes / "log").read_text()

    def kill_pause() -> bool:
        for pid in map(int, children.read_text().split()):
            if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                os.kill(pid, signal.SIGTERM)
                return True
        return False

    with suppress(OSError):  # the pause, or all of it, may be over on a busy machine
        wait_until(lambda: kill_pause() or is_told())
    code, said = ended(script)
    log = (fakes / "log").read_text()
    assert code == 3, said
    assert "srun was told" in log
    assert "requeue r --exit-code 3 --signal USR1 " in log


def test_more_ranks_than_tasks_are_refused_in_one_line(fakes: Path) -> None:
    """Slurm would refuse the step, and the job would try again and again."""
    words = (str(JOBS / "train.sbatch"), "run.toml", "run.directory=r")
    code, said = ended(begin(fakes, *words, MPITRAIN_RANKS="3"))
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("mpitrain: error: MPITRAIN_RANKS is 3, but this job has 2 tasks; ")
