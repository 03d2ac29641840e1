"""What the offline tools take on a large log: seconds and memory, beside reading its bytes.

The log is made without training (3.4 GB for 10^7 steps) and lies in the page cache when the tools
read it: it was just written, and it is read once before them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mpitrain.bench.large_log import write_large_log

NUM_STEPS = 10_000_000
SIZE = NUM_SHARDS = 16
TOOLS = ("summary", "staleness", "verify", "stragglers", "report")
PIECE_BYTES = 1 << 22

METER = """
import json, os, sys, time
began_s = time.perf_counter()
nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere)
_, status, usage = os.wait4(process, 0)
print(json.dumps({
    "seconds": time.perf_counter() - began_s,
    "cpu_s": usage.ru_utime + usage.ru_stime,
    "peak_mib": usage.ru_maxrss / 1024,
    "exit": os.waitstatus_to_exitcode(status),
}))
"""
"""Runs a command and prints what it took; small, as Linux counts its memory for the command's."""


def measure(num_steps: int = NUM_STEPS) -> Iterator[dict[str, Any]]:
    """Yield seconds, CPU seconds, peak memory and exit code of each tool there is.

    Args:
        num_steps: of all ranks together.
    """
    with tempfile.TemporaryDirectory(prefix="mpitrain-bench-") as folder:
        root = write_large_log(Path(folder) / "run", num_steps, size=SIZE, num_shards=NUM_SHARDS)
        paths = sorted(root.rglob("rank-*.h5"))
        num_bytes = sum(path.stat().st_size for path in paths)
        facts = {"steps": num_steps, "ranks": SIZE, "shards": NUM_SHARDS}
        _read(paths)
        yield {"tool": "read all bytes", **facts, "gb": num_bytes / 1e9, "seconds": _read(paths)}
        for tool in _known():
            words = ["--out", str(Path(folder) / "report.html")] if tool == "report" else []
            yield {"tool": tool, **facts, **_cost([tool, str(root), "--json", *words])}


def _known() -> list[str]:
    """Return the tools that there are, of those that answer for any log."""
    folder = Path(__file__).parents[1] / "analyse"
    return [tool for tool in TOOLS if (folder / f"{tool}.py").is_file()]


def _cost(words: list[str]) -> dict[str, Any]:
    """Run a tool in a process of its own and return what it took."""
    command = [sys.executable, "-m", "mpitrain", "analyse", *words]
    done = subprocess.run(
        [sys.executable, "-c", METER, *command], capture_output=True, text=True, check=True
    )
    cost: dict[str, Any] = json.loads(done.stdout)
    return cost


def _read(paths: list[Path]) -> float:
    """Read files from beginning to end, and return the seconds."""
    piece = bytearray(PIECE_BYTES)
    began_s = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(piece):
                pass
    return time.perf_counter() - began_s
