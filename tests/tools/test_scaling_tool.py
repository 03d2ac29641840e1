"""``scaling``: the table, its notes, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mpitrain.analyse.scaling import TOOL
from mpitrain.analyse.tool import main
from mpitrain.bench.large_log import write_large_log
from tests.unit.analysis.conftest import simulate


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Runs on 2 and 4 ranks."""
    made = [write_large_log(tmp_path / f"{n}", 800, size=n, num_shards=2) for n in (4, 2)]
    return [str(root) for root in made]


def test_runs_are_a_table_by_ranks(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The fewest ranks first, as the yardstick."""
    assert main(TOOL, runs) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [words for words in lines if words and words[0].isdecimal()]
    assert [words[0] for words in rows] == ["2", "4"]
    assert rows[0][4:6] == ["1.00", "100%"]
    assert main(TOOL, [*runs, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["ranks"] for row in facts["runs"]] == [2, 4]
    assert (facts["warm_up"], facts["notes"]) == (0.1, [])


def test_a_run_that_is_not_there_does_not_hide_the_others(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named; so are runs that are not done, and modes that differ."""
    bsp = simulate(3, 2, "bsp", share="equal").write(tmp_path / "bsp")
    assert main(TOOL, [*runs, str(tmp_path / "none"), str(bsp)]) == 0
    said = capsys.readouterr().out
    assert "none is no run directory" in said
    assert "bsp: nothing says how it ended" in said
    assert "the modes differ: ssp, bound 3; bsp" in said


@pytest.mark.parametrize("share", ["1", "-0.1", "much", "nan"])
def test_a_warm_up_is_a_share(
    share: str, runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else is refused in one line."""
    with pytest.raises(SystemExit) as end:
        main(TOOL, [*runs, f"--warm-up={share}"])
    assert end.value.code == 2
    assert "must be a number >= 0 and < 1" in capsys.readouterr().err


def test_where_no_tables_can_be_drawn_it_says_so(
    runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that names the way out; --json needs nothing."""
    for name in ("rich", "rich.console", "rich.text"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(TOOL, runs) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "without --json a tool needs rich: pip install" in line
    assert main(TOOL, [*runs, "--json"]) == 0
