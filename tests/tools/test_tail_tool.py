"""``tail``: one look, and a run followed in a terminal until it ends."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mpitrain.analyse.tail import TOOL, ranks_shown
from mpitrain.analyse.tool import main
from mpitrain.analysis.live import GONE, LAST_WORDS_S, look
from mpitrain.core.phases import COMPUTE, END, WAIT
from mpitrain.storage.last_seen import LastSeen, last_seen_path
from mpitrain.storage.run_directory import RunDirectory, status_of
from tests.lives.jobs import Job, wait_for_steps
from tests.ranks.launcher import ROOT
from tests.tools.conftest import STEPS
from tests.unit.analysis.conftest import simulate

LIMIT_S = 60.0
STEPS_SHOWN = re.compile(r"running, life 0, (\d+) steps")
TAIL = [str(ROOT / "tools" / "tail.py"), "--every", "0.2"]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return a run that says it runs, with logs of three ranks and no process."""
    root = tmp_path / "run"
    simulate(3, 2, "ssp", bound=2, steps=30).write(root)
    run = RunDirectory(root)
    run.write_status(status_of("running"))
    return run


def seen(run: RunDirectory, rank: int, phase: int, clock: int, host: str = "elsewhere") -> None:
    """Leave a rank's sign."""
    path = last_seen_path(run.life_directory(0), rank)
    path.unlink(missing_ok=True)
    sign = LastSeen(path, rank, host)
    sign.note(phase, clock)
    sign.close()


def test_a_look_has_a_row_per_rank(run: RunDirectory) -> None:
    """Clock and phase from their files, the lead over those that work, staleness from the rows."""
    for rank, (phase, clock) in enumerate([(WAIT, 13), (COMPUTE, 10), (END, 4)]):
        seen(run, rank, phase, clock)
    now = look(run.root)
    assert [rank.doing for rank in now.ranks] == ["wait", "compute", "end"]
    assert [rank.clock for rank in now.ranks] == [13, 10, 4]
    assert [rank.lead for rank in now.ranks] == [3, 0, 0]
    assert (now.status, now.steps, now.is_over) == ("running", 27, False)
    assert all(rank.staleness is not None and rank.staleness >= 0 for rank in now.ranks)
    seen(run, 1, COMPUTE, 30)
    later = look(run.root, before=replace(now, at_s=now.at_s - 10.0))
    assert later.ranks[1].steps_per_s == pytest.approx(2.0, rel=0.05)
    assert later.ranks[0].steps_per_s == 0.0


def test_a_rank_without_a_process_is_gone(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """And when no rank is there any more the run is over, whatever its status says."""
    host = os.uname().nodename
    with subprocess.Popen(["true"]) as ended:
        pass
    for rank in range(3):
        seen(run, rank, END if rank else COMPUTE, 5, host)
    assert not look(run.root).is_over
    path = last_seen_path(run.life_directory(0), 0)
    data = path.read_bytes()
    path.write_bytes(data.replace(os.getpid().to_bytes(8, sys.byteorder),
                                  ended.pid.to_bytes(8, sys.byteorder)))  # fmt: skip
    now = look(run.root)
    assert now.ranks[0].doing == GONE
    assert now.is_over
    assert main(TOOL, [str(run.root)]) == 0
    assert "0:5:gone" in capsys.readouterr().out
    assert main(TOOL, [str(run.root), "--once"]) == 0
    assert "gone without a word: rank 0" in capsys.readouterr().out


def test_ranks_that_ended_leave_time_for_the_result(run: RunDirectory) -> None:
    """The run is over when it says so, or when nothing has come for long."""
    for rank in range(3):
        seen(run, rank, END, 10)
    now = look(run.root)
    assert not now.is_over
    old = [replace(rank, since_s=LAST_WORDS_S + 1) for rank in now.ranks]
    assert replace(now, ranks=old).is_over
    run.write_status(status_of("done"))
    assert look(run.root).is_over


def test_an_unreadable_log_is_named(run: RunDirectory) -> None:
    """The others and the clocks are shown."""
    seen(run, 0, COMPUTE, 3)
    path = run.log_path(0, 0)
    path.write_bytes(b"nothing")
    now = look(run.root)
    assert now.ranks[0].clock == 3
    assert now.ranks[0].staleness is None
    assert [note for note in now.notes if str(path) in note]


def test_a_run_that_starts_is_waited_for(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder of logs comes later than its status; the tool says where it looks."""
    hidden = run.root / "hidden"
    run.log.rename(hidden)
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            hidden.rename(run.log)
            run.write_status(status_of("done"))

    monkeypatch.setattr(time, "sleep", pause)
    assert main(TOOL, [str(run.root), "--every", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert pauses == [3.0, 3.0]
    assert [line.partition(":")[0] for line in lines[:2]] == ["starting"] * 2
    assert str(run.log) in lines[0]
    assert lines[2].startswith("done life=0")


@pytest.mark.parametrize(
    ("detail", "wanted"),
    [
        ({"steps": 9, "loss": 0.5, "accuracy": 0.75}, ", accuracy 0.7500 at step 9"),
        ({"steps": 9, "loss": 0.5}, ", loss 0.5000 at step 9"),
        ({"steps": "[/]", "loss": "much"}, ""),
    ],
)
def test_the_newest_evaluation_is_in_the_heading(
    detail: dict[str, Any],
    wanted: str,
    run: RunDirectory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its metric, else its loss, and nothing where there is no number."""
    seen(run, 0, COMPUTE, 3)
    now = replace(look(run.root), evaluation=detail, steps_per_s=None)
    monkeypatch.setattr("mpitrain.analyse.tail.look", lambda *_: now)
    assert main(TOOL, [str(run.root), "--once"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"run: running, life 0, 3 steps{wanted}"


def test_a_rank_without_a_sign_is_named(run: RunDirectory) -> None:
    """The first, and how many more."""
    assert "no sign of rank 0, nor of 2 other ranks" in "".join(look(run.root).notes)
    for rank in (0, 2):
        seen(run, rank, COMPUTE, 3)
    (note,) = look(run.root).notes
    path = last_seen_path(run.life_directory(0), 1)
    assert note == f"no sign of rank 1: {path} is missing or makes no sense"
    seen(run, 1, COMPUTE, 3)
    assert look(run.root).notes == []


def test_a_finished_run_is_shown_once(ssp_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With and without --once; for programs as an object."""
    assert main(TOOL, [str(ssp_run), "--once"]) == 0
    assert f"done, life 0, {STEPS} steps" in capsys.readouterr().out
    assert main(TOOL, [str(ssp_run)]) == 0
    assert f"done life=0 steps={STEPS} " in capsys.readouterr().out
    assert main(TOOL, [str(ssp_run), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["status"], facts["steps"], facts["over"]) == ("done", STEPS, True)
    assert len(facts["ranks"]) == 4
    assert facts["evaluation"]["steps"] == STEPS


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["RUN/none"], "is no run directory: there is no such folder"),
        (["RUN/log"], "holds no staleness log"),
        (["RUN", "--every", "0"], "--every must be >= 0.1, got 0"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], wanted: str, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exit code 2."""
    assert main(TOOL, [word.replace("RUN", str(run.root)) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert wanted in said.err
    assert len(said.err.splitlines()) == 1


class Pane:
    """The tool in a pane of tmux."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-L", f"mpitrain-{os.getpid()}", "-f", os.devnull]
        command = " ".join(map(shlex.quote, [sys.executable, *TAIL, str(folder)]))
        self._run("new-session", "-d", "-x", "100", "-y", "24", command)

    def wait_for(self, is_enough: Callable[[int], bool]) -> int:
        """Capture the pane until the steps on it are enough; return them."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            screen = self._run("capture-pane", "-p")
            found = STEPS_SHOWN.findall(screen)
            if found and is_enough(int(found[-1])):
                return int(found[-1])
            time.sleep(0.1)
        message = f"the pane never showed enough steps: {screen}"
        raise TimeoutError(message)

    def close(self) -> None:
        """End the pane and its server."""
        self._run("kill-server")

    def _run(self, *words: str) -> str:
        command, environ = [*self._tmux, *words], {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout


def follow(folder: Path) -> str:
    """Run the tool in a pseudo-terminal until it ends; return what it showed, without controls."""
    ours, its = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    environ |= {"TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
    shown = b""
    with subprocess.Popen(
        [sys.executable, *TAIL, str(folder)], stdin=its, stdout=its, stderr=its, env=environ
    ) as tool:
        os.close(its)
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            if select.select([ours], [], [], 1.0)[0]:
                try:
                    block = os.read(ours, 65536)
                except OSError:  # the tool has closed it
                    break
                if not block:
                    break
                shown += block
        os.close(ours)
        if time.monotonic() >= until:
            tool.kill()
    assert tool.returncode == 0, shown.decode()
    return CONTROL.sub("", shown.decode())


def test_a_live_run_is_followed_in_a_terminal(tmp_path: Path) -> None:
    """The numbers move while 4 ranks work, and the tool ends with the run.

    In a terminal of its own, and, where there is tmux, in a pane that is captured twice.
    """
    settings = ["data.source=digits", "data.batch_size=16", "mode.kind=ssp", "mode.bound=3"]
    settings += ["straggler.kind=constant", "straggler.ranks=[3]", "straggler.delay=0.01"]
    folder = tmp_path / "run"
    settings += ["run.steps=2000", f"run.directory={folder}", "log.flush_every_s=0.5"]
    (tmp_path / "job.toml").touch()
    job = Job(tmp_path, "launch", 4, ["train", str(tmp_path / "job.toml"), *settings])
    try:
        wait_for_steps(job, folder)
        pane = Pane(folder) if shutil.which("tmux") else None
        try:
            if pane is not None:
                first = pane.wait_for(lambda steps: steps > 0)
                assert pane.wait_for(lambda steps: steps > first + 50) > first
            text = follow(folder)
        finally:
            if pane is not None:
                pane.close()
        assert job.wait() == 0, job.text()
    finally:
        job.end()
    shown = [int(steps) for steps in STEPS_SHOWN.findall(text)]
    assert len(set(shown)) >= 3
    assert shown == sorted(shown)
    assert "done, life 0, 2000 steps" in text
    assert re.search(r"3 +\d+ +0 .* (compute|write|read|wait) ", text)


def test_ranks_that_do_not_fit_are_those_ahead(run: RunDirectory) -> None:
    """One that is gone is shown always."""
    for rank, clock in enumerate((13, 10, 4)):
        seen(run, rank, COMPUTE, clock)
    ranks = look(run.root).ranks
    assert [rank.rank for rank in ranks_shown(ranks, 3)] == [0, 1, 2]
    assert [rank.rank for rank in ranks_shown(ranks, 2)] == [1, 2]
    gone = [replace(ranks[0], doing=GONE), *ranks[1:]]
    assert [rank.rank for rank in ranks_shown(gone, 2)] == [0, 2]
    assert [rank.rank for rank in ranks_shown(gone, -3)] == [0]
