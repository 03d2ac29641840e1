"""The end of a life, with Slurm's commands as fakes at the edge."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mpitrain.batch import after_life, ledger
from mpitrain.batch.after_life import end_life
from mpitrain.batch.decision import AGAIN, DONE, FAIL, KILLED, NEVER, STOP
from mpitrain.batch.remains import outcome_of
from mpitrain.core.errors import UserError
from mpitrain.slurm import Slurm
from mpitrain.storage.run_directory import RunDirectory, status_of

JOB = Slurm(job_id="7", num_restarts=2)
RUNS = "JobId=7 JobState=RUNNING Reason=None Restarts=2 RunTime=00:01:00 TimeLimit=01:00:00"

Commands = Callable[[str, str], Path]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run directory that is not there yet, in the third start of job 7."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setattr(after_life, "ASK_AGAIN_S", (0.0, 0.0))
    return tmp_path / "runs" / "one"


def slurm(commands: Commands, record: str = RUNS, requeue: str = "exit 0") -> Path:
    """Make a Slurm that says ``record`` of the job, and does ``requeue``; return its log."""
    show = f"echo '{record}'" if record else "echo 'Unable to contact' >&2; exit 1"
    return commands("scontrol", f'if [ "$1" = requeue ]; then {requeue}; else {show}; fi')


def begin(root: Path, state: str, *, restarts: int = 2, **more: str) -> None:
    """Leave what a life in job 7 leaves."""
    root.mkdir(parents=True)
    facts = f'slurm_job = "7"\nslurm_restarts = "{restarts}"\n'
    (root / "run.toml").write_text(f"[environment]\n{facts}")
    status = {**status_of(state, reason="why"), **more}
    (root / "status.json").write_text(json.dumps(status))


def end(root: Path, *, code: int = 1, signal: str = "", attempt: int = 3) -> int:
    """End a life of the run."""
    return end_life(root, exit_code=code, signal=signal, most_requeues=9, attempt=attempt)


def written(root: Path) -> list[tuple[str, str]]:
    """Return what happened and why, of each entry."""
    return [(entry.what, entry.cause) for entry in ledger.entries(root)]


@pytest.mark.parametrize(
    ("state", "expected"),
    [("running", KILLED), ("stopped", STOP), ("failed", FAIL), ("done", DONE)],
)
def test_outcome_is_what_the_life_of_this_start_said(
    tmp_path: Path, state: str, expected: str
) -> None:
    """What an earlier start said is not this one's, whatever it is."""
    begin(tmp_path / "now", state)
    begin(tmp_path / "before", state, restarts=1)
    ended = outcome_of(RunDirectory(tmp_path / "now"), JOB, exit_code=1, signal="")
    assert ended == (expected, "why")
    ended = outcome_of(RunDirectory(tmp_path / "before"), JOB, exit_code=1, signal="")
    assert ended == (NEVER, "why")


@pytest.mark.parametrize(
    ("code", "signal", "expected"), [(0, "", DONE), (1, "", NEVER), (0, "USR1", NEVER)]
)
def test_a_run_that_was_done_before_is_done_where_its_ranks_ended_well(
    tmp_path: Path, code: int, signal: str, expected: str
) -> None:
    """Else they were to make it longer, and did not come to it."""
    begin(tmp_path / "run", "done", restarts=1)
    ended = outcome_of(RunDirectory(tmp_path / "run"), JOB, exit_code=code, signal=signal)
    assert ended[0] == expected


def test_ranks_that_left_no_word_were_killed_also_where_the_launcher_left_one(
    tmp_path: Path,
) -> None:
    """It says that the run failed, but a lost rank is no failure that comes again."""
    begin(tmp_path / "run", "failed", said_by="launcher")
    ended = outcome_of(RunDirectory(tmp_path / "run"), JOB, exit_code=137, signal="")
    assert ended == (KILLED, "why")


def test_a_job_whose_ranks_never_start_is_not_requeued_for_ever(
    root: Path, commands: Commands
) -> None:
    """Its lives are counted although no run directory was there."""
    log = slurm(commands)
    assert end(root, attempt=1) == AGAIN
    assert not root.exists()
    assert [end(root) for _ in range(3)] == [0, 0, 1]
    assert written(root)[-1] == ("gave up", "a lost rank or node")
    assert log.read_text().count("requeue 7\n") == 2


def test_a_life_that_cannot_be_written_down_is_the_last(
    root: Path, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a full disk, say: an endless chain would be nobody's to see."""
    log = slurm(commands)
    begin(root, "running")
    (root / ledger.NAME).mkdir()
    assert end(root) == 1
    assert "not requeued (a lost rank or node): lives that nobody can" in capsys.readouterr().err
    assert "requeue" not in log.read_text()


def test_a_mistake_leaves_no_run_directory(root: Path, commands: Commands) -> None:
    """There is nothing to go on with."""
    slurm(commands)
    assert end(root, code=2) == 2
    assert not root.exists()


@pytest.mark.parametrize(("signal", "code"), [("TERM", 3), ("USR1", 0)])
def test_where_slurm_is_silent_an_end_is_taken_for_a_wish(
    root: Path, commands: Commands, capsys: pytest.CaptureFixture[str], signal: str, code: int
) -> None:
    """TERM may be scancel, and what somebody ended must not come back; USR1 never is."""
    log = slurm(commands, record="")
    begin(root, "stopped")
    assert end(root, signal=signal) == code
    assert log.read_text().count("show job 7") == 2
    assert "Slurm does not tell how job 7 stands: Unable to contact" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["SIGNALING", "RESIZING", "RUNNING", "SUSPENDED"])
def test_a_job_to_which_something_is_done_was_not_cancelled(
    root: Path, commands: Commands, state: str
) -> None:
    """Slurm shows some flags in place of the state."""
    slurm(commands, RUNS.replace("RUNNING", state))
    begin(root, "stopped")
    assert end(root, signal="USR1") == 0
    assert written(root) == [("requeued", "signal")]


def test_a_job_that_was_cancelled_stays_so(root: Path, commands: Commands) -> None:
    """It waits for its last processes when it asks."""
    log = slurm(commands, RUNS.replace("RUNNING", "COMPLETING"))
    begin(root, "stopped")
    assert end(root, signal="TERM") == 3
    assert written(root) == [("gave up", "cancelled")]
    assert "requeue" not in log.read_text()


def test_slurm_may_be_quicker_with_its_requeue(
    root: Path, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ours is refused then, and yet the job is back; else it was in vain, and that is said."""
    back = RUNS.replace("Restarts=2", "Restarts=3")
    slurm(commands, requeue="echo pending >&2; exit 1")
    begin(root, "running")
    assert end(root) == 1
    assert "but Slurm did not requeue job 7: pending" in capsys.readouterr().err
    assert [what for what, _ in written(root)] == ["requeued", "gave up"]
    asked = root / "asked"
    commands(
        "scontrol",
        f'if [ "$1" = requeue ]; then touch "{asked}"; echo pending >&2; exit 1; fi\n'
        f"if [ -e '{asked}' ]; then echo '{back}'; else echo '{RUNS}'; fi",
    )
    assert end(root) == 0
    assert [what for what, _ in written(root)] == ["requeued", "gave up", "requeued"]


def test_outside_slurm_there_is_nothing_to_requeue(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for job scripts."""
    monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(UserError, match="is for the script of a Slurm job"):
        end(root)
