"""status: how a run and its jobs stand, from real run directories and fake answers of Slurm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpitrain.batch import ledger
from mpitrain.batch.ledger import Entry
from mpitrain.batch.standing_text import aligned
from mpitrain.command_line import main
from mpitrain.storage.run_directory import status_of, write_json

ROOT = Path(__file__).resolve().parents[3]
RUNNING = (
    "JobId=12 JobName=x JobState=RUNNING Reason=None Restarts=2 RunTime=00:01:40 "
    "TimeLimit=1-00:00:00 EndTime=2199-01-01T00:00:00 NodeList=node[1-2] StdOut=/o/x-12.out"
)
Commands = Callable[[str, str], Path]
Status = Callable[..., str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a small run that is done."""
    root = tmp_path_factory.mktemp("made") / "r"
    words = [f"run.directory={root}", "run.name=small", "run.steps=40", "simulate.ranks=2"]
    assert main(["simulate", *words, "mode.kind=ssp", "run.progress_every_s=99"]) == 0
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """Return a copy of that run, to be changed."""
    subprocess.run(["cp", "-r", str(made), str(tmp_path)], check=True)
    return tmp_path / "r"


@pytest.fixture
def status(capsys: pytest.CaptureFixture[str]) -> Status:
    """Return a function that gives what status prints."""

    def call(*words: str | Path) -> str:
        capsys.readouterr()
        assert main(["status", *map(str, words)]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        return said.out

    return call


def submitted(root: Path, *more: Entry) -> None:
    """Begin a job chain of job 12 in a run directory."""
    root.mkdir(exist_ok=True)
    for entry in (Entry(time="2026-11-26T12:00:00+0000", job="12", what="submitted"), *more):
        ledger.append(root, entry)


def of_job_12(root: Path) -> None:
    """Say in a run's own file that its newest life is one of job 12."""
    run_toml = root / "run.toml"
    text = run_toml.read_text().replace("[environment]\n", '[environment]\nslurm_job = "12"\n')
    run_toml.write_text(text)


def facts_of(status: Status, root: Path) -> dict[str, Any]:
    """Return what --json says."""
    said = status(root, "--json")
    assert said.count("\n") == 1
    found: dict[str, Any] = json.loads(said)
    return found


def test_a_run_that_was_never_a_job(root: Path, status: Status, commands: Commands) -> None:
    """State, steps, metric and checkpoint; Slurm is not asked."""
    asked = commands("scontrol", "exit 1")
    lines = status(root).splitlines()
    assert lines[0].startswith("small: done, life 0, since 20")
    assert lines[1] == "  step 40 of 40 (100%)"
    assert lines[2].startswith("  accuracy 0.")
    assert lines[2].endswith(" at step 40")
    assert lines[3].startswith("  newest checkpoint: step-000000040, ")
    assert lines[3].endswith(" s old")
    assert len(lines) == 4
    assert not asked.exists()


def test_facts_as_json(root: Path, status: Status) -> None:
    """Numbers are numbers."""
    facts = facts_of(status, root)
    run = facts["run"]
    assert (run["state"], run["steps"], run["total_steps"], run["life"]) == ("done", 40, 40, 0)
    assert run["checkpoint"] == "step-000000040"
    assert 0 <= run["checkpoint_age_s"] < 600
    assert (facts["jobs"], facts["chain"], facts["remarks"]) == ([], [], [])


def test_length_comes_from_the_log_where_the_run_file_has_data_passes(
    tmp_path: Path, status: Status
) -> None:
    """1437 samples in batches of 100 are 15 steps a pass, which two ranks round up to 16."""
    words = [f"run.directory={tmp_path}/p", "run.data_passes=1", "data.batch_size=100"]
    assert main(["simulate", *words, "simulate.ranks=2", "run.progress_every_s=99"]) == 0
    run = facts_of(status, tmp_path / "p")["run"]
    assert (run["total_steps"], run["steps"]) == (16, 16)
    (tmp_path / "p" / "log" / "life-001").mkdir()  # a life that has just begun
    assert facts_of(status, tmp_path / "p")["run"]["total_steps"] == 16


def test_submitted_and_waiting(tmp_path: Path, status: Status, commands: Commands) -> None:
    """The directory has only jobs.jsonl."""
    submitted(tmp_path / "r")
    asked = commands("scontrol", "echo 'JobId=12 JobState=PENDING Reason=Resources NodeList='")
    lines = status(tmp_path / "r").splitlines()
    assert lines[:2] == ["r: not begun", "job 12: PENDING, reason: Resources"]
    assert "submitted" in lines[-2] + lines[-1]
    assert asked.read_text() == "-o show job 12\n"


def test_running_on_nodes_with_time_left(root: Path, status: Status, commands: Commands) -> None:
    """Restarts and the output are told too."""
    submitted(root, Entry(time="t", job="12", what="requeued", cause="time limit", steps=20))
    write_json(root / "status.json", status_of("running"))
    commands("scontrol", f"echo '{RUNNING}'")
    said = status(root)
    assert "small: running, life 0" in said
    job = next(line for line in said.splitlines() if line.startswith("job 12"))
    assert job.startswith("job 12: RUNNING, on node[1-2], ")
    assert job.endswith(" h left, requeued 2 times, output: /o/x-12.out")
    assert "time limit" in said


def test_jobs_that_died_before_another_are_not_told(
    tmp_path: Path, status: Status, commands: Commands
) -> None:
    """They left no word in the ledger; the newest one counts."""
    submitted(tmp_path / "r", Entry(time="t", job="13", what="submitted"))
    commands("scontrol", "echo 'Invalid job id specified' >&2; exit 1")
    jobs = facts_of(status, tmp_path / "r")["jobs"]
    assert [(job["job"], job["state"]) for job in jobs] == [("13", "gone")]


def test_killed_with_its_job(root: Path, status: Status, commands: Commands) -> None:
    """The contradiction, and two ways on."""
    submitted(root)
    of_job_12(root)
    (root / "job.sbatch").write_text("#!/bin/sh\n")
    write_json(root / "status.json", status_of("running"))
    commands("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    last = status(root).splitlines()[-1]
    assert last == (
        "note: status.json says running, but job 12 is not in the queue: it was killed; "
        f"sbatch {root}/job.sbatch, or go on by: python -m mpitrain launch resume {root}"
    )


def test_without_slurm_only_a_run_with_a_job_says_so(
    root: Path, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop looks at a run directory that was copied there."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert "scontrol" not in status(root)
    submitted(root)
    assert "job 12: there is no scontrol here" in status(root)
    submitted(root, Entry(time="t", job="12", what="ended"))
    assert "scontrol" not in status(root)


def test_a_job_that_no_ledger_knows_is_found_in_the_run_file(
    root: Path, status: Status, commands: Commands
) -> None:
    """It was submitted by plain sbatch, and its first life runs."""
    of_job_12(root)
    commands("scontrol", f"echo '{RUNNING}'")
    assert "job 12" not in status(root)  # it is done
    write_json(root / "status.json", status_of("running"))
    assert "job 12: RUNNING, on node[1-2]" in status(root)
    run_toml = root / "run.toml"
    said = run_toml.read_text().replace('slurm_job = "12"', 'slurm_array = "10_2"')
    run_toml.write_text(said)
    commands("scontrol", f"[ $4 = 10_2 ] && echo '{RUNNING}'")  # 12 alone may be the whole array
    assert "job 10_2: RUNNING" in status(root)


def test_a_folder_of_runs_gives_a_line_for_each(
    root: Path, status: Status, commands: Commands
) -> None:
    """By name; one that cannot be read does not hide the others, and other folders do not count."""
    submitted(root.parent / "waits")
    commands("scontrol", "echo 'JobId=12 JobState=PENDING Reason=Priority'")
    (root.parent / "broken").mkdir()
    (root.parent / "broken" / "run.toml").write_text("run = 3\n")
    (root.parent / "other").mkdir()
    broken, done, waits = status(root.parent).splitlines()
    assert broken.startswith("broken: run must be a table")
    assert done.startswith("r: done, step 40 of 40 (100%), accuracy 0.")
    assert waits == "waits: not begun, job 12 PENDING"
    runs = facts_of(status, root.parent)["runs"]
    assert [run.get("error", "")[:11] for run in runs] == ["run must be", "", ""]


def test_the_table_is_plain_text_without_rich(
    root: Path, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that are empty everywhere are left out."""
    submitted(root, Entry(time="t", job="12", restarts=1, what="ended", cause="done", steps=40))
    monkeypatch.setitem(sys.modules, "rich", None)
    lines = status(root).splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("time"))
    assert [line.split() for line in lines[head : head + 3]] == [
        ["time", "job", "start", "what", "why", "step"],
        ["2026-11-26T12:00:00+0000", "12", "0", "submitted"],
        ["t", "12", "1", "ended", "done", "40"],
    ]


def test_plain_columns_stand_below_each_other() -> None:
    """No white space at the ends of lines."""
    assert aligned(["a", "b", "long"], [["xyz", "", "1"], ["", "", "2"]]) == [
        "a    long",
        "xyz  1",
        "     2",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "r is no run directory: there is no"),
        (lambda root: root.mkdir(), "r is no run directory, and no folder of run directories"),
        (lambda root: root.write_text("x"), "r is no run directory: there is no"),
        (lambda root: (root.mkdir(), (root / "run.toml").write_text("= 3")), "not valid TOML"),
        (lambda root: (root.mkdir(), (root / "run.toml").write_text("a.b=1")), "unknown table"),
    ],
)
def test_bad_input_is_one_line(
    make: Callable[[Path], Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2."""
    make(tmp_path / "r")
    assert main(["status", str(tmp_path / "r")]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_broken_status_file_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named."""
    (root / "status.json").write_text("{")
    assert main(["status", str(root)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"mpitrain: error: cannot read {root}/status.json")
    assert said.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(made: Path) -> None:
    """As head does."""
    command = f"{sys.executable} -m mpitrain status {made} --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", [["status", "{root}"], ["submit", "--dry-run"]])
def test_neither_command_needs_mpi(words: list[str], made: Path, tmp_path: Path) -> None:
    """A login node, or a laptop, may have none."""
    given = [word.format(root=made) for word in words]
    code = (
        "import sys; sys.modules['mpi4py'] = None; from mpitrain.command_line import main; "
        f"sys.exit(main({given!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
