"""Chains of jobs, where none may be requeued."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.analysis.verify import verify
from mpitrain.storage.run_directory import RunDirectory
from tests.slurm.cluster import Cluster
from tests.slurm.templates import (
    BSP,
    ENVIRON,
    JOBS,
    exit_code,
    lives_of,
    wait_until_empty,
)

pytestmark = pytest.mark.slurm

CHAIN = str(JOBS / "chain.sh")
SMALL = ("--nodes=1", "--ranks-per-node=1")


def submitted(cluster: Cluster, tmp_path: Path, number: int, *words: str) -> list[str]:
    """Submit a chain in ``tmp_path / "run"``; return the numbers of its jobs."""
    words = (str(number), *SMALL, BSP, "run.directory=run", *words)
    ended = cluster.run(CHAIN, *words, cwd=tmp_path, env=ENVIRON, limit_s=20 * number)
    jobs = ended.stdout.split()
    assert (ended.returncode, len(jobs)) == (0, number), ended
    return jobs


def test_links_go_on_until_the_run_is_done_and_then_end_at_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    """A life of 3 s takes 21 steps at most: two links do not do it, six do when it is busy."""
    late = ("straggler.kind=constant", "straggler.delay=0.15")
    jobs = submitted(cluster, tmp_path, 6, "run.steps=45", "run.limit_s=3", *late)
    wait_until_empty(cluster, limit_s=120)
    chain = lives_of(tmp_path / "run")
    assert [entry["job"] for entry in chain] == jobs
    ends = [entry["what"] for entry in chain]
    assert ends[:2] == ["handed on"] * 2
    assert ends[-1] == "ended"
    assert chain[0]["steps"] < chain[1]["steps"] < 45 == chain[-1]["steps"]
    codes = [exit_code(cluster, job) for job in jobs]
    assert codes == [3 if what == "handed on" else 0 for what in ends]
    assert (RunDirectory(tmp_path / "run").read_result() or {})["steps"] == 45
    report = verify(tmp_path / "run")
    assert (report.findings, report.lives) == ([], ends.index("ended") + 1)


def test_a_link_does_not_run_into_what_the_one_before_gave_up_at(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Data that are not there: the first link says so, the others only that it gave up."""
    jobs = submitted(cluster, tmp_path, 3, "data.source=idx", "data.path=nowhere")
    wait_until_empty(cluster, limit_s=60)
    assert [exit_code(cluster, job) for job in jobs] == [2, 2, 2]
    first, *others = [(tmp_path / f"digits-bsp-{job}.out").read_text() for job in jobs]
    assert "data.path must be a folder of IDX files" in first
    for said in others:
        assert said.startswith(f"mpitrain: error: job {jobs[0]} gave up: ")
        assert len(said.splitlines()) == 1
    assert [entry["what"] for entry in lives_of(tmp_path / "run")] == ["gave up"] * 3


def test_what_is_wrong_is_said_before_anything_is_submitted(
    cluster: Cluster, tmp_path: Path
) -> None:
    """No number, a run file with a mistake, a partition that does not exist."""
    wrong = {
        (BSP,): "how many jobs?",
        ("2", BSP, "mode.knd=bsp"): "did you mean mode.kind",
        ("2", "--partition=none", BSP, "run.directory=run"): "only 0 of 2 jobs",
    }
    for words, reason in wrong.items():
        ended = cluster.run(CHAIN, *words, cwd=tmp_path, env=ENVIRON, limit_s=30)
        assert ended.returncode > 0
        assert ended.stdout == ""
        assert reason in ended.stderr
    assert cluster.ask("squeue", "-h") == ""
