"""``tools/verify.py``: what it prints, how it exits, and where it can be started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter

TOOL = Path(__file__).parents[2] / "tools" / "verify.py"


def write_run(root: Path, lead: int = 0) -> Path:
    """Write a run of one rank and 30 steps; a ``lead`` above 0 is a fault in every row from 1."""
    run = RunDirectory(root)
    run.life_directory(0).mkdir(parents=True)
    attributes = {
        "run_id": "r", "life": 0, "rank": 0, "size": 1, "host": "h", "mode": "ssp", "bound": 0,
        "share": "shared", "seed": 1, "batch_size": 8, "num_samples": 64, "shards": 1,
        "layout": "{}",
    }  # fmt: skip
    with LogWriter(
        run.log_path(0, 0),
        attributes=attributes,
        shards=np.array([[0, 10, 0]]),
        per_shard=True,
        flush_every_s=60.0,
    ) as log:
        for row in range(30):
            version = np.array([row])
            numbers = [0, 0, 0, 0, 0, min(lead, row), 0, 0, 0, 0, 0, 0, 0, 1, 8]
            log.append(row, row, *numbers, version, version + 1)
    return root


def run_tool(*arguments: str, cwd: str = "/") -> subprocess.CompletedProcess[str]:
    """Start the tool as a person does."""
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_a_valid_run_is_ok_from_any_directory(tmp_path: Path) -> None:
    """One line with the counts and exit code 0."""
    done = run_tool(str(write_run(tmp_path)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "ok: 30 rows, 1 rank, 30 updates on 1 shard\n"


def test_faults_are_named_and_beyond_twenty_counted(tmp_path: Path) -> None:
    """File and row of each, exit code 1, as text and as JSON."""
    root = write_run(tmp_path, lead=1)
    done = run_tool(str(root))
    lines = done.stdout.splitlines()
    log = RunDirectory(root).log_path(0, 0)
    assert done.returncode == 1
    assert lines[0] == f"{log} row 1: lead is 1, the bound is 0"
    assert lines[-2:] == [
        "... and 1 more",
        "29 faults in 30 rows, 1 rank, 30 updates on 1 shard",
    ]
    assert len(lines) == 22
    said = run_tool(str(root), "--json")
    report = json.loads(said.stdout)
    assert (said.returncode, report["ok"], report["faults"]) == (1, False, 29)
    assert report["findings"][0] == {
        "file": str(log),
        "row": 1,
        "what": "lead is 1, the bound is 0",
        "num_rows": 1,
    }


def test_what_is_no_run_directory_exits_2(tmp_path: Path) -> None:
    """A user mistake is one line on standard error."""
    done = run_tool(str(tmp_path / "absent"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"mpitrain: error: {tmp_path / 'absent'} is no run directory: there is no such folder"
    ]


def test_the_tool_needs_no_mpi(tmp_path: Path) -> None:
    """It runs where mpi4py cannot be imported."""
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no MPI here')\n")
    root = write_run(tmp_path / "run")
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = [{str(root)!r}]"
    )
    code += f"; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
