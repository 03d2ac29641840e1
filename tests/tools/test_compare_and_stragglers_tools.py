"""``tools/stragglers.py`` and ``tools/compare.py`` on real runs: what they say, how they exit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpitrain.analyse.picture import ORANGE
from tests.ranks.launcher import run_launch

TOOLS = Path(__file__).parents[2] / "tools"
LATE = ("straggler.kind=constant", "straggler.ranks=[3]", "straggler.delay=0.004")


def run_tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Start a tool as a person does, where mpi4py cannot be imported."""
    words = list(map(str, arguments))
    code = (
        "import runpy, sys; sys.modules['mpi4py'] = None; "
        f"sys.argv[1:] = {words!r}; "
        f"runpy.run_path({str(TOOLS / name)!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Train on four ranks, the last one late: synchronously twice, and with a bound."""
    folder = tmp_path_factory.mktemp("runs")
    modes = {
        "bsp": ("mode.kind=bsp",),
        "again": ("mode.kind=bsp",),
        "ssp": ("mode.kind=ssp", "mode.bound=2"),
    }
    for name, mode in modes.items():
        words = ("data.source=digits", "run.steps=400", "run.evaluate_every=100")
        place = f"run.directory={folder / name}"
        ended = run_launch(folder, "train", *words, *mode, *LATE, place, ranks=4)
        assert ended.returncode == 0, ended.stderr
    return {name: folder / name for name in modes}


@pytest.mark.parametrize("name", ["bsp", "ssp"])
def test_the_late_rank_is_named(runs: dict[str, Path], name: str) -> None:
    """With its phase, as text and as JSON; the others waited for it."""
    done = run_tool("stragglers.py", runs[name])
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1].startswith("rank 3 on ")
    # not throughout where the machine has other work: then an even stretch is left out
    assert re.search(
        r"in the compute phase; (throughout|\d+% of the time.*); the others waited", lines[1]
    )
    assert "\x1b" not in done.stdout
    facts = json.loads(run_tool("stragglers.py", runs[name], "--json").stdout)
    assert [one["rank"] for one in facts["stragglers"]] == [3]
    waited = [sum(row[rank] for row in facts["waited_for_s"]) for rank in range(4)]
    assert waited.index(max(waited)) == 3
    own = [one for one in facts["predictions"] if one["is_own"]]
    assert [(one["mode"], one["gain"]) for one in own] == [(name, 1.0)]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_who_was_late_is_drawn(runs: dict[str, Path], tmp_path: Path, ending: str) -> None:
    """Steps and waiting over time, with units; the late rank stands out by its colour."""
    picture = tmp_path / f"late.{ending}"
    done = run_tool("stragglers.py", runs["ssp"], "--no-prediction", "--plot", picture)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"drawn: {picture}\n")
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    text = picture.read_bytes()
    assert text.startswith(begins[ending])
    if ending == "svg":
        for words in ("ms, mean", "% of its time", "waited (s)", "time (s)", "rank that waited"):
            assert f"<!-- {words} -->".encode() in text
        assert ORANGE.encode() in text


def test_runs_are_shown_side_by_side(runs: dict[str, Path], tmp_path: Path) -> None:
    """The two that differ in nothing are a group; a picture where one is asked for."""
    picture = tmp_path / "runs.svg"
    done = run_tool("compare.py", *runs.values(), "--target", "0.5", "--plot", picture)
    assert (done.returncode, done.stderr) == (0, "")
    assert "to accuracy >= 0.5" in done.stdout
    assert picture.read_text().count("<svg") == 1
    facts = json.loads(run_tool("compare.py", *runs.values(), "--json").stdout)
    assert [group["label"] for group in facts["groups"]] == ["bsp", "ssp 2"]
    assert [len(group["runs"]) for group in facts["groups"]] == [2, 1]
    assert facts["groups"][0]["speed_up"] == 1.0
    assert [len(run["evaluations"]) for run in facts["groups"][0]["runs"]] == [4, 4]
    assert facts["groups"][0]["metric"]["deviation"] == 0


def test_equal_runs_are_told_from_others(runs: dict[str, Path]) -> None:
    """Exit code 0 or 1; the first difference is named."""
    same = run_tool("compare.py", "--equal", runs["bsp"], runs["again"])
    assert (same.returncode, same.stderr) == (0, "")
    assert "400 steps of 4 ranks" in same.stdout
    other = run_tool("compare.py", "--equal", runs["bsp"], runs["again"], runs["ssp"], "--json")
    facts = json.loads(other.stdout)
    assert (other.returncode, facts["equal"]) == (1, False)
    assert [pair["equal"] for pair in facts["pairs"]] == [True, False]
    assert facts["pairs"][1]["differences"][0].startswith("parameters SHA-256")


def test_mistakes_are_one_line(runs: dict[str, Path], tmp_path: Path) -> None:
    """Exit code 2."""
    for name, words in (
        ("stragglers.py", [tmp_path]),
        ("compare.py", [runs["bsp"], tmp_path]),
        ("compare.py", [runs["bsp"]]),
        ("compare.py", [runs["bsp"], runs["ssp"], "--plot", tmp_path / "runs.gif"]),
        ("compare.py", [runs["bsp"], runs["ssp"], "--plot", tmp_path / "no" / "runs.png"]),
    ):
        done = run_tool(name, *words)
        assert done.returncode == 2, words
        assert done.stderr.startswith("mpitrain: error: ")
        assert len(done.stderr.splitlines()) == 1
