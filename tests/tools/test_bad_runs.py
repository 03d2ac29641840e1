"""What is no run, or none that this version can read: one line and exit code 2, from every tool."""

from __future__ import annotations

import sys
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


PICTURES = {"staleness": ["RUN"], "stragglers": ["RUN"], "compare": ["RUN", "RUN"]}


@pytest.mark.parametrize(
    ("name", "words", "library"),
    [(name, [*words, "--plot", "OUT.png"], "matplotlib") for name, words in PICTURES.items()]
    + [("report", ["RUN", "--out", "OUT.html"], "matplotlib"),
       ("report", ["RUN", "--out", "OUT.html"], "jinja2"),
       ("export", ["RUN", "--out", "OUT.csv"], "pyarrow")],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_before_a_log_is_read(
    name: str, words: list[str], library: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Another ending, no such folder, a library that is not there: no run is even looked for."""

    def said(out: Path) -> str:
        given = [word.replace("OUT", str(out)).replace("RUN", "absent") for word in words]
        assert main(tool_of(name), given) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "no such folder" in said(tmp_path / "out")  # what is wrong with the run, once all fits
    assert f"{tmp_path}/none/out" in said(tmp_path / "none" / "out")
    if name != "report":
        words = [word.replace(".", ".x") for word in words]
        assert "must end in one of " in said(tmp_path / "out")
        words = [word.replace(".x", ".") for word in words]
    monkeypatch.setitem(sys.modules, library, None)
    assert f"needs {library}: pip install 'mpitrain[tools]'" in said(tmp_path / "out")
    assert not list(tmp_path.iterdir())
