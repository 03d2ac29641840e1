"""What Slurm's variables and squeue say about a job."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpitrain.slurm import Slurm, duration_s


def squeue(folder: Path, body: str) -> None:
    """Make a squeue that runs ``body``."""
    folder.mkdir(exist_ok=True)
    (folder / "squeue").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "squeue").chmod(0o755)


def job(**more: str) -> Slurm:
    """Return a job as its variables tell it."""
    found = Slurm.from_environ({"SLURM_JOB_ID": "77", **more})
    assert found is not None
    return found


def test_outside_slurm_there_is_no_job() -> None:
    """No variables, or an empty one."""
    assert Slurm.from_environ({"PATH": "/bin"}) is None
    assert Slurm.from_environ({"SLURM_JOB_ID": ""}) is None


def test_variables_are_read() -> None:
    """Those of a step count before those of the job."""
    found = job(
        SLURM_RESTART_COUNT="2",
        SLURM_NTASKS="8",
        SLURM_STEP_NUM_TASKS="4",
        SLURM_JOB_NODELIST="node[1-2]",
        SLURM_JOB_END_TIME="1000",
    )
    assert (found.job_id, found.num_restarts, found.num_tasks) == ("77", 2, 4)
    assert (found.nodes, found.end_s) == ("node[1-2]", 1000.0)
    assert found.time_left_s(400.5) == 599.5
    assert found.time_left_s(2000) == 0.0


def test_a_cell_of_an_array_is_named_so_that_it_is_alone() -> None:
    """One cell has the number of the array, which stands for all of them."""
    cell = job(SLURM_ARRAY_JOB_ID="77", SLURM_ARRAY_TASK_ID="5")
    assert (cell.job_id, cell.name_for_slurm) == ("77", "77_5")
    assert job().name_for_slurm == "77"


def test_first_life_has_no_restarts_and_garbage_is_not_a_number() -> None:
    """The restart count is not set before the first requeue."""
    found = job(SLURM_NTASKS="4(x2)", SLURM_RESTART_COUNT="-1", SLURM_JOB_END_TIME="soon")
    assert (found.num_restarts, found.num_tasks, found.end_s) == (0, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5:00", 300),
        ("00:07", 7),
        ("1:02:03", 3723),
        ("23:59:59\n", 86399),
        ("2-03:04:05", 183845),
        ("365-00:00:00", 31536000),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("INVALID", None),
        ("", None),
        ("12", None),
        ("1-02:03", None),
        ("-5:00", None),
        ("٣:00", None),
        ("9" * 50 + ":00", None),
    ],
)
def test_durations_as_slurm_writes_them(text: str, seconds: float | None) -> None:
    """What has no end, or no meaning, is None."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('[ "$*" = "-h -j 77 -o %L" ] && echo 1-00:00:10', 86410),
        ("echo UNLIMITED", None),
        ("echo 5:00; exit 1", None),
        ("echo 'slurm_load_jobs error' >&2; exit 1", None),
        ("exit 0", None),
    ],
)
def test_older_slurm_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, seconds: float | None
) -> None:
    """With the words that squeue understands; a failing one gives None."""
    squeue(tmp_path / "bin", body)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert job().time_left_s(0.0) == seconds


def test_squeue_that_is_missing_or_hangs_gives_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy scheduler does not stop a run."""
    monkeypatch.setattr("mpitrain.slurm.ASK_LIMIT_S", 0.2)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert job().time_left_s(0.0) is None
    squeue(tmp_path / "bin", "exec /bin/sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert job().time_left_s(0.0) is None
