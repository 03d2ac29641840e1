"""What is no run, or none that this version can read: one line and exit code 2, from every tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.analyse.registry import TOOLS, tool_of
from mpitrain.analyse.tool import main
from tests.tools.test_without_mpi import WORDS
from tests.unit.analysis.conftest import simulate

OTHERS = ("checkpoint", "tail", "verify")
"""These read no rows, show the clocks with a note, or call it a fault of the log: exit code 1."""

OF_LOGS = [name for name in TOOLS if name not in OTHERS]


def refused(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line with which a tool refuses a run."""
    words = [
        str(run) if word == "RUN" else word.replace("OUT", str(run.parent / "out"))
        for word in WORDS.get(name, ["RUN"])
    ]
    assert main(tool_of(name), words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("mpitrain: error: ")
    assert not list(run.parent.glob("out*"))
    return line


@pytest.mark.parametrize("name", TOOLS)
def test_not_a_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No folder, a file, an empty folder."""
    (tmp_path / "file").write_text("nothing")
    (tmp_path / "empty").mkdir()
    for place in ("none", "file", "empty"):
        assert str(tmp_path / place) in refused(name, tmp_path / place, capsys)


@pytest.mark.parametrize("name", OF_LOGS)
def test_logs_of_another_schema(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A later version wrote them: the file and both schemas are named."""
    made = simulate(2, 2, "asp", steps=10)
    made.attributes = {rank: {"schema": 99} for rank in range(2)}
    line = refused(name, made.write(tmp_path / "run"), capsys)
    assert "rank-00000.h5: schema is 99, this version reads up to" in line


@pytest.mark.parametrize("name", OF_LOGS)
def test_only_damaged_logs(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of them can be read: the first is named."""
    run = simulate(2, 2, "asp", steps=10).write(tmp_path / "run")
    for path in (run / "log" / "life-000").glob("rank-*.h5"):
        path.write_bytes(path.read_bytes()[:1000])
    assert "rank-00000.h5" in refused(name, run, capsys)
