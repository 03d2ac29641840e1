"""The cells of a sweep: how a file is read, which are missing, and whose runs are there."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mpitrain.batch.cells import cells_of, check_same, expression, read_cells, state_of
from mpitrain.command_line import main
from mpitrain.config import load, to_toml
from mpitrain.core.errors import UserError
from mpitrain.storage.run_directory import RunDirectory, status_of

TEXT = """
# a comment that isn't closed
mode.kind=bsp
\t
  mode.kind=ssp mode.bound=2  # why not
model.hidden="[32, 16]" run.name='two words'
"""


def begin(root: Path, *words: str, state: str = "running") -> None:
    """Make what a run leaves that was begun with ``words``."""
    root.mkdir(parents=True)
    directory = RunDirectory(root)
    directory.run_toml.write_text(to_toml(load(None, words), environment={"host": "x"}))
    directory.write_status(status_of(state))
    if state == "done":
        directory.write_result({"steps": 1})


def test_lines_that_count_are_cells() -> None:
    """Blank ones and comments do not; quotes are those of a shell."""
    cells = cells_of(TEXT, "cells.txt")
    assert [cell.words() for cell in cells] == [
        ["mode.kind=bsp"],
        ["mode.kind=ssp", "mode.bound=2"],
        ["model.hidden=[32, 16]", "run.name=two words"],
    ]
    assert [cell.index for cell in cells] == [0, 1, 2]
    assert cells[2].place == "cells.txt, line 6"


def test_nothing_in_a_line_is_executed() -> None:
    """What a shell would replace stays as it is."""
    line = 'run.name="$(touch x) `ls` $HOME *" data.path=a#b'
    (cell,) = cells_of(line, "cells.txt")
    assert cell.words() == ["run.name=$(touch x) `ls` $HOME *", "data.path=a#b"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("mode.bound", "must have the form table.key=value"),
        ("mode.bond=3", "did you mean mode.bound"),
        ("run.name='a", "a quote is not closed"),
        ("run.directory=x", "run.directory is not for cells"),
    ],
)
def test_a_mistake_is_said_where_it_is(line: str, reason: str) -> None:
    """With file and line; the cells before and behind can be used."""
    cells = cells_of(f"run.seed=1\n{line}\nrun.seed=2\n", "cells.txt")
    with pytest.raises(UserError, match=reason) as error:
        cells[1].words()
    assert str(error.value).startswith("cells.txt, line 2: ")
    assert [cells[k].words() for k in (0, 2)] == [["run.seed=1"], ["run.seed=2"]]


def test_a_file_without_cells_is_refused(tmp_path: Path) -> None:
    """Empty, only comments, not there."""
    for content in ("", "# none\n\n"):
        (tmp_path / "cells.txt").write_text(content)
        with pytest.raises(UserError, match="holds no cell"):
            read_cells(tmp_path / "cells.txt")
    with pytest.raises(UserError, match=r"none\.txt cannot be read: no such file"):
        read_cells(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([], ""),
        ([4], "4"),
        ([0, 1], "0-1"),
        ([7, 3, 5, 6], "3,5-7"),
        ([1, 3, 5], "1,3,5"),
        (range(12), "0-11"),
    ],
)
def test_indices_are_written_as_slurm_takes_them(indices: list[int], text: str) -> None:
    """Neighbours together, in order."""
    assert expression(indices) == text


def test_missing_is_what_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result without its status, and the other way round, are not enough."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MPITRAIN_SWEEP", raising=False)
    Path("many.txt").write_text("".join(f"run.seed={k}\n" for k in range(6)))
    for index, state in [(0, "done"), (2, "done"), (3, "stopped"), (4, "done")]:
        begin(tmp_path / f"runs/many/cell-00{index}", f"run.seed={index}", state=state)
    Path("runs/many/cell-004/result.json").unlink()
    states = [state_of(cell, Path("runs/many")) for cell in read_cells(Path("many.txt"))]
    assert [k for k, state in enumerate(states) if state == "done"] == [0, 2]
    assert (states[1], states[3]) == ("not begun", "stopped")
    assert main(["cells", "many.txt", "--missing"]) == 0
    assert capsys.readouterr().out == "1,3-5\n"
    assert main(["cells", "many.txt", "--missing", "--sweep", "elsewhere"]) == 0
    assert capsys.readouterr().out == "0-5\n"
    assert main(["cells", "many.txt"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_the_words_of_a_cell_end_in_its_run_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One a line, for a script; the folder may come from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPITRAIN_SWEEP", "there")
    Path("cells.txt").write_text(TEXT)
    assert main(["cells", "cells.txt", "--cell", "2"]) == 0
    said = capsys.readouterr().out
    assert said == "model.hidden=[32, 16]\nrun.name=two words\nrun.directory=there/cell-002\n"
    assert main(["cells", "cells.txt", "--cell", "3"]) == 2
    assert "has 3 cells, from 0 on; there is no cell 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("there", "line", "name"),
    [
        ("mode.kind=ssp mode.bound=2", "mode.kind=ssp mode.bound=3", "mode.bound"),
        ("run.seed=1", "run.seed=2", "run.seed"),
        ("model.hidden=[4]", "model.hidden='[4, 4]'", "model.hidden"),
        ("mode.kind=bsp", "mode.kind=asp", "mode.kind"),
    ],
)
def test_another_run_in_the_place_of_a_cell_is_refused(
    tmp_path: Path, there: str, line: str, name: str
) -> None:
    """Its result would be taken for that of the new line."""
    begin(tmp_path / "cell-000", *there.split(), state="done")
    (cell,) = cells_of(line, "cells.txt")
    with pytest.raises(UserError, match=rf"holds a run with {name} = .* line 1 says"):
        check_same(cell, cell.words(), tmp_path)


@pytest.mark.parametrize(
    ("there", "line"),
    [
        ("model.hidden=[4]", "model.hidden='[4]'"),
        ("mode.kind=ssp", "mode.kind=ssp mode.bound=3"),  # the default
        ("run.steps=10", "run.steps=20"),  # asked for more
        ("checkpoint.every_steps=5", "checkpoint.every_s=1"),
    ],
)
def test_the_run_of_a_cell_is_known_again(tmp_path: Path, there: str, line: str) -> None:
    """Also where it says what is the default, and with what may change from job to job."""
    begin(tmp_path / "cell-000", *there.split())
    (cell,) = cells_of(line, "cells.txt")
    check_same(cell, shlex.split(line), tmp_path)
