"""Which of the GPUs that it sees a rank takes, by its number among the ranks of its node."""

from __future__ import annotations

from collections.abc import Mapping

from mpitrain.slurm import LOCALID

# The MPI launchers' own come first: what mpiexec starts inside an sbatch script inherits the
# script's variable of Slurm, which is 0.
LOCAL_RANK_VARIABLES = (
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",  # Hydra's
    "PALS_LOCAL_RANKID",
    LOCALID,
)


def local_rank_of(environ: Mapping[str, str]) -> int:
    """Return this process's number on its node as its launcher says; 0 without one. No MPI."""
    for name in LOCAL_RANK_VARIABLES:
        text = environ.get(name, "")
        if text.isascii() and text.isdecimal() and len(text) < 10:
            return int(text)
    return 0


def index_for(local_rank: int, num_visible: int) -> int:
    """Return the index of the GPU that a rank takes.

    Args:
        local_rank: number of the rank on its node, from 0.
        num_visible: GPUs that the rank sees, >= 1. With one GPU for each task (as by Slurm's
            ``--gpus-per-task=1``) it is 1 on every rank, and each takes its own.
    """
    return local_rank % num_visible
