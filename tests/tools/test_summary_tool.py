"""``summary`` and ``staleness``: what they print, draw and refuse, without MPI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mpitrain.bench.large_log import write_large_log
from mpitrain.storage.run_directory import RunDirectory

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 ranks, 3 shards and 4,000 steps."""
    folder = tmp_path_factory.mktemp("runs")
    return write_large_log(folder / "first", 4000, size=4, num_shards=3)


def run_tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Start a tool as a person does, from another directory."""
    command = [sys.executable, str(TOOLS / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60, check=False)


def facts_of(name: str, *arguments: str | Path) -> dict[str, object]:
    """Return what a tool says with --json."""
    done = run_tool(name, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts: dict[str, object] = json.loads(done.stdout)
    return facts


def test_summary_is_a_page(root: Path) -> None:
    """Mode, ranks, speed and quantiles, without colours where no terminal is."""
    done = run_tool("summary", root)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("ssp, bound 3", "node-0: 0-3", "4,000 in", "staleness, per update and shard"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout
    facts = facts_of("summary", root)
    assert (facts["steps"], facts["ranks"], facts["status"]) == (4000, 4, "done")


def test_summary_of_several_runs_is_a_table(root: Path) -> None:
    """A line for each run, in the given order."""
    done = run_tool("summary", root, root)
    assert done.stdout.count("ssp, bound 3") == 2
    runs = facts_of("summary", root, root)["runs"]
    assert isinstance(runs, list)
    assert len(runs) == 2


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_staleness_tells_and_draws(root: Path, tmp_path: Path, ending: str) -> None:
    """Tables for people, a picture for the paper."""
    picture = tmp_path / f"staleness.{ending}"
    done = run_tool("staleness", root, "--plot", picture)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("the mode allows a staleness of 21", "stalest updates", f"drawn: {picture}"):
        assert words in done.stdout
    begin = picture.read_bytes()[:400]
    assert begin.startswith(b"\x89PNG") if ending == "png" else b"<svg" in begin
    measures = facts_of("staleness", root)["measures"]
    assert isinstance(measures, dict)
    assert measures["staleness"]["count"] == 12_000


@pytest.mark.parametrize("name", ["summary", "staleness"])
def test_bad_inputs_are_one_line_each(root: Path, tmp_path: Path, name: str) -> None:
    """No such folder, an empty one, a plot that cannot be: exit code 2, no traceback."""
    (tmp_path / "empty").mkdir()
    wrong = [[tmp_path / "absent"], [tmp_path / "empty"], []]
    if name == "staleness":
        wrong += [[root, "--plot", tmp_path / "a.gif"], [root, "--plot", "/dev/full/a.png"]]
    for arguments in wrong:
        done = run_tool(name, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("mpitrain: error: ")


@pytest.mark.parametrize("name", ["summary", "staleness"])
def test_a_killed_run_without_a_log_is_told_with_what_is_missing(tmp_path: Path, name: str) -> None:
    """Logs that were never closed are read; the missing one is named."""
    root = write_large_log(tmp_path / "killed", 600, size=3, num_shards=2, is_done=False)
    RunDirectory(root).log_path(0, 1).unlink()
    done = run_tool(name, root)
    assert done.returncode == 2
    assert "rank-00001.h5: there is no such file" in done.stdout
    assert json.loads(run_tool(name, root, "--json").stdout)["steps"] == 400
