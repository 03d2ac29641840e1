"""Disks that are full, gone or slow: one line, the last good checkpoint kept, then on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpitrain.analysis.verify import verify
from tests.lives.hooks import SLOW
from tests.lives.jobs import Job, status_of, wait_for_steps

RUN = ("mode.kind=ssp", "run.data_passes=200", "log.flush_every_s=0.5")
FULL_LOG = ("model.kind=softmax", "checkpoint.every_steps=100", "checkpoint.keep=1")
FULL_CHECKPOINT = ("model.hidden=[256]", "checkpoint.every_steps=50", "checkpoint.keep=99")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of its own; ``resize`` gives it room."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def resize(disk: Path, size: str) -> None:
    """Make the disk larger or smaller."""
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


@pytest.mark.parametrize(("size", "settings"), [("620k", FULL_LOG), ("2m", FULL_CHECKPOINT)])
def test_full_disk_ends_a_run_with_one_line_and_it_goes_on(
    tmp_path: Path, small_disk: Path, size: str, settings: tuple[str, ...]
) -> None:
    """The line names file and reason; with room again the run is resumed to its end."""
    resize(small_disk, size)
    run = small_disk / "run"
    job = Job(tmp_path, "launch", 2, ["train", *RUN, *settings, f"run.directory={run}"])
    assert job.wait() == 1, job.text()
    errors = [line for line in job.text().splitlines() if "mpitrain: error" in line]
    assert len(errors) == 1, job.text()
    assert "no space left on device" in errors[0]
    assert "the newest good checkpoint is step-" in errors[0]
    resize(small_disk, "100m")
    again = Job(tmp_path, "launch", 2, ["resume", str(run)])
    assert again.wait() == 0, again.text()
    report = verify(run)
    assert report.ok, report
    assert report.rows == 9000


def test_full_disk_is_said_once_when_training_is_to_go_on(tmp_path: Path, small_disk: Path) -> None:
    """Checkpoints that fail leave nothing behind; training ends well."""
    resize(small_disk, "2m")
    run = small_disk / "run"
    go_on = ("checkpoint.on_error=continue", "log.on_error=continue", "run.data_passes=60")
    words = ["train", *RUN, *FULL_CHECKPOINT, *go_on, f"run.directory={run}"]
    job = Job(tmp_path, "launch", 2, words)
    assert job.wait() == 0, job.text()
    assert job.text().count("training goes on (checkpoint.on_error)") == 1, job.text()
    assert status_of(run)["status"] == "done"
    folders = list((run / "checkpoints").iterdir())
    assert all((folder / "complete.json").exists() for folder in folders)


def test_run_directory_that_is_gone_ends_a_run(tmp_path: Path) -> None:
    """One line, not a traceback."""
    run = tmp_path / "run"
    slow = ("straggler.kind=constant", "straggler.delay=0.003", "checkpoint.every_steps=200")
    job = Job(tmp_path, "launch", 2, ["train", *RUN, *slow, f"run.directory={run}"])
    wait_for_steps(job, run)
    shutil.rmtree(run, ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)
    assert job.wait() == 1, job.text()
    assert "no such file or directory" in job.text()
    assert "Traceback" not in job.text()


def test_slow_disk_holds_up_the_next_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    """A checkpoint takes rank 0 longer than mode.limit_s: the others wait for it all the same."""
    run = tmp_path / "run"
    words = ["train", "mode.kind=asp", "run.steps=400", "model.kind=tests.lives.hooks:slow_disk"]
    words += ["checkpoint.every_steps=200", "checkpoint.keep=9", "mode.warn_s=1", "mode.limit_s=4"]
    job = Job(tmp_path, "launch", 2, [*words, f"run.directory={run}"], **{SLOW: "1.6"})
    assert job.wait() == 0, job.text()
    assert verify(run).ok
    assert len(list(run.glob("checkpoints/*/complete.json"))) == 3
