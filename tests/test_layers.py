"""The house: who may import whom, and one door per heavy library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mpitrain

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mpitrain"

# A module imports from its own room or from rooms above it in this list.
LAYERS = [
    {"core"},
    {"slurm"},
    {"devices"},
    {"launch_environment", "launch_note", "environment", "mpiexec", "stop"},
    {"segments"},
    {"kernels"},
    {"launch_hosts", "launch_orphans", "watch"},
    {"config"},
    {"models", "optim", "consistency", "comm", "storage"},
    {"data", "analysis", "result"},
    {"modes", "launch_aftermath", "factories", "schedules"},
    {"names"},
    {"launch_job", "plan"},
    {"device_exchange"},
    {"build"},
    {"running"},
    {"replaying"},
    {"entry", "launch", "bench", "doctor", "analyse"},
    {"batch"},
    {"__init__"},
    {"commands"},
    {"command_line"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
DOORS = {  # folder or module
    "mpi4py": "comm/",
    "h5py": "storage/",
    "cupy": "core/arrays.py",
    "numba": "kernels/compiled.py",
    "tqdm": "running/",
    "tensorboardX": "running/",
}
BY_NAME = {"importlib.import_module", "import_module", "__import__"}
NO_MPI = {
    "batch",
    "analyse",
    "analysis",
    "storage",
    "core",
    "devices",
    "models",
    "optim",
    "data",
    "consistency",
    "kernels",
    "schedules",
}


def modules() -> list[Path]:
    """Return every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """Return the folder or the module directly under the package that ``path`` belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, *, at_run_time_only: bool) -> Iterator[str]:
    """Return the names of all imported modules, anywhere in the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if (
            at_run_time_only
            and isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
        ):
            skipped |= {inner for part in node.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "mpitrain":
                yield from (f"mpitrain.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME:
            yield from (str(given.value) for given in node.args[:1] if is_text(given))


def is_text(node: ast.expr) -> bool:
    """Tell whether a piece of a program is a text, not something that becomes one."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def rooms_imported(path: Path) -> set[str]:
    """Return the rooms of the package that a module imports from, at run time."""
    names = imports_of(path, at_run_time_only=True)
    parts = [name.split(".") for name in names]
    rooms = {p[1] for p in parts if p[0] == "mpitrain" and len(p) > 1}
    return {room for room in rooms if room in LEVEL}


def test_every_room_has_its_place() -> None:
    """The list above is complete: a new folder or module must be put somewhere."""
    assert {room_of(path) for path in modules()} == set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_imports_only_from_lower_layers_or_its_own_room(path: Path) -> None:
    """No import runs upwards, so there are no cycles between rooms."""
    own = room_of(path)
    if own == "__init__":
        return  # it only names the homes of the public names
    bad = {room for room in rooms_imported(path) - {own} if LEVEL[room] >= LEVEL[own]}
    assert not bad, f"{own} must not import {sorted(bad)}"


@pytest.mark.parametrize("library", DOORS)
def test_heavy_library_has_one_door(library: str) -> None:
    """Nobody else imports it, by statement or by name; elsewhere at most for type checking."""
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules()
        for name in imports_of(path, at_run_time_only=True)
        if name.split(".")[0] == library
    }
    assert users
    assert not [user for user in users if not user.startswith(DOORS[library])]


def test_folders_that_promise_to_need_no_mpi_do_not_import_comm() -> None:
    """What runs on a laptop must not reach mpi4py through another folder."""
    for path in modules():
        if room_of(path) in NO_MPI:
            assert "comm" not in rooms_imported(path), path


def test_tools_need_no_mpi() -> None:
    """The offline tools import only from folders that promise the same."""
    for path in sorted((ROOT / "tools").glob("*.py")):
        for name in imports_of(path, at_run_time_only=True):
            package, _, inner = name.partition(".")
            assert package != "mpi4py", path
            assert package != "mpitrain" or inner.partition(".")[0] in NO_MPI, path


def test_no_cycles_inside_a_folder() -> None:
    """Modules of one folder import each other in one direction."""
    edges: dict[str, set[str]] = {}
    for path in modules():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        edges[name] = set(imports_of(path, at_run_time_only=True))

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name in seen:
            return
        for other in edges.get(name, ()):
            visit(other, (*trail, name))
        seen.add(name)

    seen: set[str] = set()
    for name in edges:
        if name != "mpitrain.__init__":
            visit(name, ())


@pytest.mark.parametrize(
    "statement",
    [
        "import mpitrain",
        "import mpitrain.__main__",
        "import mpitrain.config, mpitrain.launch",
    ],
)
def test_importing_starts_nothing(statement: str) -> None:
    """Neither MPI, nor HDF5, nor a GPU library is loaded on a login node."""
    heavy = "('mpi4py', 'h5py', 'cupy')"
    code = f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "statement", ["import mpitrain.analysis.verify", "import mpitrain.storage.reading"]
)
def test_reading_logs_needs_no_mpi(statement: str) -> None:
    """The offline tools run where no MPI is installed."""
    code = f"import sys; sys.modules['mpi4py'] = None; {statement}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_public_name_is_that_of_a_room() -> None:
    """Importing the room would put it in the name's place."""
    rooms = {room_of(path) for path in modules()}
    assert rooms & set(mpitrain.__all__) == set()
