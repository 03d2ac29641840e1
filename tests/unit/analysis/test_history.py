"""Verification over several lives: whole histories pass, and what does not fit is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpitrain.analysis.summary import summary_lines
from mpitrain.analysis.verify import Report, verify
from mpitrain.storage.reading import open_log
from mpitrain.storage.run_directory import RunDirectory

MakeRun = Callable[..., Any]

MODES = [
    ("bsp", None, "equal"), ("ssp", 2, "shared"), ("ssp", 1, "equal"), ("asp", None, "shared"),
    ("asp", None, "equal"),
]  # fmt: skip


def write(root: Path, *lives: Any, **options: Any) -> Path:
    """Write the logs of all lives."""
    for life in lives:
        life.write(root, **options)
    return root


def finish(root: Path, steps: int, ranks: int, life: int) -> None:
    """Say that the run is done."""
    run = RunDirectory(root)
    run.write_status({"status": "done", "life": life})
    run.write_result({"steps": steps, "ranks": ranks})


def told(report: Report, *words: str) -> bool:
    """Tell whether a finding says all these words."""
    return any(all(w in str(finding) for w in words) for finding in report.findings)


def history(make_run: MakeRun, mode: str, bound: int | None, share: str, seed: int) -> list[Any]:
    """Return four lives: 3 ranks, 3 ranks, then 5 ranks, 2 ranks; two leave rows behind."""
    first = make_run(3, 2, mode, bound=bound, share=share, steps=24, seed=seed)
    cut = first.state.point()
    first.go_on(9, seed=seed + 1)  # after the checkpoint; rolled back
    second = first.next(cut)
    cut = second.go_on(15, uneven=mode != "bsp", seed=seed + 2)
    third = second.next(cut, size=5)
    cut = third.go_on(20, uneven=mode != "bsp", seed=seed + 3)
    third.go_on(5, seed=seed + 4)
    fourth = third.next(cut, size=2)
    fourth.go_on(18, seed=seed + 5)
    return [first, second, third, fourth]


@pytest.mark.parametrize(("mode", "bound", "share"), MODES)
@pytest.mark.parametrize("seed", range(3))
def test_a_history_of_four_lives_passes(
    make_run: MakeRun, tmp_path: Path, mode: str, bound: int | None, share: str, seed: int
) -> None:
    """Same and other numbers of ranks, rows rolled back or not, finished: no check fails."""
    lives = history(make_run, mode, bound, share, seed)
    root = write(tmp_path, *lives)
    end = lives[-1].state.point()
    finish(root, end.steps, 2, 3)
    report = verify(root)
    assert report.ok, "\n".join(map(str, report.findings))
    assert (report.rows, report.lives, report.ranks) == (end.steps, 4, 2)
    assert report.updates_per_shard == end.version
    assert report.summary().startswith(f"ok: {end.steps} rows, 4 lives, 2 ranks, {end.version} ")
    assert len([note for note in report.notes if "are not on the timeline" in note]) == 2
    tickets = [
        ticket
        for rank in range(5)
        for segment in open_log(root).timeline(rank)
        for ticket in segment.log.steps["ticket"][: segment.num_rows].tolist()
    ]
    assert sorted(tickets) == list(range(end.steps))


def test_ranks_have_segments_in_the_lives_that_had_them(make_run: MakeRun, tmp_path: Path) -> None:
    """The timeline of a rank goes over the lives; it holds the rows up to each cut."""
    lives = history(make_run, "ssp", 2, "shared", 0)
    log = open_log(write(tmp_path, *lives))
    assert [segment.life for segment in log.timeline(0)] == [0, 1, 2, 3]
    assert [segment.life for segment in log.timeline(2)] == [0, 1, 2]
    assert [segment.life for segment in log.timeline(4)] == [2]
    starts = [run.start for run in lives[1:]]
    rows = [sum(stretch.num_rows.values()) for stretch in log.chain[:-1]]
    assert np.cumsum(rows).tolist() == [start.steps for start in starts]
    assert log.chain[1].num_rows == {
        rank: starts[1].cut[rank] - clock for rank, clock in enumerate(starts[0].clocks)
    }


def test_lives_beside_the_timeline_do_not_count(make_run: MakeRun, tmp_path: Path) -> None:
    """A life killed before its first checkpoint, one killed at its start, one left behind."""
    first = make_run(2, 2, "asp", steps=20)
    cut = first.state.point()
    first.go_on(4)
    left = first.next(first.state.point())
    left.go_on(6)
    killed = first.next(cut)
    killed.life = 2
    killed.go_on(3)
    last = first.next(cut)
    last.life = 4
    last.go_on(10)
    root = write(tmp_path, first, left, killed, last, is_closed=lambda _: False)
    log = RunDirectory(root)
    log.life_directory(3).mkdir()
    log.log_path(3, 0).write_bytes(b"")
    report = verify(root)
    assert report.ok, "\n".join(map(str, report.findings))
    assert (report.rows, report.lives) == (30, 2)
    notes = "\n".join(report.notes)
    assert "life 3 was killed while it started: it has no rows" in notes
    assert "life 1: no life went on from it, its 6 rows do not count" in notes
    assert "life 0: 4 rows after the checkpoint that life 4 started from" in notes


def two(make_run: MakeRun, *, beyond: int = 0, **options: Any) -> tuple[Any, Any]:
    """Return two lives, the first with rows ``beyond`` the cut."""
    options = {"size": 3, "num_shards": 2, "mode": "ssp", "bound": 2} | options
    first = make_run(steps=24, **options)
    cut = first.state.point()
    if beyond:
        first.go_on(beyond)
    second = first.next(cut)
    second.go_on(18)
    return first, second


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_row_lost_before_the_cut_is_found(
    make_run: MakeRun, tmp_path: Path, is_closed: bool
) -> None:
    """Also in the open log of a killed life, where later rows may lack."""
    first, second = two(make_run)
    del first.rows[1][-1]
    num = len(first.rows[1])
    first.write(tmp_path, is_closed=lambda _: is_closed)
    second.write(tmp_path)
    report = verify(tmp_path)
    log = RunDirectory(tmp_path).log_path(0, 1)
    assert told(report, f"{log} row {num}: 1 rows are lost: the checkpoint was after {num + 1}")


def test_a_ticket_that_two_lives_took_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """The second life takes one that the first had taken: both say so."""
    first, second = two(make_run)
    again = first.rows[2][3]
    second.rows[0][2] |= {name: again[name] for name in ("ticket", "num_samples")}
    report = verify(write(tmp_path, first, second))
    ticket = again["ticket"]
    assert told(report, "life-000/rank-00002.h5 row 3", f"ticket {ticket} is taken again in life 1")
    assert told(report, "life-001/rank-00000.h5 row 2", f"{ticket}, which was taken before this")


@pytest.mark.parametrize(
    ("field", "change", "words"),
    [
        ("version", 1, "start_version is 25, the rows of life 0 up to the cut give 24"),
        ("steps", -1, "start_steps is 23, the rows of life 0 up to the cut give 24"),
        ("drawn", 1, "tickets_drawn is 25, the life before gives 24"),
        ("life", 5, "the timeline breaks off: life 1 says that it started from life 5"),
        ("life", -2, "attribute start_life must be a whole number >= -1, found -2"),
        ("steps", -99, "attribute start_steps must be a whole number >= 0, found -75"),
    ],
)
def test_a_wrong_start_is_found(
    make_run: MakeRun, tmp_path: Path, field: str, change: int, words: str
) -> None:
    """What a life says of its start must follow from the rows of the life before."""
    first, second = two(make_run)
    setattr(second.start, field, getattr(second.start, field) + change)
    root = write(tmp_path, first, second)
    report = verify(root)
    assert told(report, words), "\n".join(map(str, report.findings))


def test_a_wrong_cut_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """A cut that takes a row of one rank instead of one of another is not consistent."""
    first, second = two(make_run, beyond=9)
    second.start.cut = [second.start.cut[0] + 1, second.start.cut[1] - 1, second.start.cut[2]]
    report = verify(write(tmp_path, first, second))
    row = second.start.cut[0] - 1
    assert told(report, f"life-000/rank-00000.h5 row {row}", "before a checkpoint that has version")
    second.start.cut = second.start.cut[:2]
    report = verify(write(tmp_path / "short", first, second))
    assert told(report, "/start/cut has 2 clocks, life 0 had 3 ranks")


def test_clocks_that_do_not_go_on_from_the_cut_are_found(make_run: MakeRun, tmp_path: Path) -> None:
    """In one era each rank goes on from its clock at the checkpoint."""
    first, second = two(make_run)
    second.start.clocks = [second.start.clocks[0] + 1, *second.start.clocks[1:]]
    report = verify(write(tmp_path, first, second))
    assert told(report, "/start/clocks is [", "the life before gives [")
    assert told(report, "in the first row, must be")


def test_a_wrong_deal_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """A new era deals the tickets that the old one left, no others."""
    first = make_run(3, 2, "asp", share="equal", steps=24)
    cut = first.go_on(6, uneven=True)
    second = first.next(cut, size=2)
    assert len(second.start.deal.holes) == 1
    second.start.deal = type(second.start.deal)(second.start.deal.next + 1, np.array([3, 29]))
    second.go_on(10)
    report = verify(write(tmp_path, first, second))
    assert told(report, "/start/ticket_holes is 2 holes")
    assert told(report, "tickets_next is 31, the life before gives 30")
    assert told(report, "ticket 3 is taken again in life 1")


def test_a_foreign_life_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """All lives are of one run, with the same data and seed."""
    first, second = two(make_run)
    third = second.next(second.state.point())
    third.go_on(6)
    for rank in range(3):
        third.attributes[rank] = {"run_id": "s", "seed": 2}
    report = verify(write(tmp_path, first, second, third))
    assert told(report, "run_id is 's', in most lives of this run 'r'")
    assert told(report, "seed is 2, in life 1 1")


def test_logs_of_a_life_that_say_different_starts_are_found(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """The one that differs from most is named."""
    first, second = two(make_run)
    second.attributes[2] = {"start_version": 23}
    report = verify(write(tmp_path, first, second))
    assert told(report, "rank-00002.h5: start_version is 23, in most logs of this life 24")


def test_a_stopped_run_has_closed_logs(make_run: MakeRun, tmp_path: Path) -> None:
    """A stop by signal closes every log; one that is open may lack rows."""
    first, second = two(make_run)
    first.write(tmp_path)
    second.write(tmp_path, is_closed=lambda rank: rank != 1)
    RunDirectory(tmp_path).write_status({"status": "stopped", "life": 1})
    assert told(verify(tmp_path), "life-001/rank-00001.h5: the run stopped, but this log was not")


def test_a_done_run_counts_its_whole_timeline(make_run: MakeRun, tmp_path: Path) -> None:
    """The result counts every step on the timeline, and no ticket up to the last is left out."""
    first, second = two(make_run, beyond=6)
    root = write(tmp_path, first, second)
    finish(root, 43, 3, 1)
    assert told(verify(root), "the result counts 43 steps, the logs hold 42")
    finish(root, 42, 3, 1)
    assert verify(root).ok
    last = max((row for own in second.rows for row in own), key=lambda row: row["ticket"])
    last |= {"ticket": 50, "num_samples": 8}
    root = write(tmp_path / "other", first, second)
    finish(root, 42, 3, 1)
    assert told(verify(root), "ticket 41 was never taken, though the run is done")


def test_versions_of_another_life_are_found(make_run: MakeRun, tmp_path: Path) -> None:
    """Versions go on from the checkpoint, and no read is older than it."""
    first, second = two(make_run)
    second.rows[0][0]["version_read"][:] = 20
    second.recount()
    assert told(verify(write(tmp_path, first, second)), "must be 24 <= read < written")


def test_the_predecessor_must_be_there(make_run: MakeRun, tmp_path: Path) -> None:
    """A life whose logs were all removed is missed by the one that started from it."""
    first, second = two(make_run)
    root = write(tmp_path, first, second)
    for rank in range(3):
        RunDirectory(root).log_path(0, rank).unlink()
    assert told(verify(root), "life 1 started from life 0, which has no logs")


def test_logs_of_schema_1_are_a_first_life(make_run: MakeRun, tmp_path: Path) -> None:
    """Logs from before there were lives are checked as ever."""
    run = make_run(2, 2, "asp")
    run.attributes = {rank: {"schema": 1} for rank in range(2)}
    report = verify(run.write(tmp_path))
    assert report.ok
    assert report.summary() == "ok: 60 rows, 2 ranks, 60 updates on each of 2 shards"
    with h5py.File(RunDirectory(tmp_path).log_path(0, 0)) as file:
        assert "start" not in file


def test_the_summary_counts_the_timeline(make_run: MakeRun, tmp_path: Path) -> None:
    """Rolled back rows are in no bar; the line of the checks tells the lives."""
    first, second = two(make_run, beyond=9)
    lines = summary_lines(write(tmp_path, first, second))
    assert lines[0].endswith("ssp bound 2, 3 ranks, 2 lives, no result yet")
    assert lines[-1] == "verify: ok: 42 rows, 2 lives, 3 ranks, 42 updates on each of 2 shards"
