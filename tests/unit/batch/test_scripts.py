"""``submit --dry-run`` against recorded scripts, in tests/slurm/scripts.

MPITRAIN_RECORD=1 writes the scripts anew instead of comparing; look at git diff then.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from mpitrain.batch.script import KEPT
from mpitrain.command_line import main

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "tests" / "slurm" / "scripts"
BSP, SSP, ASP = (f"jobs/digits-{kind}.toml" for kind in ("bsp", "ssp", "asp"))
TIME = re.compile(r"\d{8}-\d{6}")

CASES = {
    "bsp": f"{BSP} run.directory=runs/bsp",
    "ssp-larger": f"{SSP} mode.bound=5 --nodes 4 --ranks-per-node 8 --cpus-per-rank 2 "
    "--time 1-12 --at-most 3 --name wide",
    "asp-gpus": f"{ASP} --gpus-per-rank 1 --partition gpu --account project device.kind=cuda "
    "run.directory=/scratch/asp",
    "after": f"{SSP} --after 1234 --sbatch='-x node3' --sbatch=--exclusive "
    "'--sbatch=--constraint=[a|b]&c' --sbatch=--signal=B:USR1@300",
    "odd-words": f"""{BSP} "run.name=two words" "data.path=it's $HOME '#1' \\\\" """
    """run.directory="runs/ä;b" --name 'a "b" \\c' --sbatch="--comment=a #b" """,
    "mpirun": f"{BSP} run.directory=runs/mpirun",
}
VARIABLES = {
    "mpirun": {"MPITRAIN_LAUNCHER": "mpirun", "MPITRAIN_PYTHON": "/opt/my env/bin/python"},
}


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder that holds jobs/, without any of the variables that templates look at."""
    for name in (*KEPT, "MPITRAIN_JOBS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "jobs").symlink_to(ROOT / "jobs")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_scripts_are_as_recorded(
    name: str, working: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each byte, but the working folder and the time of a default run directory."""
    for variable, value in VARIABLES.get(name, {}).items():
        monkeypatch.setenv(variable, value)
    assert main(["submit", "--dry-run", *shlex.split(CASES[name])]) == 0
    said = capsys.readouterr()
    script = TIME.sub("TIME", said.out.replace(str(working), "/WORKING"))
    recorded = SCRIPTS / f"{name}.sbatch"
    if os.environ.get("MPITRAIN_RECORD"):
        recorded.write_text(script, encoding="utf-8")
    assert script == recorded.read_text(encoding="utf-8")
    assert said.err == ""
    assert list(working.iterdir()) == [working / "jobs"]


def test_every_recorded_script_has_its_case() -> None:
    """None is left over from a case that was renamed."""
    assert {path.stem for path in SCRIPTS.iterdir()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_recorded_scripts_are_valid_for_bash(name: str) -> None:
    """What is quoted in them leaves no open quote."""
    done = subprocess.run(
        ["bash", "-n", str(SCRIPTS / f"{name}.sbatch")], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
