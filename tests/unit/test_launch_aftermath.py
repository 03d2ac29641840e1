"""After a job that could not speak for itself: the record, the words, the note, shared memory."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mpitrain import launch_orphans, segments
from mpitrain.core.phases import COMPUTE, WAIT
from mpitrain.launch_aftermath import seen_lines, settle, still_runs
from mpitrain.launch_environment import RANK_VARIABLES
from mpitrain.launch_note import NOTE_VARIABLE, LaunchNote, Noted, note_run_directory
from mpitrain.storage.last_seen import LastSeen, Seen, last_seen_path
from mpitrain.storage.run_lock import RunLock
from tests.ranks.launcher import ROOT

PID = 4711


def dead_run(root: Path, *, status: str = "running", pid: int = PID) -> Noted:
    """Make the directory of a run of two ranks: 0 waits, 1 was computing."""
    life = root / "log" / "life-002"
    life.mkdir(parents=True)
    (root / "run.toml").touch()
    text = json.dumps({"status": status, "life": 2, "pid": pid, "time": "", "reason": "before"})
    (root / "status.json").write_text(text)
    for rank, phase in ((0, WAIT), (1, COMPUTE)):
        LastSeen(last_seen_path(life, rank), rank, f"node{rank}", 2).note(phase, 17)
    return Noted(root, life, 2, PID)


def status_of(root: Path) -> dict[str, object]:
    """Return status.json."""
    return dict(json.loads((root / "status.json").read_text()))


@pytest.mark.parametrize(("code", "expected"), [(137, 137), (0, 1), (3, 3)])
def test_silent_end_is_put_on_record(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], code: int, expected: int
) -> None:
    """status.json says failed and who was last seen where; 0 becomes 1, other codes stay."""
    noted = dead_run(tmp_path)
    (tmp_path / "checkpoints" / "step-000000000").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-000000000" / "complete.json").touch()
    assert settle(noted, code, num_ranks=2) == expected
    status = status_of(tmp_path)
    reason = f"the job ended with code {code}; rank 1 on node1 was last seen in compute at clock 17"
    assert (status["status"], status["life"], status["reason"]) == ("failed", 2, reason)
    assert status["said_by"] == "launcher"
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == f"mpitrain: {reason}"
    assert lines[1].startswith(f"mpitrain: rank 1 on node1 (pid {os.getpid()}): compute at")
    assert lines[2].startswith("mpitrain: rank 0 on node0")
    assert lines[3].endswith(f"-m mpitrain launch -n 2 resume {tmp_path}")
    assert settle(noted, code, num_ranks=2) == code  # the second time it is settled


def test_run_without_checkpoint_is_not_said_to_be_resumable(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to go on from."""
    assert settle(dead_run(tmp_path), 9, num_ranks=2, cause="a cause") == 9
    assert "resume with" not in capfd.readouterr().err
    assert str(status_of(tmp_path)["reason"]).startswith("a cause; rank 1 on node1")


@pytest.mark.parametrize("status", ["failed", "stopped", "done"])
def test_run_that_spoke_for_itself_is_left_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], status: str
) -> None:
    """Also one that another job goes on with, and one whose status cannot be read."""
    assert settle(dead_run(tmp_path / "a", status=status), 137, num_ranks=2) == 137
    assert status_of(tmp_path / "a")["reason"] == "before"
    assert settle(dead_run(tmp_path / "b", pid=PID + 1), 137, num_ranks=2) == 137
    assert status_of(tmp_path / "b")["status"] == "running"
    noted = dead_run(tmp_path / "c")
    (tmp_path / "c" / "status.json").write_text("garbage")
    assert settle(noted, 137, num_ranks=2) == 137
    assert settle(None, 137, num_ranks=2) == 137
    assert capfd.readouterr().err == ""


def test_run_that_is_in_use_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody goes on with it this moment: the words are said, the record is theirs."""
    monkeypatch.setattr("mpitrain.launch_aftermath.LOCK_LIMIT_S", 0.2)
    noted = dead_run(tmp_path)
    lock = RunLock(tmp_path)
    assert settle(noted, 0, num_ranks=2) == 1
    lock.close()
    assert still_runs(noted)


def test_directory_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    """No status, nothing to say."""
    assert settle(Noted(tmp_path / "x", tmp_path / "x", 0, 1), 137, num_ranks=2) == 137


def test_many_ranks_are_cut_and_the_silent_come_first() -> None:
    """Sixteen lines and a count; who stopped earlier is marked."""
    waiting = [Seen(rank, "a", 1, 0, WAIT, 9, 100.0) for rank in range(40)]
    waiting[30] = Seen(30, "a", 1, 0, COMPUTE, 8, 90.0)
    lines = seen_lines(waiting, 101.0)
    assert len(lines) == 17
    assert lines[0] == (
        "rank 30 on a (pid 1): compute at clock 8, since 11.0 s; "
        "10.0 s before the last sign of the others"
    )
    assert "before the last sign" not in "".join(lines[1:])
    assert lines[-1] == "... and 24 more"
    assert seen_lines([]) == []


def test_note_goes_to_the_launcher_and_goes_away_with_it(tmp_path: Path) -> None:
    """Absolute paths, life and process; the folder is private."""
    with LaunchNote() as note:
        assert note.read() is None
        assert note.path.parent.stat().st_mode & 0o777 == 0o700
        note_run_directory({NOTE_VARIABLE: str(note.path)}, tmp_path, tmp_path / "log", 3)
        assert note.read() == Noted(tmp_path, tmp_path / "log", 3, os.getpid())
        for garbage in ("", "[]", "{}", '{"directory": 5}', "\0", "[" * 100_000):
            note.path.write_text(garbage)
            assert note.read() is None
    assert not note.path.parent.exists()


def test_note_without_launcher_or_on_another_host_is_nothing(tmp_path: Path) -> None:
    """No variable, a folder that is not here, a relative path."""
    note_run_directory({}, tmp_path, tmp_path, 0)
    note_run_directory({NOTE_VARIABLE: str(tmp_path / "none" / "note")}, tmp_path, tmp_path, 0)
    note_run_directory({NOTE_VARIABLE: "note"}, tmp_path, tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_alone", [False, True])
def test_only_mpich_segments_of_this_process_lose_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_alone: bool
) -> None:
    """Not Open MPI's, unless no launcher started it, not others', not ordinary files."""
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if not is_alone:
        monkeypatch.setenv("PMIX_RANK", "0")
    monkeypatch.setattr(segments, "FOLDER", str(tmp_path))
    names = ("mpich_shm_6d39_0", "mpich_shar_tmpAb", "sm_segment.vm.0.1", "my_mpich_shm_1", "data")
    maps = []
    for name in names:
        (tmp_path / name).write_bytes(b"x" * 4096)
        with (tmp_path / name).open("r+b") as file:
            maps.append(mmap.mmap(file.fileno(), 4096))
    (tmp_path / "mpich_shm_other_0").touch()
    gone = segments.unlink_segments()
    expected = ["mpich_shar_tmpAb", "mpich_shm_6d39_0"] + is_alone * ["sm_segment.vm.0.1"]
    assert sorted(path.name for path in gone) == expected
    left = {path.name for path in tmp_path.iterdir()}
    others = {"sm_segment.vm.0.1", "my_mpich_shm_1", "data", "mpich_shm_other_0"}
    assert left == others - set(expected)
    assert maps[0][:1] == b"x"
    assert segments.unlink_segments() == []
    for mapped in maps:
        mapped.close()


ORPHANS = """
import os, subprocess, sys
from mpitrain.launch_orphans import end_orphans, take_in_orphans
take_in_orphans()
middle = '''
import os, subprocess, sys
for name in ("ours", "theirs"):
    environ = dict(os.environ, MARK=name)
    words = [sys.executable, "-c", sys.argv[1], name]
    subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
os._exit(0)
'''
sleeper = '''
import mmap, os, sys, time
with open(os.environ["SEGMENT_" + sys.argv[1]], "r+b") as f:
    m = mmap.mmap(f.fileno(), 4096)
time.sleep(60)
'''
subprocess.run([sys.executable, "-c", middle, sleeper])
import time
time.sleep(1.0)
print(*end_orphans("MARK=ours", 99), flush=True)
"""


def test_orphans_of_one_job_are_ended_with_their_segments() -> None:
    """Another child that this process took in, and its memory, stay."""
    base = f"/dev/shm/sm_segment.test.{os.getpid()}"
    places = {name: Path(f"{base}.{name}") for name in ("ours", "theirs")}
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name, place in places.items():
        place.write_bytes(b"x" * 4096)
        environ[f"SEGMENT_{name}"] = str(place)
    try:
        words = [sys.executable, "-c", ORPHANS]
        ended = subprocess.run(
            words, env=environ, capture_output=True, text=True, check=True, timeout=30
        )
        pids = [int(word) for word in ended.stdout.split()]
        assert len(pids) == 1
        assert not places["ours"].exists()
        assert places["theirs"].exists()
    finally:
        for place in places.values():
            place.unlink(missing_ok=True)
        theirs = f"SEGMENT_theirs={places['theirs']}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if theirs in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)


def test_session_folder_is_that_of_the_job() -> None:
    """Open MPI names it after its launcher's process."""
    found = launch_orphans._session_folder(Path("/tmp/ompi.12/1/file"), 12)
    assert found == Path("/tmp/ompi.12")
    assert launch_orphans._session_folder(Path("/tmp/ompi.123/1/file"), 12) is None
    assert launch_orphans._session_folder(Path("/dev/shm/x"), 12) is None


def test_waiting_for_orphans_costs_nothing_when_there_are_none() -> None:
    """The usual case after an error."""
    began = time.perf_counter()
    assert launch_orphans.end_orphans("MARK=nobody", 1) == []
    assert time.perf_counter() - began < 0.5
