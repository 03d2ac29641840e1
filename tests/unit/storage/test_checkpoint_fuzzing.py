"""Checkpoints damaged in any way are refused in one line, or what is read is what was written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

COUNT = 1000
PROGRAM = Path(__file__).with_name("checkpoint_fuzzing.py")


def test_damaged_checkpoints_are_refused_or_harmless(tmp_path: Path) -> None:
    """A thousand damages, every other with checksums made to fit; the program checks each.

    Nothing runs, nothing outside is opened, nothing is changed; memory stays small. Without fitting
    checksums, what is read is never different. With them it may be: then it is somebody's.
    """
    command = [sys.executable, str(PROGRAM), str(tmp_path), "0", str(COUNT)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    outcomes = json.loads(ended.stdout)
    assert outcomes.pop("peak_bytes") < 400 << 20
    assert sum(outcomes.values()) == COUNT
    assert outcomes["refused"] > COUNT // 4
    assert outcomes["refused, rehashed"] > COUNT // 10
    assert "different" not in outcomes
