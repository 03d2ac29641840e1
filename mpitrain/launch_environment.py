"""Environment variables that make ranks quiet and quick; set before MPI is loaded.

The launcher sets all of them for ``mpiexec`` and the ranks. A rank that was started by plain
``mpirun`` or ``srun`` sets its own part: too late for mapping and binding, in time for the rest.
Nothing that the user has set is changed.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

from mpitrain.slurm import JOB_TASKS, PROCID, STEP_TASKS

# what the launchers call a process's rank
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", PROCID)
SLURM_JOB = "the Slurm job"  # whose script may start something small by itself
# what they call the number of processes that they started
_SIZES = (
    ("mpiexec of Open MPI", "OMPI_COMM_WORLD_SIZE"),
    ("mpiexec of MPICH, or srun --mpi=pmi2,", "PMI_SIZE"),
    ("Slurm", STEP_TASKS),
    (SLURM_JOB, JOB_TASKS),
)

RANK_DEFAULTS = {
    # NumPy's threads: the ranks share the cores, and bit-identity holds for one thread only
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # osc/ucx prints an error line per window and starves readers
    "OMPI_MCA_osc": "^ucx",
    # the default of 32 KiB makes large Accumulates between nodes ten times slower
    "OMPI_MCA_osc_rdma_buffer_size": "4194304",
    # after a rank has died, coll/han returns wrong sums without an error
    "OMPI_MCA_coll": "^han",
}

LAUNCHER_DEFAULTS = {
    # without "slot" it puts all ranks on the first of several hosts
    "PRTE_MCA_rmaps_default_mapping_policy": "slot:oversubscribe",
    # by default a rank is bound to one core, and its progress thread starves
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    # the same two for Open MPI 4
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
}

ONE_HOST_DEFAULTS = {
    # btl/ofi, of no use within a host, sleeps a second at the end of each job without a fabric
    "OMPI_MCA_btl": "^ofi",
}
# from which mpiexec learns of other hosts though none were named
_HOST_FILES = (
    *("PBS_NODEFILE", "PE_HOSTFILE", "LSB_HOSTS", "LSB_DJOB_HOSTFILE", "OAR_NODEFILE"),
    *("PRTE_MCA_prte_default_hostfile", "OMPI_MCA_orte_default_hostfile"),
)

ROOT_DEFAULTS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}


def rank_defaults(environ: MutableMapping[str, str]) -> None:
    """Set what a rank needs, where it is not set; call it before NumPy and MPI are loaded.

    Args:
        environ: usually ``os.environ``, changed.
    """
    _set_defaults(environ, RANK_DEFAULTS)


def launcher_defaults(
    environ: MutableMapping[str, str], *, is_root: bool, is_one_host: bool = False
) -> None:
    """Set what ``mpiexec`` and its ranks need, where it is not set.

    Args:
        environ: of the process to start, changed.
        is_root: whether it runs as root, which Open MPI refuses unless told twice.
        is_one_host: no other hosts were named, and this is no Slurm job.
    """
    _set_defaults(environ, RANK_DEFAULTS | LAUNCHER_DEFAULTS | (ROOT_DEFAULTS if is_root else {}))
    if is_one_host and not any(name in environ for name in _HOST_FILES):
        _set_defaults(environ, ONE_HOST_DEFAULTS)


def is_first_rank(environ: Mapping[str, str]) -> bool:
    """Tell whether this process is rank 0 or no rank at all; asks no MPI."""
    ranks = (environ[name] for name in RANK_VARIABLES if name in environ)
    return next(ranks, "0") == "0"


def expected_size(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return who started this process and how many with it, None when nobody says."""
    for who, name in _SIZES:
        text = environ.get(name, "")
        if text.isascii() and text.isdecimal() and len(text) < 10:
            return who, int(text)
    return None


def _set_defaults(environ: MutableMapping[str, str], defaults: dict[str, str]) -> None:
    for name, value in defaults.items():
        environ.setdefault(name, value)
