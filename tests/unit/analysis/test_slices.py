"""Logs are read slice by slice: where the slices end changes nothing, whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mpitrain.analysis import guarantee, scan, staleness
from mpitrain.analysis.distribution import distribution_of
from mpitrain.analysis.readable import open_readable
from mpitrain.analysis.staleness import staleness_of
from mpitrain.analysis.verify import verify
from mpitrain.storage.reading import LifeLog, open_log
from mpitrain.storage.run_directory import RunDirectory

MakeRun = Callable[..., Any]

FAULTY = ("clock", "ticket", "began_s", "wait_s", "lead", "staleness_mean", "staleness_max",
          "own_missing", "version_read", "version_written", "num_samples", "check")  # fmt: skip


def spoil(root: Path, random: np.random.Generator, num_ranks: int) -> None:
    """Change some numbers of some rows, a row or many in a line, in all logs."""
    for rank in range(num_ranks):
        with h5py.File(RunDirectory(root).log_path(0, rank), "r+") as file:
            for name in random.choice(FAULTY, 2, replace=False):
                column = file[f"steps/{name}"]
                values = column[:]
                first = int(random.integers(len(values)))
                last = first + int(random.choice([1, 2, 40]))
                change = random.choice([-7, -1, 1, 2, 90])
                values[first:last] = (values[first:last] + change).astype(values.dtype)
                column[:] = values


@pytest.mark.parametrize(
    ("mode", "bound", "share"),
    [("ssp", 2, "shared"), ("asp", None, "equal"), ("bsp", None, "equal")],
)
@pytest.mark.parametrize("seed", range(6))
def test_where_slices_end_changes_no_finding(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str,
    bound: int | None, share: str, seed: int,
) -> None:  # fmt: skip
    """The same report, word for word, from slices of 1, 7 and all rows of faulty logs."""
    run = make_run(3, 2, mode, bound=bound, share=share, steps=150, seed=seed)
    root = run.write(tmp_path, is_closed=lambda rank: rank != seed % 4)
    spoil(root, np.random.default_rng(seed), 3)
    whole = verify(root)
    assert not whole.ok
    for num_rows in (1, 7):
        monkeypatch.setattr(scan, "MOST_ROWS", num_rows)
        assert verify(root).to_json() == whole.to_json()


@pytest.mark.parametrize("num_clocks", [1, 5, 30])
@pytest.mark.parametrize(("size", "bound"), [(1, 0), (2, 1), (3, 2), (2, 40)])
def test_how_many_clocks_are_looked_at_together_changes_no_finding(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, bound: int,
    num_clocks: int,
) -> None:  # fmt: skip
    """Of reads that are too old for the bound: the same rows, for the same reasons."""
    num_told = 0
    for seed in range(8):
        run = make_run(size, 2, "ssp", bound=bound, steps=100 * size, seed=seed)
        random = np.random.default_rng(seed)
        for _ in range(seed):
            row = random.choice(run.rows[random.integers(size)])
            name = str(random.choice(["version_read", "version_written"]))
            row[name][random.integers(2)] += random.choice([-9, -4, 4])
        root = run.write(tmp_path / str(seed))
        (life,) = open_log(root).lives
        wanted = old_reads(life, bound)
        with monkeypatch.context() as patch:
            patch.setattr(guarantee, "MOST_BYTES", 16 * 2 * num_clocks)
            assert old_reads(life, bound) == wanted
        num_told += len(wanted)
    assert num_told > 5 or bound == 40


def old_reads(life: LifeLog, bound: int) -> list[str]:
    """Return what is told of reads that were too old."""
    found = guarantee.Guarantee(life, bound, life.start)
    for rank, log in life.ranks.items():
        scan.scan(log, found.viewers(rank))
    return sorted(map(str, found.findings()))


@pytest.mark.parametrize("num_kept", [1, 2, 64])
@pytest.mark.parametrize("num_rows", [1, 7, 10_000])
def test_staleness_is_counted_slice_by_slice(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int, num_kept: int
) -> None:
    """As from whole columns: where no own update is missing, the last one is, or older ones are."""
    monkeypatch.setattr(staleness, "NUM_KEPT", num_kept)
    monkeypatch.setattr(scan, "MOST_ROWS", num_rows)
    for missing in (0, 1, 3):
        run = make_run(3, 2, "asp", steps=90, seed=missing)
        for own in run.rows:
            for row, before in zip(own[missing:], own, strict=False):
                if missing:  # it did not see its update of so many rows before
                    row["version_read"] = before["version_written"] - 1
        root = run.write(tmp_path / str(missing))
        (life,) = open_log(root).lives
        wanted = np.concatenate([staleness_of(log).others.ravel() for log in life.ranks.values()])
        numbers, counts = np.unique(wanted, return_counts=True)
        found = distribution_of(open_readable(root)).whole("staleness").items()
        assert found == list(zip(numbers.tolist(), counts.tolist(), strict=True))
        owns = [int(staleness_of(log).own.max()) for log in life.ranks.values()]
        assert set(owns) == {missing}
