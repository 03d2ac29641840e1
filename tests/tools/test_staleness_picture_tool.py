"""``tools/staleness_picture.py``: what it draws, how it exits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter

TOOL = Path(__file__).parents[2] / "tools" / "staleness_picture.py"
ROWS = 30


def write_run(root: Path, *, mode: str = "ssp") -> Path:
    """Write a run of two ranks; rank 1 misses two updates of rank 0 in each of its steps."""
    run = RunDirectory(root)
    run.life_directory(0).mkdir(parents=True)
    attributes = {
        "run_id": "r", "life": 0, "size": 2, "host": "h", "mode": mode, "bound": 3,
        "share": "shared", "seed": 1, "batch_size": 8, "num_samples": 64, "shards": 1,
        "layout": "{}",
    }  # fmt: skip
    for rank in range(2):
        with LogWriter(
            run.log_path(0, rank),
            attributes=attributes | {"rank": rank},
            shards=np.array([[0, 10, 0]]),
            per_shard=True,
            flush_every_s=60.0,
        ) as log:
            for row in range(ROWS):
                stale = 2 * rank
                numbers = [row + rank / 2, 0, 0, 0, 0, 0, stale, stale, 0, 0, 0, 0, 0, 1, 8]
                version = np.array([2 * row])
                log.append(row, 2 * row + rank, *numbers, version, version + 1)
    return root


def run_tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start the tool as a person does, where mpi4py cannot be imported."""
    code = (
        "import runpy, sys; sys.modules['mpi4py'] = None; "
        f"sys.argv[1:] = {list(arguments)!r}; runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_gradients_come_in_the_order_in_which_their_steps_began(tmp_path: Path) -> None:
    """Of all ranks together, each with its own staleness; title and limit are those of the run."""
    sys.path.insert(0, str(TOOL.parent))
    try:
        from staleness_picture import gradients_of
    finally:
        sys.path.remove(str(TOOL.parent))
    from mpitrain import open_log

    found = gradients_of(open_log(write_run(tmp_path)))
    assert found.ranks.tolist() == [0, 1] * ROWS
    assert found.staleness.tolist() == [0.0, 2.0] * ROWS
    assert found.limit == 7
    assert found.title == "ssp, bound 3\nstaleness mean 1.00, largest 2"


def test_picture_holds_every_run_and_is_the_same_again(tmp_path: Path) -> None:
    """One panel for each; the same runs give the same bytes, without MPI."""
    runs = [str(write_run(tmp_path / mode, mode=mode)) for mode in ("ssp", "asp")]
    pictures = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for picture in pictures:
        done = run_tool(*runs, "--out", str(picture))
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{picture}\n", "")
    first = pictures[0].read_text(encoding="utf-8")
    assert first.count("<image") == len(runs)
    assert first == pictures[1].read_text(encoding="utf-8")


def test_what_cannot_be_drawn_is_said_in_one_line(tmp_path: Path) -> None:
    """No run, and a format that is none; exit code 2, nothing written."""
    out = tmp_path / "x.svg"
    absent = run_tool(str(tmp_path / "absent"), "--out", str(out))
    assert (absent.returncode, absent.stdout) == (2, "")
    assert absent.stderr == (
        f"staleness_picture: error: {tmp_path / 'absent'} is no run directory: "
        "there is no such folder\n"
    )
    unknown = run_tool(str(tmp_path), "--out", "x.jpeg")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "staleness_picture: error: --out must end in one of .pdf, .png, .svg, got x.jpeg\n",
    )
    assert not out.exists()
