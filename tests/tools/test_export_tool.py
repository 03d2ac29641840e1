"""``export``: every step once, every column as it is in the log."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mpitrain.analyse.export import TOOL
from mpitrain.analyse.tool import main
from mpitrain.storage.reading import open_log
from mpitrain.storage.schema import SHARD_COLUMNS, STEP_COLUMNS
from tests.tools.conftest import STEPS
from tests.unit.analysis.conftest import simulate


def rows_of(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the timeline's rows, read one by one: the truth."""
    log = open_log(run)
    for rank in range(log.lives[-1].size):
        for segment in log.timeline(rank):
            steps = segment.log.steps
            for row in range(segment.num_rows):
                values = {name: steps[name][row].tolist() for name in STEP_COLUMNS}
                yield {"life": segment.life, "rank": rank, **values}


def key(row: dict[str, Any]) -> tuple[int, int, int]:
    """Return what no two rows share."""
    return int(row["life"]), int(row["rank"]), int(row["clock"])


def two_lives(root: Path) -> Path:
    """Write a run of two lives, in which some rows of the first count no more."""
    run = simulate(3, 4, "ssp", bound=2, steps=30)
    cut = run.state.point()
    run.go_on(12, seed=5)
    run.write(root)
    after = run.next(cut)
    after.go_on(20, seed=7)
    return after.write(root)


def test_parquet_has_every_step_of_the_timeline(tmp_path: Path) -> None:
    """Across lives, without the rows that were rolled back, in the types of the log."""
    run, out = two_lives(tmp_path / "run"), tmp_path / "steps.parquet"
    assert main(TOOL, [str(run), "--out", str(out)]) == 0
    table = pq.read_table(out)
    assert table.column_names == ["life", "rank", *STEP_COLUMNS]
    assert str(table.schema.field("loss").type) == "float"
    found = table.to_pylist()
    assert sorted(found, key=key) == sorted(rows_of(run), key=key)
    assert len(found) == 50


@pytest.mark.parametrize("name", ["steps.csv", "steps.csv.gz"])
def test_csv_says_the_same(name: str, tmp_path: Path) -> None:
    """Every number comes back as it was; versions of the shards as 1;2;3;4."""
    run, out = two_lives(tmp_path / "run"), tmp_path / name
    assert main(TOOL, [str(run), "--out", str(out)]) == 0
    data = out.read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    found = sorted(csv.DictReader(io.StringIO(text)), key=key)
    wanted = sorted(rows_of(run), key=key)
    assert len(found) == len(wanted)
    for there, row in zip(found, wanted, strict=True):
        for column, value in row.items():
            if column in SHARD_COLUMNS:
                assert there[column] == ";".join(map(str, value))
            else:
                assert np.float32(there[column]) == np.float32(value), column


def test_long_form_has_a_row_per_shard(tmp_path: Path) -> None:
    """With what tells step and shard, and the two versions."""
    run, out = two_lives(tmp_path / "run"), tmp_path / "shards.parquet"
    assert main(TOOL, [str(run), "--out", str(out), "--shards", "long"]) == 0
    found = pq.read_table(out).to_pylist()
    wanted = [
        {**{name: row[name] for name in ("life", "rank", "clock")}, "shard": shard,
         **{name: row[name][shard] for name in SHARD_COLUMNS}}
        for row in rows_of(run)
        for shard in range(4)
    ]  # fmt: skip
    assert sorted(found, key=str) == sorted(wanted, key=str)


def test_columns_are_those_asked_for(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Beside life and rank; to standard output nothing but the table goes."""
    run = two_lives(tmp_path / "run")
    assert main(TOOL, [str(run), "--out", "-", "--columns", "loss,wait_s"]) == 0
    said = capfdbinary.readouterr()
    lines = said.out.decode().splitlines()
    assert lines[0] == "life,rank,wait_s,loss"
    assert len(lines) == 51
    assert said.err == b""


def test_real_run(ssp_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many rows as steps; versions end at that number."""
    out = tmp_path / "x.parquet"
    assert main(TOOL, [str(ssp_run), "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["notes"]) == (STEPS, [])
    written = [max(row) for row in pq.read_table(out)["version_written"].to_pylist()]
    assert max(written) == STEPS


def test_missing_logs_are_named_and_the_rest_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One log is not there, one is cut off; without any there is nothing to write."""
    run, out = simulate(3, 2, "asp", steps=30).write(tmp_path / "run"), tmp_path / "steps.csv"
    logs = [run / "log" / "life-000" / f"rank-0000{rank}.h5" for rank in range(3)]
    logs[0].unlink()
    with logs[1].open("r+b") as file:
        file.truncate(logs[1].stat().st_size // 2)
    assert main(TOOL, [str(run), "--out", str(out)]) == 2
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2].partition(":")[0] for line in said[:2]] == list(
        map(str, logs[:2])
    )
    ranks = {row["rank"] for row in csv.DictReader(io.StringIO(out.read_text()))}
    assert ranks == {"2"}
    logs[2].write_bytes(b"")
    assert main(TOOL, [str(run), "--out", str(out)]) == 2
    assert out.exists()  # the table from before is still there


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--out", "x.txt"], "--out must end in one of .csv, .csv.gz, .parquet, got x.txt"),
        (["--out", "x.csv", "--columns", "los"], "unknown column 'los'; choose from: began_s"),
        (["--out", "-", "--json"], "--json and --out - both want standard output"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit code 2."""
    run = simulate(2, 2, "asp", steps=4).write(tmp_path / "run")
    assert main(TOOL, [str(run), *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"mpitrain: error: {wanted}")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_full_disk_is_one_line(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file."""
    run = simulate(2, 2, "asp", steps=4).write(tmp_path / "run")
    out = tmp_path / f"full{ending}"
    out.symlink_to("/dev/full")
    assert main(TOOL, [str(run), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"mpitrain: error: {out}: no space left on device\n"
