"""Where a run computes, through real launchers; every GPU of this machine is hidden."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from mpitrain import open_log
from mpitrain.command_line import main
from tests.ranks.launcher import run_launch

SMALL = ("run.steps=12", "data.batch_size=8", "model.kind=softmax")


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_cuda_without_gpu_is_one_line_and_exit_code_2(tmp_path: Path, ranks: int, mpi: str) -> None:
    """Nothing is written, and no rank waits for another."""
    words = ("train", *SMALL, "device.kind=cuda", f"run.directory={tmp_path}/r")
    ended = run_launch(tmp_path, *words, ranks=ranks, mpi=mpi)
    lines = [li for li in (ended.stdout + ended.stderr).splitlines() if "mpitrain: error:" in li]
    assert ended.returncode == 2
    assert len(lines) == 1, ended.stderr
    assert "error: device.kind 'cuda': rank 0 on " in lines[0]
    assert "has no GPU to compute on" in lines[0]
    assert "or choose device.kind=cpu" in lines[0]
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("mpi", "kind"), [("openmpi", "auto"), ("mpich", "auto"), ("openmpi", "cpu")]
)
def test_run_without_gpu_trains_on_the_cpu_and_says_so(tmp_path: Path, mpi: str, kind: str) -> None:
    """In the logs and the run file."""
    root = tmp_path / "r"
    words = ("train", *SMALL, f"device.kind={kind}", f"run.directory={root}")
    ended = run_launch(tmp_path, *words, ranks=3, mpi=mpi)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["steps"] == 12
    for log in open_log(root).lives[0].ranks.values():
        assert log.attributes["device"] == "cpu"
    facts = tomllib.loads((root / "run.toml").read_text())["environment"]
    assert facts["device"] == "cpu"
    assert "cupy" not in facts


def test_other_device_than_recorded_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay and a resumed run of what was trained on a GPU name both devices."""
    root = tmp_path / "r"
    assert run_launch(tmp_path, "train", *SMALL, f"run.directory={root}", ranks=1).returncode == 0
    run_toml = root / "run.toml"
    text = run_toml.read_text()
    assert 'device = "cpu"' in text
    run_toml.write_text(text.replace('device = "cpu"', 'device = "cuda: NVIDIA H100"'))
    said = "environment differs: device cuda: NVIDIA H100 -> cpu; bit-identity is not promised"
    replay = ["replay", str(root), f"run.directory={tmp_path}/replay", "device.kind=cpu"]
    assert main(replay) == 0
    printed = capsys.readouterr()
    assert said in printed.err
    assert json.loads(printed.out.splitlines()[-1])["is_same"] is True
    ended = run_launch(tmp_path, "resume", str(root), "run.steps=24", ranks=1)
    assert ended.returncode == 0, ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize("command", ["replay", "simulate"])
def test_one_process_without_gpu_refuses_cuda(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Like a run on ranks; nothing is written."""
    words = [*SMALL, "simulate.ranks=2"]
    if command == "replay":
        trained = run_launch(tmp_path, "train", *SMALL, f"run.directory={tmp_path}/a", ranks=1)
        assert trained.returncode == 0, trained.stderr
        words = [f"{tmp_path}/a"]
    words += ["device.kind=cuda", f"run.directory={tmp_path}/r"]
    assert main([command, *words]) == 2
    assert "device.kind 'cuda': rank 0 on " in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_slurm_job_with_gpus_does_not_train_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold them idle for hours; device.kind=cpu says that this is meant."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0,1")
    words = ["train", "run.steps=4", "model.kind=softmax", f"run.directory={tmp_path / 'run'}"]
    ended = run_launch(tmp_path, *words, ranks=2)
    assert ended.returncode == 2, ended
    said = [line for line in ended.stderr.splitlines() if line.startswith("mpitrain: error:")]
    assert len(said) == 1
    assert "this Slurm job was given GPUs (0,1), but rank 0 on " in said[0]
    assert not (tmp_path / "run").exists()
    ended = run_launch(tmp_path, *words, "device.kind=cpu", ranks=2)
    assert ended.returncode == 0, ended
