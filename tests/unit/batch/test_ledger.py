"""Entries of a job chain survive what a killed writer leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpitrain.batch.ledger import NAME, Entry, append, entries
from mpitrain.core.errors import LogError


def entry(job: str, what: str, **more: int) -> Entry:
    """Return an entry."""
    return Entry(time="2026-11-26T12:00:00+0000", job=job, what=what, **more)


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    """As they were written, each field; there are none without a file."""
    assert entries(tmp_path) == []
    full = Entry(
        time="t",
        job="12",
        restarts=3,
        what="requeued",
        cause="time limit",
        outcome="stopped",
        life=2,
        steps=900,
        text="it's\n\u00e4",
    )
    append(tmp_path, entry("12", "submitted"))
    append(tmp_path, full)
    assert entries(tmp_path) == [entry("12", "submitted"), full]
    assert len((tmp_path / NAME).read_text().splitlines()) == 2


@pytest.mark.parametrize("kept", [1, 20, 60])
def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path, kept: int) -> None:
    """The next one begins a line of its own."""
    append(tmp_path, entry("1", "submitted"))
    append(tmp_path, entry("1", "requeued"))
    path = tmp_path / NAME
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[:kept])
    append(tmp_path, entry("1", "ended"))
    assert [found.what for found in entries(tmp_path)] == ["submitted", "ended"]


def test_lines_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    """Others' fields are ignored, and a field of another type takes its default."""
    good = {"time": "t", "job": "1", "what": "ended"}
    lines = [
        "[]",
        "not json",
        json.dumps({"time": "t", "job": "1"}),
        json.dumps({**good, "job": 1}),
        "\udcff",
        json.dumps({**good, "steps": "many", "colour": "red", "text": "kept"}),
    ]
    (tmp_path / NAME).write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    assert entries(tmp_path) == [Entry(**good, text="kept")]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Also when it is a folder, and to write as to read."""
    (tmp_path / NAME).mkdir()
    with pytest.raises(LogError, match=f"{NAME} cannot be read: is a directory"):
        entries(tmp_path)
    with pytest.raises(LogError, match=f"{NAME} cannot be written: is a directory"):
        append(tmp_path, entry("1", "ended"))
