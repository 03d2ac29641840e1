"""What tools say on a narrow terminal and into a closed pipe."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mpitrain.analyse.registry import TOOLS, tool_of
from mpitrain.analyse.tables import table
from mpitrain.analyse.tool import console, main
from tests.unit.analysis.conftest import simulate


def test_no_column_is_lost_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names to the left and the numbers to the right are there in 30 columns."""
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    made = table(["rank", "host"] + ["number"] * 9, [["17", "node"] + ["12345"] * 9], texts=2)
    console().print(made)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert ["17", "node"] + ["12345"] * 9 in [line.split() for line in plain.splitlines()]


def test_a_closed_pipe_is_no_mistake(tmp_path: Path) -> None:
    """A reader that has seen enough, as head, is not an error: exit code 0, no word."""
    run = simulate(2, 2, "asp", steps=10).write(tmp_path / "run")
    words = [sys.executable, "-m", "mpitrain", "analyse", "staleness", str(run)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        job.stdout.close()
        assert job.stderr.read() == b""
    assert job.returncode == 0


@pytest.mark.parametrize("name", TOOLS)
def test_what_a_tool_answers_is_told_within_the_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usage and the question above the options are wrapped, also where examples are not."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        main(tool_of(name), ["--help"], f"mpitrain analyse {name}")
    assert end.value.code == 0
    above = capsys.readouterr().out.partition("\npositional arguments:")[0].splitlines()
    assert max(map(len, above)) <= 80
    assert " ".join(tool_of(name).question.split()) in " ".join(" ".join(above).split())
