"""What there is of a timeline, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.analysis.readable import open_readable
from mpitrain.core.errors import LogError
from mpitrain.storage.reading import open_log
from tests.unit.analysis.conftest import simulate


def test_a_whole_run_has_no_notes(tmp_path: Path) -> None:
    """All ranks with all their rows."""
    made = simulate(3, 2, "ssp", bound=2, steps=30)
    found = open_readable(made.write(tmp_path))
    assert found.notes == []
    assert [(part.life, part.rank) for part in found.segments()] == [(0, 0), (0, 1), (0, 2)]
    assert [part.num_rows for part in found.segments()] == [len(rows) for rows in made.rows]


def test_each_missing_piece_is_named(tmp_path: Path) -> None:
    """A log that is not there, one that is cut off, and those that were not closed."""
    run = simulate(4, 2, "ssp", bound=2, steps=30).write(tmp_path, is_closed=lambda rank: rank < 2)
    log = open_log(run)
    logs = [log.directory.log_path(0, rank) for rank in range(4)]
    logs[0].unlink()
    with logs[3].open("r+b") as file:
        file.truncate(logs[3].stat().st_size // 2)
    found = open_readable(run)
    assert [part.rank for part in found.segments()] == [1, 2]
    text = "\n".join(found.notes)
    assert f"{logs[0]}: there is no such file" in text
    assert str(logs[3]) in text
    assert "life 0: 1 log not closed" in text


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    """It names a file."""
    run = simulate(1, 2, "asp", steps=4).write(tmp_path)
    path = open_log(run).directory.log_path(0, 0)
    path.write_bytes(b"no log")
    with pytest.raises(LogError, match="rank-00000"):
        open_readable(run)


def test_a_life_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The life that followed it is what there is."""
    made = simulate(2, 2, "asp", steps=10)
    after = made.next(made.state.point())
    after.go_on(6)
    after.write(tmp_path)
    found = open_readable(tmp_path)
    assert [part.life for part in found.segments()] == [1, 1]
    assert found.notes == ["the timeline breaks off: life 1 started from life 0, which has no logs"]
