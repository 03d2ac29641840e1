"""``--hosts`` and Slurm: what is started where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.command_line import main
from mpitrain.core.errors import UserError
from mpitrain.launch import refuse_inside_step, srun_line
from mpitrain.launch_hosts import host_words, num_slots, parsed_hosts
from mpitrain.mpiexec import MPICH, OPENMPI


def test_hosts_are_put_as_each_mpi_wants_them() -> None:
    """Slots are the ranks of a host, one where no number is given."""
    hosts = parsed_hosts("node-1.a:2,b")
    assert (list(hosts), num_slots(hosts)) == ([("node-1.a", 2), ("b", 1)], 3)
    environ = {
        "OMP_NUM_THREADS": "1",
        "PWD": "/a",
        "OMPI_MCA_x": "1",
        "BASH_FUNC_f%%": "()",
        "B": "",
    }
    passed = ["-x", "B", "-x", "OMP_NUM_THREADS"]
    assert host_words(hosts, OPENMPI, environ) == ["--host", "node-1.a:2,b:1", *passed]
    assert host_words(hosts, MPICH, environ) == ["-hosts", "node-1.a:2,b:1"]


@pytest.mark.parametrize(
    "text", ["", "a,", "a:0", "a:-1", "a:x", "a::2", "a:2:3", "a b", "-x", "a:\u0663", "a:9999999"]
)
def test_hosts_of_another_form_are_refused(text: str) -> None:
    """One line with the form; a name can be no option."""
    with pytest.raises(UserError, match=r"--hosts must have the form a:2,b:2"):
        parsed_hosts(text)


def test_host_given_twice_is_refused() -> None:
    """Launchers differ in what they make of it."""
    with pytest.raises(UserError, match="--hosts names a twice"):
        parsed_hosts("a:2,b:1,a:2")


@pytest.mark.parametrize(("more", "ranks"), [([], 3), (["-n", "2"], 2)])
def test_ranks_are_the_sum_of_slots_unless_given(
    more: list[str], ranks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """-n may leave slots empty."""
    assert main(["launch", *more, "--hosts", "a:2,b:1", "--dry-run", "train"]) == 0
    assert f"mpiexec -n {ranks} --host a:2,b:1 " in capsys.readouterr().out


def test_more_ranks_than_slots_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It is not said where the others are to be."""
    assert main(["launch", "-n", "5", "--hosts", "a:2,b", "--dry-run", "train"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(
        "mpitrain: error: -n 5 is more than the 3 slots of --hosts a:2,b:1; give each host "
    )
    assert main(["launch", "-n", "2", "--hosts", "localhost", "--dry-run", "train"]) == 2
    assert "-n 2 is more than the 1 slot of --hosts localhost:1;" in capsys.readouterr().err


def test_launch_in_a_slurm_job_says_how_srun_does_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error, and it goes on."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    assert main(["launch", "-n", "2", "--dry-run", "train", "run.name=a b"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("mpitrain: in a Slurm job; by srun: srun --mpi=pmix -n 2 ")
    assert printed.err.endswith(" -m mpitrain train 'run.name=a b'\n")
    assert printed.err.count("\n") == 1
    assert "mpiexec -n 2 " in printed.out
    monkeypatch.setenv("SLURM_NTASKS", "6")
    assert main(["launch", "--dry-run", "train"]) == 0
    assert "mpiexec -n 6 " in capsys.readouterr().out
    assert srun_line(MPICH, 3, ["x"]) == "srun --mpi=pmi2 -n 3 x"


def test_launch_on_several_tasks_of_a_step_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each would start a job; rank 0 alone speaks. One task, or none, may go on."""
    refuse_inside_step({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"})
    refuse_inside_step({"SLURM_JOB_ID": "7"})
    for name, value in (("JOB_ID", "7"), ("STEP_ID", "0"), ("STEP_NUM_TASKS", "4")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    words = ["launch", "train", f"run.directory={tmp_path}/r"]
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert main(words) == 2
    assert "srun step of 4 tasks" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert main(words) == 2
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "r").exists()
