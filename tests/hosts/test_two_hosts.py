"""Open MPI over TCP between two hosts: every mode completes and proves itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpitrain.analysis.verify import verify
from mpitrain.launch_environment import launcher_defaults
from tests.hosts.two_hosts import missing, two_hosts

RANKS = 4
SCRIPT = Path(__file__).parent / "on_two_hosts.py"


@pytest.mark.netns
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_modes_prove_themselves_between_two_hosts(tmp_path: Path) -> None:
    """Two ranks on each host train in every mode; a read from a busy far rank takes < 0.2 s."""
    environment = dict(os.environ)
    launcher_defaults(environment, is_root=True)
    with two_hosts(tmp_path) as launcher:
        mpiexec = str(Path(sys.executable).parent / "mpiexec")
        words = [mpiexec if word == "mpiexec" else word for word in launcher]
        ended = subprocess.run(
            [*words, "-n", str(RANKS), sys.executable, str(SCRIPT), str(tmp_path / "runs")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    facts = json.loads(ended.stdout.splitlines()[-1])
    assert facts["hosts"] == ["node1", "node2"]
    assert facts["remedy"] == "thread"
    assert facts["read_s"] < 0.2, facts
    for name, result in facts["results"].items():
        report = verify(Path(result["directory"]))
        assert report.ok, (name, report)
