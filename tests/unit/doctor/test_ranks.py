from __future__ import annotations

import pytest

from mpitrain.doctor.ranks import judge_ranks, judge_slurm, judge_threads
from mpitrain.launch_environment import expected_size
from mpitrain.mpiexec import MPICH, OPENMPI
from mpitrain.slurm import Slurm


@pytest.mark.parametrize(
    ("kind", "environ", "remedy"),
    [
        (OPENMPI, {"SLURM_NTASKS": "4"}, "srun --mpi=pmix"),
        (MPICH, {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}, "srun --mpi=pmi2"),
        (OPENMPI, {"PMI_SIZE": "4"}, "mpitrain launch"),
        (MPICH, {"OMPI_COMM_WORLD_SIZE": "4"}, "mpitrain launch"),
    ],
)
def test_ranks_that_do_not_know_each_other_are_wrong(
    kind: str, environ: dict[str, str], remedy: str
) -> None:
    """Four singletons would each train alone: the remedy starts them as one job."""
    finding = judge_ranks(1, expected_size(environ), kind)
    assert finding.state == "wrong"
    assert "MPI knows 1 rank" in finding.value
    assert "4" in finding.value
    assert remedy in finding.remedy


def test_ranks_are_ok_when_mpi_knows_all_that_were_started() -> None:
    """Also in a Slurm job that has more tasks than this step, and without any launcher."""
    environ = {"OMPI_COMM_WORLD_SIZE": "4", "SLURM_NTASKS": "8"}
    assert judge_ranks(4, expected_size(environ), OPENMPI).state == "ok"
    assert judge_ranks(1, expected_size({}), OPENMPI).state == "ok"
    assert judge_ranks(1, expected_size({"SLURM_NTASKS": "1"}), OPENMPI).state == "ok"


def test_fewer_ranks_than_tasks_are_a_warning() -> None:
    """A part of the job is idle."""
    finding = judge_ranks(2, expected_size({"SLURM_NTASKS": "4"}), OPENMPI)
    assert (finding.state, "2 ranks, but the Slurm job counts 4" in finding.value) == (
        "warning",
        True,
    )


def test_sizes_that_are_no_numbers_are_ignored() -> None:
    """Whatever a variable holds, it does not end the examination."""
    assert expected_size({"PMI_SIZE": "many", "SLURM_NTASKS": "-1"}) is None


def test_slurm_job_is_named() -> None:
    """Job, tasks and nodes; outside a job there is no line."""
    assert judge_slurm(None) == []
    (finding,) = judge_slurm(Slurm(job_id="7", num_tasks=4, nodes="node[1-2]"))
    assert (finding.state, finding.value) == ("ok", "job 7, 4 tasks on node[1-2]")


def test_thread_level_below_multiple_is_a_warning() -> None:
    """No progress thread is possible then."""
    assert judge_threads("multiple").state == "ok"
    assert judge_threads("funneled").state == "warning"
