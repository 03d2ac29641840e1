"""The launcher away from home: other folders, odd names, an environment that is not activated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ranks.launcher import ROOT, python_of, run

RANKS = 3
# MPICH's mpiexec mixes lines of several ranks where one is larger than a pipe's atomic write
LENGTHS = {"openmpi": 20_000, "mpich": 500}
TALKER = """
import os, sys
from mpi4py import MPI
rank = MPI.COMM_WORLD.rank
for number in range(3):
    for stream in (sys.stdout, sys.stderr):
        text = "é☃ß" * int(sys.argv[1]) + os.environ["MY WORDS"]
        stream.write(f"<{rank} {number} {text}>\\n")
        stream.flush()
print("words", sys.argv[2:], os.getcwd())
"""


def launched(mpi: str, folder: Path, *words: str) -> tuple[int, str, str]:
    """Run launch in ``folder``, with nothing of the environment's on PATH."""
    command = [str(python_of(mpi)), "-m", "mpitrain", "launch", "-n", str(RANKS), *words]
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
        "MY WORDS": "ä b",
    }
    ended = run(command, cwd=folder, timeout=60, environ=environ)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_output_and_environment_of_a_script_come_through_whole(tmp_path: Path, mpi: str) -> None:
    """Long lines of all ranks, not ASCII, on both streams; words with spaces; the same folder."""
    folder = tmp_path / "a földer"
    folder.mkdir()
    script = folder / "my sçript.py"
    script.write_text(TALKER, encoding="utf-8")
    words = (str(LENGTHS[mpi]), "one word", "zwei=ü", "")
    code, out, err = launched(mpi, folder, script.name, *words)
    assert code == 0, err[-2000:]
    for stream in (out, err):
        # mpiexec may put another rank's line in between, but no line is cut or changed
        lines = [line for line in stream.splitlines() if line.startswith("<")]
        text = "é☃ß" * LENGTHS[mpi]
        expected = [f"<{rank} {number} {text}ä b>" for rank in range(RANKS) for number in range(3)]
        assert sorted(lines) == expected
    assert out.count(f"words ['one word', 'zwei=ü', ''] {folder}\n") == RANKS


@pytest.mark.parametrize("mpi", ["openmpi", "mpich"])
def test_train_takes_paths_with_spaces_from_another_folder(tmp_path: Path, mpi: str) -> None:
    """Run file and run directory, relative to where launch was started; what is ignored is said."""
    folder = tmp_path / "a földer"
    folder.mkdir()
    text = (
        'run.steps = 6\nrun.name = "my rün"\nrun.evaluate_every = 3\nrun.stop_before_limit_s = 9\n'
    )
    (folder / "my rün.toml").write_text(text, encoding="utf-8")
    given_in_vain = ("optimizer.momentum=0.5", "data.source=synthetic", "data.num_test=0")
    code, out, err = launched(
        mpi, folder, "train", "my rün.toml", "run.directory=a rün", *given_in_vain
    )
    assert code == 0, err
    result = json.loads(out.splitlines()[-1])
    assert (result["ranks"], result["run"]) == (RANKS, "my rün")
    assert result["directory"] == str(folder / "a rün")
    assert result == json.loads((folder / "a rün" / "result.json").read_text())
    ignored = [line for line in err.splitlines() if "ignored:" in line]
    assert ignored == [
        "mpitrain: ignored: optimizer.momentum = 0.5 (optimizer.kind is sgd)",
        "mpitrain: ignored: run.evaluate_every = 3 (there are no test samples)",
        "mpitrain: ignored: run.stop_before_limit_s = 9 (this is no Slurm job)",
    ]
