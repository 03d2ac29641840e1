"""Verification of a run: valid runs pass, and each planted fault is found where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpitrain.analysis.verify import Report, verify
from mpitrain.bench.large_log import write_large_log
from mpitrain.core.errors import LogError
from mpitrain.storage.run_directory import RunDirectory

MakeRun = Callable[..., Any]

VALID = [
    *(("ssp", bound, size, shards) for bound in (0, 1, 3) for size, shards in ((2, 1), (4, 3))),
    *(("asp", None, size, shards) for size, shards in ((1, 1), (2, 5), (5, 4))),
    ("bsp", None, 1, 1),
    ("bsp", None, 4, 3),
]


def log_of(root: Path, rank: int) -> Path:
    """Return the log of a rank in life 0."""
    return RunDirectory(root).log_path(0, rank)


def has(report: Report, path: Path, row: int | None, *words: str) -> bool:
    """Tell whether a finding names this file and row and says all these words."""
    return any(
        finding.file == path and finding.row == row and all(w in finding.what for w in words)
        for finding in report.findings
    )


def lines(report: Report) -> str:
    """Return the findings as text, for failing assertions."""
    return "\n".join(map(str, report.findings))


@pytest.mark.parametrize("share", ["equal", "shared"])
@pytest.mark.parametrize(("mode", "bound", "size", "shards"), VALID)
def test_a_valid_run_passes(
    make_run: MakeRun, tmp_path: Path, mode: str, bound: int | None, size: int, shards: int,
    share: str,
) -> None:  # fmt: skip
    """No check fails on a run that kept to the rules, whatever its interleaving."""
    share = "equal" if mode == "bsp" else share
    for seed in range(3):
        run = make_run(size, shards, mode, bound=bound, share=share, seed=seed)
        report = verify(run.write(tmp_path / str(seed)))
        assert report.ok, lines(report)
        assert report.notes == []
        assert (report.rows, report.ranks, report.shards) == (60, size, shards)
        assert report.updates_per_shard == (60 // size if mode == "bsp" else 60)


def test_simulated_runs_are_stale(make_run: MakeRun) -> None:
    """The runs that pass are no trivial ones: reads miss updates, and leads reach the bound."""
    rows = [row for own in make_run(4, 3, "ssp", bound=3, steps=200).rows for row in own]
    assert max(row["lead"] for row in rows) == 3
    assert max(row["staleness_max"] for row in rows) >= 4
    assert any(len(set(row["version_read"])) > 1 for row in rows)


def test_a_lost_update_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """A version that no row has is reported at the row that wrote the next one."""
    run = make_run(3, 2, "asp")
    before = run.rows[1][5]["version_written"][1]
    for row in (row for own in run.rows for row in own):  # a second update after that one
        row["version_written"][1] += row["version_written"][1] > before
        row["version_read"][1] += row["version_read"][1] > before
    run.recount()
    report = verify(run.write(tmp_path))
    (after,) = (
        (log_of(tmp_path, rank), row["clock"])
        for rank, own in enumerate(run.rows)
        for row in own
        if row["version_written"][1] == before + 2
    )
    (finding,) = report.findings
    assert (finding.file, finding.row) == after
    assert finding.what.startswith(f"version {before + 1} of shard 1 is lost")


def test_a_doubled_version_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """Two rows that made the same version of a shard are both named."""
    run = make_run(3, 2, "asp")
    first, second = run.rows[0][5], run.rows[2][3]
    first["version_written"][0] = second["version_written"][0]
    run.recount()
    report = verify(run.write(tmp_path))
    words = f"version {second['version_written'][0]} of shard 0", "twice"
    assert has(report, log_of(tmp_path, 0), 5, *words, "rank 2 row 3"), lines(report)
    assert has(report, log_of(tmp_path, 2), 3, *words, "rank 0 row 5"), lines(report)


def test_a_read_from_the_future_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """A gradient cannot have been computed from the version that it made."""
    run = make_run(3, 2, "asp")
    row = run.rows[1][7]
    row["version_read"][1] = row["version_written"][1]
    run.recount()
    report = verify(run.write(tmp_path))
    assert has(report, log_of(tmp_path, 1), 7, "read version", "shard 1", "read < written"), lines(
        report
    )


def test_a_lead_above_the_bound_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """The column ``lead`` is compared with the bound, in ssp only."""
    run = make_run(3, 2, "ssp", bound=2)
    run.rows[0][8]["lead"] = 3
    report = verify(run.write(tmp_path))
    assert [str(f) for f in report.findings] == [
        f"{log_of(tmp_path, 0)} row 8: lead is 3, the bound is 2"
    ]


def test_a_read_older_than_the_bound_allows_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """A read that misses an update it must see is found, though all columns agree with it."""
    run = make_run(3, 2, "ssp", bound=1, steps=90)
    row = run.rows[2][9]
    must_see = run.rows[2][9 - 2]["version_written"][0]
    row["version_read"][0] = must_see - 1
    run.recount()
    report = verify(run.write(tmp_path))
    assert has(report, log_of(tmp_path, 2), 9, "older than bound 1 allows", "by clock 7"), lines(
        report
    )
    assert not has(report, log_of(tmp_path, 2), 9, "staleness_max")


@pytest.mark.parametrize("column", ["staleness_mean", "staleness_max", "own_missing"])
def test_a_wrong_staleness_is_found(make_run: MakeRun, tmp_path: Path, column: str) -> None:
    """Staleness is recomputed from the versions, and only that row is reported."""
    run = make_run(3, 2, "asp")
    run.rows[1][4][column] += 1 if column != "staleness_mean" else 1e-4
    report = verify(run.write(tmp_path))
    (finding,) = report.findings
    assert (finding.file, finding.row) == (log_of(tmp_path, 1), 4)
    assert finding.what.startswith(f"{column} is ")
    assert "the versions give" in finding.what


def test_a_clock_gap_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """A row that is lacking is noticed at the row after it."""
    run = make_run(3, 2, "asp")
    del run.rows[1][4]
    report = verify(run.write(tmp_path))
    assert has(report, log_of(tmp_path, 1), 4, "clock is 5 after 3"), lines(report)


def test_swapped_rows_are_found(make_run: MakeRun, tmp_path: Path) -> None:
    """Rows out of order are noticed by clock, by time and by version."""
    run = make_run(3, 2, "asp")
    run.rows[0][6], run.rows[0][7] = run.rows[0][7], run.rows[0][6]
    report = verify(run.write(tmp_path))
    assert has(report, log_of(tmp_path, 0), 6, "clock is 7 after 5"), lines(report)
    assert has(report, log_of(tmp_path, 0), 7, "began_s is")
    assert has(report, log_of(tmp_path, 0), 7, "wrote version", "in the row before")


def test_a_log_of_the_wrong_rank_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """The file's name says whose log it holds; two that changed places are both named."""
    root = make_run(3, 2, "ssp", bound=1, share="equal").write(tmp_path)
    one, two = log_of(root, 1), log_of(root, 2)
    two.rename(root / "other")
    one.rename(two)
    (root / "other").rename(one)
    report = verify(root)
    assert has(report, one, None, "holds the log of rank 2, by its name it is that of 1")
    assert has(report, two, None, "holds the log of rank 1, by its name it is that of 2")
    assert has(report, one, 0, "ticket is 2, with equal shares it must be 1")


def test_a_missing_log_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """An absent file is one finding; the versions it holds are not counted as lost."""
    root = make_run(4, 2, "asp").write(tmp_path)
    log_of(root, 2).unlink()
    report = verify(root)
    assert [str(f) for f in report.findings] == [f"{log_of(root, 2)}: there is no such file"]
    assert any("longest prefix" in note for note in report.notes)


def test_a_flipped_bit_is_found_by_the_check(make_run: MakeRun, tmp_path: Path) -> None:
    """A value that changed after it was written does not fit the row's check."""
    root = make_run(3, 2, "asp").write(tmp_path)
    with h5py.File(log_of(root, 1), "r+") as file:
        file["steps/version_read"][6, 1] ^= 1 << 40
    report = verify(root)
    assert has(report, log_of(root, 1), 6, "check is 0x"), lines(report)


def test_a_doubled_ticket_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """No mini-batch is computed twice, and none is left out."""
    run = make_run(3, 2, "asp", share="shared")
    twice = run.rows[2][4]["ticket"]
    lost = run.rows[0][3]["ticket"]
    run.rows[0][3] |= {"ticket": twice, "num_samples": run.rows[2][4]["num_samples"]}
    report = verify(run.write(tmp_path))
    assert has(report, log_of(tmp_path, 0), 3, f"ticket {twice} occurs twice"), lines(report)
    assert any(f"ticket {lost} is lost" in finding.what for finding in report.findings)


@pytest.mark.parametrize(
    ("name", "value"),
    [("run_id", "s"), ("bound", 4), ("mode", "asp"), ("size", 9), ("seed", 2), ("layout", "[]")],
)
def test_a_log_of_another_run_is_found(
    make_run: MakeRun, tmp_path: Path, name: str, value: str | int
) -> None:
    """All logs of a life say the same of the run; the one that differs from most is named."""
    run = make_run(3, 2, "ssp", bound=1)
    run.attributes[0] = {name: value}
    report = verify(run.write(tmp_path))
    assert has(report, log_of(tmp_path, 0), None, f"{name} is {value!r}, in most logs"), lines(
        report
    )


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("wait_s", -0.5, "wait_s is -0.5"),
        ("compute_s", float("nan"), "compute_s is nan"),
        ("began_s", -1.0, "began_s is -1.0"),
        ("num_samples", 7, "num_samples is 7"),
        ("lead", -1, "lead is -1"),
        ("ticket", 1000, "with equal shares it must be"),
    ],
)
def test_an_impossible_number_is_found(
    make_run: MakeRun, tmp_path: Path, column: str, value: float, words: str
) -> None:
    """Each row is checked by itself as well."""
    run = make_run(2, 2, "asp", share="equal")
    run.rows[1][9][column] = value
    report = verify(run.write(tmp_path))
    assert has(report, log_of(tmp_path, 1), 9, words), lines(report)


def test_synchronous_ranks_that_differ_are_found(make_run: MakeRun, tmp_path: Path) -> None:
    """Staleness, versions, numbers of steps and digests are compared in bsp."""
    run = make_run(3, 2, "bsp", share="equal")
    run.rows[0][3]["staleness_max"] = 1
    run.rows[1][4]["version_read"] = run.rows[1][4]["version_read"] - 1
    del run.rows[2][-1]
    run.digests[0] = "abd"
    root = run.write(tmp_path)
    report = verify(root)
    assert has(report, log_of(root, 0), 3, "staleness_max is 1 in a synchronous run"), lines(report)
    assert has(report, log_of(root, 1), 4, "version_read is [3, 3]", "must be 4")
    assert has(report, log_of(root, 2), None, "has 19 rows, most logs of this life 20")
    assert has(report, log_of(root, 0), None, "digest 0 of the parameters is abd, not abc")


def cut(run: Any, random: np.random.Generator) -> None:
    """Drop the last rows of each rank, as a kill between two flushes does."""
    for own in run.rows:
        del own[len(own) - int(random.integers(0, 6)) :]


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_run_is_complete_up_to_a_prefix(
    make_run: MakeRun, tmp_path: Path, seed: int
) -> None:
    """Rows that were not flushed are no fault; what is complete is counted."""
    run = make_run(4, 3, "ssp", bound=3, seed=seed)
    cut(run, np.random.default_rng(seed))
    report = verify(run.write(tmp_path, is_closed=lambda _: False))
    assert report.ok, lines(report)
    written = [
        {int(row["version_written"][k]) for own in run.rows for row in own} for k in range(3)
    ]
    complete = min(min(set(range(1, 62)) - versions) - 1 for versions in written)
    assert report.updates_per_shard == complete
    assert any("still runs or was killed" in note for note in report.notes)


def test_a_version_that_every_rank_has_gone_past_is_lost_in_a_killed_run(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """A gap before the last row of every open log cannot be filled by rows to come."""
    run = make_run(3, 1, "asp")
    row = run.rows[1][2]
    version = int(row["version_written"][0])
    row["version_written"] = row["version_written"] + 1000
    report = verify(run.write(tmp_path, is_closed=lambda _: False))
    assert any(f"version {version} of shard 0 is lost" in f.what for f in report.findings)


def test_an_open_log_of_a_finished_run_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    """When the run says that it is done, every log must have been closed."""
    root = make_run(3, 2, "asp").write(tmp_path, is_closed=lambda rank: rank != 1)
    RunDirectory(root).write_status({"status": "done", "life": 0})
    report = verify(root)
    assert has(report, log_of(root, 1), None, "the run is done, but this log was not closed")


def test_without_versions_the_report_says_what_was_not_checked(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """With ``log.per_shard = false`` rows are checked, invariants of versions are not."""
    run = make_run(3, 2, "asp")
    run.per_shard = False
    report = verify(run.write(tmp_path))
    assert report.ok, lines(report)
    assert report.updates_per_shard is None
    assert any("log.per_shard was off" in note for note in report.notes)


def test_many_faults_are_told_in_few_findings(make_run: MakeRun, tmp_path: Path) -> None:
    """A check that fails on every row gives 20 rows and a count, and the report can be JSON."""
    run = make_run(1, 1, "asp")
    for row in run.rows[0]:
        row["num_samples"] = 0
    report = verify(run.write(tmp_path))
    assert (len(report.findings), report.num_faults) == (21, 60)
    assert json.loads(json.dumps(report.to_json()))["faults"] == 60
    assert report.summary() == "60 faults in 60 rows, 1 rank, 60 updates on 1 shard"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """A folder without logs is an error, not a run without faults."""
    with pytest.raises(LogError, match="holds no staleness log"):
        verify(tmp_path)


@pytest.mark.parametrize("name", ["steps", "ranks"])
def test_logs_that_hold_less_than_the_result_counts_are_found(
    make_run: MakeRun, tmp_path: Path, name: str
) -> None:
    """A run that is done must have all its rows; cut or removed logs do not pass."""
    run = make_run(3, 2, "asp")
    root = run.write(tmp_path)
    report = verify(root)
    result = {"steps": report.rows, "ranks": 3}
    directory = RunDirectory(root)
    directory.write_status({"status": "done", "life": 0})
    assert has(verify(root), directory.result, None, "the run is done, but its result is missing")
    directory.write_result(result)
    assert verify(root).ok
    directory.write_result({**result, name: result[name] + 1})
    assert has(verify(root), directory.result, None, f"{name}, the logs hold")


def test_a_log_that_breaks_off_in_the_middle_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File and rows are named, and what the other ranks did is still checked."""
    root = write_large_log(tmp_path / "run", 60_000, size=3, num_shards=2)
    with h5py.File(log_of(root, 2), "r+", libver="latest") as file:
        file["steps/lead"][7] = 99
        num_rows = file["steps/ticket"].chunks[0]
    read = h5py.Dataset.__getitem__

    def failing(column: h5py.Dataset, key: Any) -> Any:
        """Fail as a disk does: only where it is asked for the second piece of one column."""
        is_there = column.name == "/steps/ticket" and "rank-00001" in column.file.filename
        if is_there and isinstance(key, slice) and key.start < 2 * num_rows and key.stop > num_rows:
            message = "Can't synchronously read data (file read failed: Input/output error)"
            raise OSError(message)
        return read(column, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", failing)
    report = verify(root)
    rows = f"ticket of rows {num_rows} to {2 * num_rows - 1} cannot be read: "
    assert has(report, log_of(root, 1), None, rows, "Input/output error")
    assert has(report, log_of(root, 2), 7, "lead is 99")
    result = f"the result counts 60000 steps, the logs hold {report.rows}"
    assert has(report, RunDirectory(root).result, None, result)
    assert report.rows == 40_000
    assert len(report.findings) == 4, lines(report)
