"""What is no run, or none that this version can read: one line and exit code 2, from every tool."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mpitrain.analyse.registry import TOOLS, tool_of
from mpitrain.analyse.tool import main
from mpitrain.storage.run_directory import RunDirectory
from tests.tools.test_without_mpi import WORDS
from tests.unit.analysis.conftest import simulate

OTHERS = ("checkpoint", "tail", "verify")
"""These read no rows, show the clocks with a note, or call it a fault of the log: exit code 1."""

OF_LOGS = [name for name in TOOLS if name not in OTHERS]


def words_of(name: str, run: Path) -> list[str]:
    """Return what a tool is given to look at a run."""
    return [
        str(run) if word == "RUN" else word.replace("OUT", str(run.parent / "out"))
        for word in WORDS.get(name, ["RUN"])
    ]


def refused(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the line with which a tool refuses a run."""
    assert main(tool_of(name), words_of(name, run)) == 2
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


def lose_a_log(run: Path) -> str:
    """Take a rank's log away."""
    RunDirectory(run).log_path(0, 1).unlink()
    return "rank-00001.h5: there is no such file"


def cut_a_log(run: Path) -> str:
    """Lose the second half of a rank's log."""
    path = RunDirectory(run).log_path(0, 1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return "rank-00001.h5: cannot be read"


def lose_rows(run: Path) -> str:
    """Lose the first life's rows, as where another log was put in a rank's place."""
    simulate(3, 2, "asp", steps=3).write(run.parent / "short")
    RunDirectory(run.parent / "short").log_path(0, 2).replace(RunDirectory(run).log_path(0, 2))
    return "rows before the next life's start lost"


@pytest.mark.parametrize("lose", [lose_a_log, cut_a_log, lose_rows])
@pytest.mark.parametrize("name", OF_LOGS)
def test_what_is_incomplete_is_shown_and_ends_in_one_line(
    name: str, lose: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line on standard error names the piece, of two as well; exit code 2."""
    made = simulate(3, 2, "asp", steps=90)
    after = made.next(made.state.point())
    after.go_on(30)
    run = made.write(tmp_path / "run")
    after.write(run)
    assert main(tool_of(name), words_of(name, run)) == 0
    assert capsys.readouterr().err == ""
    what = lose(run)
    for more in ([], ["--json"]):
        assert main(tool_of(name), [*words_of(name, run), *more]) == 2
        said = capsys.readouterr()
        assert said.out
        (line,) = said.err.splitlines()
        assert line.startswith("mpitrain: error: the log is incomplete: ")
        assert what in line
        assert line.endswith(" (and 1 more)") == (name == "compare")  # it is given the run twice


@pytest.mark.parametrize("name", OF_LOGS)
def test_a_killed_run_is_not_incomplete(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All its files are there, though not closed; of a life killed while it started there is one.

    Once the run says that this life is done, its logs are missing.
    """
    run = simulate(2, 2, "asp", steps=60).write(tmp_path / "run", is_closed=lambda _: False)
    RunDirectory(run).life_directory(1).mkdir()
    assert main(tool_of(name), words_of(name, run)) == 0
    assert capsys.readouterr().err == ""
    RunDirectory(run).status.write_text('{"status": "done", "life": 1}')
    assert main(tool_of(name), words_of(name, run)) == 2
    assert "life-001: there is no log of any rank" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("name", "words"),
    [(name, [*words, "--plot", "OUT.svg"]) for name, words in PICTURES.items()]
    + [(name, WORDS[name]) for name in ("report", "trace", "export")],
)
def test_a_file_that_does_not_fit_is_named_and_not_left_behind(
    name: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk, here beyond the largest size that a file may have; an old one stays."""
    run = simulate(2, 2, "asp", steps=40).write(tmp_path / "run")
    ending = next(word for word in words if word.startswith("OUT")).removeprefix("OUT")
    out = tmp_path / f"out{ending}"
    out.write_text("old")
    given = [word.replace("RUN", str(run)).replace(f"OUT{ending}", str(out)) for word in words]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert main(tool_of(name), given) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"mpitrain: error: {out}: file too large"
    assert sorted(tmp_path.iterdir()) == [out, run]
    assert out.read_text() == "old"
