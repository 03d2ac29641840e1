from __future__ import annotations

import pytest

from mpitrain.devices.local_rank import index_for, local_rank_of


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, 0),
        ({"SLURM_LOCALID": "3"}, 3),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "2", "SLURM_LOCALID": "0"}, 2),
        ({"MPI_LOCALRANKID": "1", "SLURM_LOCALID": "0"}, 1),
        ({"PALS_LOCAL_RANKID": "5"}, 5),
        ({"SLURM_LOCALID": ""}, 0),
        ({"MPI_LOCALRANKID": "x", "SLURM_LOCALID": "4"}, 4),
    ],
)
def test_local_rank_is_what_the_launcher_says(environ: dict[str, str], expected: int) -> None:
    """MPI's launcher before Slurm: inside a batch script all ranks inherit SLURM_LOCALID=0."""
    assert local_rank_of(environ) == expected


def test_ranks_of_a_node_take_its_gpus_in_turn() -> None:
    """Where each rank sees only its own GPU, that is always the first."""
    assert [index_for(rank, 4) for rank in range(6)] == [0, 1, 2, 3, 0, 1]
    assert [index_for(rank, 1) for rank in range(3)] == [0, 0, 0]
