"""Signals to the launcher and violent ends, through the real launchers: nothing finished is lost.

Whatever comes, no process of the job and none of its shared memory stays.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mpitrain.core.phases import COMPUTE
from mpitrain.segments import mapped_segments
from mpitrain.stop import AGAIN_S
from mpitrain.storage.last_seen import last_seen_path, read_last_seen
from tests.lives.jobs import Job, descendants, ranks_of, status_of, wait_for_steps
from tests.ranks.launcher import left_after

LAUNCHERS = ("launch", "launch-mpich")  # ours, with either MPI
STOPPING = "mpitrain: stopping at the next step with a checkpoint; signal again to end at once"
LONG = ("run.steps=100000000", "model.kind=softmax", "data.batch_size=8")
HANGING = ("model.kind=tests.failing_models:hanging", "mode.limit_s=500", "mode.warn_s=400")
BOTH = pytest.mark.parametrize("launcher", LAUNCHERS)


@contextmanager
def started(folder: Path, launcher: str, *words: str) -> Iterator[Job]:
    """Start two ranks; end whatever is left of them."""
    job = Job(folder, launcher, 2, words)
    try:
        yield job
    finally:
        if job.process.poll() is None:
            job.end()


@contextmanager
def running(folder: Path, launcher: str, *words: str, mode: str = "ssp") -> Iterator[Job]:
    """Start a run of two ranks in ``folder/run``; end whatever is left of it."""
    settings = (f"mode.kind={mode}", f"run.directory={folder}/run", *(words or LONG))
    with started(folder, launcher, "train", *settings) as job:
        yield job


def wait_for_mpiexec(job: Job) -> int:
    """Return the process of mpiexec as soon as there is one: no rank has begun then."""
    until = time.monotonic() + 20
    while not (below := descendants(job.process.pid)):
        assert time.monotonic() < until, job.text()
        time.sleep(0.001)
    return below[0]


def wait_for_hang(job: Job, run: Path) -> list[int]:
    """Return the ranks' processes when rank 1 sleeps in its 20th step."""
    path = last_seen_path(run / "log" / "life-000", 1)
    until = time.monotonic() + 30
    while (seen := read_last_seen(path)) is None or (seen.phase, seen.clock) != (COMPUTE, 19):
        assert time.monotonic() < until, job.text()
        time.sleep(0.05)
    return list(ranks_of(job).values())


@BOTH
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signal_in_mid_run_stops_with_a_checkpoint(
    tmp_path: Path, launcher: str, number: int
) -> None:
    """Exit code 3, one line that says so, and the run can go on."""
    with running(tmp_path, launcher) as job:
        wait_for_steps(job, tmp_path / "run")
        job.signal(number)
        assert job.wait() == 3, job.text()
        assert job.text().count(STOPPING) == 1
    assert status_of(tmp_path / "run")["status"] == "stopped"


@BOTH
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.05, 0.1, 0.3])
def test_signal_during_start_up_is_kept_until_the_ranks_listen(
    tmp_path: Path, launcher: str, after_s: float
) -> None:
    """At once after mpiexec was started, when USR1 would kill it or a rank."""
    with running(tmp_path, launcher) as job:
        wait_for_mpiexec(job)
        time.sleep(after_s)
        job.signal(signal.SIGTERM)
        assert job.wait() == 3, job.text()
    assert status_of(tmp_path / "run")["status"] == "stopped"


@BOTH
def test_doubled_signal_is_one(tmp_path: Path, launcher: str) -> None:
    """A shell and a terminal may both send it."""
    with running(tmp_path, launcher) as job:
        wait_for_steps(job, tmp_path / "run")
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            job.signal(number)
            time.sleep(0.02)
        assert job.wait() == 3, job.text()
        assert job.text().count(STOPPING) == 1


@BOTH
def test_second_signal_ends_a_run_that_cannot_stop(tmp_path: Path, launcher: str) -> None:
    """A rank hangs in a step: where everybody was is said, status.json says failed."""
    with running(tmp_path, launcher, *HANGING) as job:
        ranks = wait_for_hang(job, tmp_path / "run")
        assert len(ranks) == 2
        job.signal(signal.SIGINT)
        time.sleep(AGAIN_S + 0.3)
        assert job.process.poll() is None
        job.signal(signal.SIGINT)
        assert job.wait(20) not in (0, 2, 3), job.text()
        assert not left_after(ranks)
        text = job.text()
    status = status_of(tmp_path / "run")
    assert status["status"] == "failed"
    assert "the job was ended by signals to the launcher; rank 1 on " in status["reason"]
    assert "was last seen in compute at clock 19" in status["reason"]
    assert "compute at clock 19, since" in text


@BOTH
def test_third_signal_kills_also_a_launcher_that_is_stopped(tmp_path: Path, launcher: str) -> None:
    """Mpiexec hears nothing any more; its ranks and their shared memory go with it."""
    with running(tmp_path, launcher) as job:
        wait_for_steps(job, tmp_path / "run")
        ranks = list(ranks_of(job).values())
        segments = {path for rank in ranks for path in mapped_segments(rank)}
        os.kill(wait_for_mpiexec(job), signal.SIGSTOP)
        for _ in range(3):
            job.signal(signal.SIGTERM)
            time.sleep(AGAIN_S + 0.1)
        assert job.wait(20) == 137, job.text()
        assert not left_after(ranks)
        assert not [path for path in segments if path.exists()]
    assert status_of(tmp_path / "run")["status"] == "failed"


@BOTH
@pytest.mark.parametrize("mode", ["bsp", "ssp", "asp"])
def test_killed_rank_is_put_on_record(tmp_path: Path, launcher: str, mode: str) -> None:
    """All ranks end, status.json says failed and where, and the run can go on from there."""
    with running(tmp_path, launcher, mode=mode) as job:
        wait_for_steps(job, tmp_path / "run")
        ranks = ranks_of(job)
        os.kill(ranks[1], signal.SIGKILL)
        code = job.wait(20)
        assert code not in (0, 2, 3)
        assert not left_after(list(ranks.values()))
        text = job.text()
    status = status_of(tmp_path / "run")
    assert status["status"] == "failed"
    assert status["reason"].startswith(f"the job ended with code {code}")
    assert f"rank 1 on {os.uname().nodename} (pid {ranks[1]}): " in text
    assert text.count("mpitrain: resume with: ") == 1
    words = ("resume", str(tmp_path / "run"), "run.steps=1000000000")
    with started(tmp_path, launcher, *words) as more:
        wait_for_mpiexec(more)
        more.signal(signal.SIGTERM)
        assert more.wait() == 3, more.text()


@BOTH
def test_killed_mpiexec_leaves_nothing_and_others_alone(tmp_path: Path, launcher: str) -> None:
    """Its ranks would live on as orphans; another job on the same host does not notice."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with running(ours, launcher) as job, running(theirs, launcher) as other:
        for one, folder in ((job, ours), (other, theirs)):
            wait_for_steps(one, folder / "run")
        ranks = list(ranks_of(job).values())
        segments = {path for rank in ranks for path in mapped_segments(rank)}
        kept = {path for rank in ranks_of(other).values() for path in mapped_segments(rank)}
        mpiexec = wait_for_mpiexec(job)
        os.kill(mpiexec, signal.SIGKILL)
        assert job.wait(20) == 137, job.text()
        assert not left_after(ranks)
        assert not [path for path in segments if path.exists()]
        assert not list(Path("/tmp").glob(f"ompi.{mpiexec}"))
        assert all(path.exists() for path in kept)
        other.signal(signal.SIGUSR1)
        assert other.wait() == 3, other.text()
    assert status_of(ours / "run")["status"] == "failed"


@BOTH
def test_aborted_job_leaves_no_shared_memory(tmp_path: Path, launcher: str) -> None:
    """A rank raises and MPI_Abort ends all; MPICH's files would stay."""
    words = ("model.kind=tests.failing_models:raising", "run.steps=100000")
    before = {path.name for path in Path("/dev/shm").iterdir()}
    with running(tmp_path, launcher, *words) as job:
        assert job.wait(30) not in (0, 2, 3)
        uids = {path for path in Path("/dev/shm").iterdir() if path.name not in before}
        assert not [path for path in uids if path.name.startswith("mpich_shm")]


@BOTH
def test_usr1_reaches_a_script_that_trains(tmp_path: Path, launcher: str) -> None:
    """Other programs get the signals as they are."""
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, sys, time\n"
        "got = []\n"
        "signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))\n"
        "from mpi4py import MPI\n"
        "MPI.COMM_WORLD.Barrier()\n"
        "open(sys.argv[1], 'w').close()\n"
        "while not got: time.sleep(0.01)\n"
        "MPI.COMM_WORLD.Barrier()\n"
        "sys.exit(7)\n"
    )
    ready = tmp_path / "ready"
    with started(tmp_path, launcher, str(script), str(ready)) as job:
        until = time.monotonic() + 20
        while not ready.exists() and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        job.signal(signal.SIGUSR1)
        assert job.wait() == 7, job.text()
        assert STOPPING not in job.text()
