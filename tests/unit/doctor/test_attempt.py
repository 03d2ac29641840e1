"""The examination here is a small program: it tells what it is given, then hangs, dies or ends."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

from mpitrain.doctor.attempt import Attempt
from mpitrain.doctor.finding import Finding

BEGIN = """
import os, signal, sys, time
from mpitrain.doctor.finding import ok
from mpitrain.doctor.report import Reporter
reporter = Reporter(int(sys.argv[-1]))
reporter.tell([ok("python", "new")])
reporter.stage("windows", "making a window", "buy memory")
"""


@pytest.fixture(autouse=True)
def kept_handlers() -> Iterator[None]:
    """Put back the signal handlers that an attempt sets."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def run(code: str, *, limit_s: float = 60.0) -> tuple[Attempt, list[Finding], str]:
    """Return the attempt, what it found and what the program wrote by itself."""
    with tempfile.TemporaryFile() as noise:
        attempt = Attempt(["-c", BEGIN + code], os.environ, noise, limit_s=limit_s)
        found = list(attempt.findings())
        noise.seek(0)
        return attempt, found, noise.read().decode()


def test_attempt_passes_on_what_a_whole_examination_tells() -> None:
    """Findings in order, the last word as the state, and the libraries' own words apart."""
    attempt, found, noise = run("print('a library speaks'); reporter.end('warning')")
    assert [finding.line().split() for finding in found] == [["ok", "python", "new"]]
    assert (attempt.state, attempt.broken_off, noise) == ("warning", None, "a library speaks\n")


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGBUS)", "died of SIGBUS while making a window"),
        ("os._exit(5)", "ended with exit code 5 while making a window"),
        ("os._exit(0)", "ended with exit code 0 while making a window"),
        ("raise ValueError('a bug')", "ended with exit code 1 while making a window"),
        ("reporter.end('ok'); os.abort()", "died of SIGABRT while making a window"),
    ],
)
def test_attempt_says_what_killed_the_examination(code: str, how: str) -> None:
    """The findings before it are kept; the stage's remedy is given; the whole is wrong."""
    attempt, found, _ = run(code)
    assert [finding.name for finding in found] == ["python", "windows"]
    assert found[-1] == attempt.broken_off
    assert (found[-1].value, found[-1].remedy) == (how, "buy memory")
    assert attempt.state == "wrong"


def test_attempt_passes_on_that_a_rank_did_not_come() -> None:
    """The examination knows by itself whom it waited for."""
    attempt, found, _ = run("reporter.fail('rank 0 waits for rank 2'); os._exit(0)")
    assert found[-1].value == "rank 0 waits for rank 2, while making a window"
    assert (attempt.state, attempt.broken_off) == ("wrong", None)


def test_attempt_gives_up_when_nothing_is_heard() -> None:
    """A library that waits for ever costs the limit; its process is ended."""
    attempt, found, _ = run("time.sleep(1000)", limit_s=1.0)
    assert found[-1].value.startswith("gave no sign for 1 s while ")
    assert (attempt.state, attempt.broken_off) == ("wrong", found[-1])


def test_attempt_speaks_when_it_is_told_to_end() -> None:
    """A launcher that ends the job gives a moment for it; what was told before is kept."""
    attempt, found, _ = run("os.kill(os.getppid(), signal.SIGTERM); time.sleep(1000)")
    assert [finding.name for finding in found] == ["python", "windows"]
    assert found[-1].value.startswith("was ended by SIGTERM")
    assert found[-1].value.endswith("while making a window")
    assert attempt.broken_off == found[-1]
