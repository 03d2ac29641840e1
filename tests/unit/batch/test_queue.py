"""What Slurm's commands say is understood; commands are fakes at the edge."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mpitrain.batch import queue
from mpitrain.core.errors import UserError

RUNNING = (
    r"""JobId=1 JobName=odd "na\me" it's #1 100% UserId=root(0) GroupId=root(0) MCS_label=N/A """
    "Priority=4294901759 Nice=0 Account=(null) QOS=(null) JobState=RUNNING Reason=None "
    "Dependency=(null) Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=0:0 RunTime=00:01:40 "
    "TimeLimit=00:10:00 TimeMin=N/A SubmitTime=2026-11-26T15:03:21 "
    "EligibleTime=2026-11-26T15:03:21 AccrueTime=2026-11-26T15:03:21 "
    "StartTime=2026-11-26T15:03:21 EndTime=2026-11-26T15:13:21 Deadline=N/A PreemptTime=None "
    "SuspendTime=None Partition=main AllocNode:Sid=localhost:3728 NodeList=node[1-2] "
    "BatchHost=node1 NumNodes=2 NumCPUs=4 NumTasks=4 CPUs/Task=1 ReqB:S:C:T=0:0:*:* "
    "TRES=cpu=4,node=2,billing=4 Socks/Node=* NtasksPerN:B:S:C=2:0:*:* CoreSpec=* "
    "Command=(null) WorkDir=/home/me Comment=x=1 y  StdOut=/home/me/o d#d.out Power= "
)

Commands = Callable[[str, str], Path]


def test_a_real_line_is_taken_apart() -> None:
    """Values hold blanks, quotes and equals signs."""
    found = queue.parsed(RUNNING)
    wanted = {
        "JobId": "1",
        "JobName": r"""odd "na\me" it's #1 100%""",
        "JobState": "RUNNING",
        "NodeList": "node[1-2]",
        "CPUs/Task": "1",
        "ReqB:S:C:T": "0:0:*:*",
        "TRES": "cpu=4,node=2,billing=4",
        "WorkDir": "/home/me",
        "StdOut": "/home/me/o d#d.out",
        "Power": "",
    }
    assert {name: found[name] for name in wanted} == wanted


def test_a_record_tells_state_and_time_left() -> None:
    """The end is in local time."""
    record = queue.Record(queue.parsed(RUNNING))
    end_s = time.mktime(time.strptime("2026-11-26T15:13:21", "%Y-%m-%dT%H:%M:%S"))
    assert (record.state, record.is_alive, record.num_restarts) == ("RUNNING", True, 2)
    assert (record.is_preempted, record.is_over_limit) == (False, False)
    assert record.left_s(end_s - 30) == 30
    assert record.left_s(end_s + 30) == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"JobState": "PENDING"}, ("PENDING", True)),
        ({"JobState": "RUNNING,COMPLETING"}, ("RUNNING", True)),
        ({"JobState": "CANCELLED by 0"}, ("CANCELLED", False)),
        ({"JobState": "TIMEOUT"}, ("TIMEOUT", False)),
        ({}, ("UNKNOWN", True)),
    ],
)
def test_states_that_are_ends(fields: dict[str, str], expected: tuple[str, bool]) -> None:
    """The base state counts."""
    record = queue.Record(fields)
    assert (record.state, record.is_alive) == expected


def test_times_are_asked_for_in_the_form_that_is_read(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever form somebody likes to see."""
    commands("scontrol", 'echo "JobId=1 EndTime=$SLURM_TIME_FORMAT"')
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    record = queue.record_of("1")
    assert record is not None
    assert record.fields["EndTime"] == "standard"


def test_no_limit_leaves_no_time() -> None:
    """Nor does an end that is unknown."""
    assert queue.Record({"EndTime": "Unknown", "TimeLimit": "5:00"}).left_s(0) is None
    endless = {"EndTime": "2027-11-26T15:03:21", "TimeLimit": "UNLIMITED"}
    assert queue.Record(endless).left_s(0) is None


def test_preemption_is_seen_before_the_state_says_so() -> None:
    """Slurm notes the time first, and the grace follows."""
    assert queue.Record({"JobState": "RUNNING", "PreemptTime": "2026-11-26T15:03:21"}).is_preempted
    assert queue.Record({"JobState": "PREEMPTED", "PreemptTime": "None"}).is_preempted


def test_a_job_that_slurm_does_not_know_is_told_from_a_silent_slurm(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one is an answer, the other has a reason."""
    commands("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert queue.look_up("12") == (None, "")
    commands("scontrol", "echo 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
    assert queue.look_up("12") == (None, "slurm_load_jobs error: Unable to contact")
    monkeypatch.setenv("PATH", "/nowhere")
    assert queue.look_up("12") == (None, "there is no scontrol here")
    assert queue.record_of("12") is None


def test_what_is_no_job_is_not_asked_for(commands: Commands) -> None:
    """A file may hold any text, and that must not become an option."""
    log = commands("scontrol", f"echo '{RUNNING.replace(chr(39), '')}'")
    for text in ("--help", "", "1; x", "1" * 40):
        assert queue.look_up(text) == (None, "")
    assert not log.exists()
    record, trouble = queue.look_up("1_2")
    assert record is not None
    assert (record.state, trouble) == ("RUNNING", "")
    assert log.read_text() == "-o show job 1_2\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "echo 'sbatch: error: invalid partition: x' >&2; "
            "echo 'sbatch: error: Batch job submission failed' >&2; exit 1",
            "sbatch refused the job: invalid partition: x; Batch job submission failed",
        ),
        ("exit 3", "the job was not submitted: exit code 3"),
        ("exit 0", "the job was not submitted: exit code 0"),
    ],
)
def test_a_refusal_is_one_line(commands: Commands, body: str, message: str) -> None:
    """Without the prefix that sbatch puts before each of its own."""
    commands("sbatch", body)
    with pytest.raises(UserError) as found:
        queue.submit(["sbatch", "--parsable"], "#!/bin/sh\n")
    assert str(found.value) == message


def test_the_script_is_handed_over_on_standard_input(commands: Commands, tmp_path: Path) -> None:
    """And the cluster's name is not part of the job's number."""
    commands("sbatch", f"cat > '{tmp_path}/script'; echo '77;cluster'")
    assert queue.submit(["sbatch", "--parsable"], "#!/bin/sh\nträin\n") == "77"
    assert (tmp_path / "script").read_text() == "#!/bin/sh\nträin\n"


def test_requeue_says_why_not(commands: Commands) -> None:
    """Nothing where it worked."""
    log = commands("scontrol", "exit 0")
    assert queue.requeue("12") == ""
    assert log.read_text() == "requeue 12\n"
    commands("scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")
    assert queue.requeue("12") == "Requested operation is presently disabled"
    commands("scontrol", "exit 4")
    assert queue.requeue("12") == "scontrol requeue ended with exit code 4"
