"""The watch on a rank's own main thread."""

from __future__ import annotations

import threading
import time

import pytest

from mpitrain.core.phases import CHECKPOINT, COMPUTE, EVALUATION, READ, WAIT, WRITE
from mpitrain.watch import Watch

LIMIT_S = 0.6


class Stuck:
    """Collects what a watch says of a rank whose place the test sets."""

    def __init__(self) -> None:
        self.place = (COMPUTE, 17)
        self.lines: list[str] = []
        self.came = threading.Event()

    def note(self, line: str) -> None:
        """Take the line."""
        self.lines.append(line)
        self.came.set()

    def watch(self, limit_s: float = LIMIT_S, **more: tuple[int, ...]) -> Watch:
        """Return a watch over the place."""
        return Watch("rank 1 of 4 on a", lambda: self.place, limit_s, self.note, **more)


@pytest.mark.parametrize("phase", [READ, COMPUTE, WRITE])
def test_step_that_never_ends_is_told_once_with_its_stack(
    capfd: pytest.CaptureFixture[str], phase: int
) -> None:
    """One line with rank, phase, clock, time and setting, and where the main thread is."""
    stuck = Stuck()
    stuck.place = (phase, 17)
    watch = stuck.watch()
    assert stuck.came.wait(10)
    time.sleep(2 * LIMIT_S)
    watch.close()
    assert len(stuck.lines) == 1
    said = capfd.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("mpitrain: error:")]
    assert lines == [f"mpitrain: error: {stuck.lines[0]}"]
    name = {READ: "read", COMPUTE: "compute", WRITE: "write"}[phase]
    assert f"rank 1 of 4 on a: stuck in {name} at clock 17 for 1 s (mode.limit_s = 0.6)" in said
    assert "test_step_that_never_ends" in said


@pytest.mark.parametrize("phase", [WAIT, EVALUATION, CHECKPOINT])
def test_phases_with_patience_of_their_own_are_not_watched(phase: int) -> None:
    """Waiting for others is no fault of this rank."""
    stuck = Stuck()
    stuck.place = (phase, 17)
    watch = stuck.watch()
    assert not stuck.came.wait(3 * LIMIT_S)
    watch.close()


def test_phases_to_watch_can_be_chosen() -> None:
    """In synchronous training the write phase waits for others."""
    stuck = Stuck()
    stuck.place = (WRITE, 17)
    watch = stuck.watch(watched=(COMPUTE,))
    assert not stuck.came.wait(3 * LIMIT_S)
    watch.close()


def test_rank_that_goes_on_is_left_alone() -> None:
    """Steps of half the limit, for five times the limit."""
    stuck = Stuck()
    watch = stuck.watch()
    until = time.monotonic() + 5 * LIMIT_S
    clock = 0
    while time.monotonic() < until:
        clock += 1
        stuck.place = (COMPUTE, clock)
        time.sleep(LIMIT_S / 2)
    watch.close()
    assert not stuck.lines


def test_time_in_which_the_whole_process_slept_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job that the scheduler suspended for an hour goes on in peace."""
    ahead_s = [0.0]
    real = time.monotonic
    monkeypatch.setattr("mpitrain.watch.time.monotonic", lambda: real() + ahead_s[0])
    stuck = Stuck()
    watch = stuck.watch(limit_s=2.0)
    time.sleep(0.5)
    ahead_s[0] = 3600.0
    time.sleep(0.5)
    stuck.place = (COMPUTE, 18)
    assert not stuck.came.wait(1.0)
    watch.close()


def test_close_is_quick_and_idempotent_also_from_within() -> None:
    """A long limit does not delay the end; the callback may close the watch."""
    stuck = Stuck()
    watch = stuck.watch(limit_s=1000.0)
    began = time.perf_counter()
    watch.close()
    watch.close()
    assert time.perf_counter() - began < 1.0
    watches: list[Watch] = []
    inner = Watch("rank 0", lambda: (COMPUTE, 1), 0.2, lambda _line: watches[0].close())
    watches.append(inner)
    inner._thread.join(10)
    assert not inner._thread.is_alive()


def test_idle_watch_costs_next_to_nothing() -> None:
    """At most a few wake-ups a second: below 1 % of a core."""
    stuck = Stuck()
    stuck.place = (WAIT, 0)
    watch = stuck.watch(limit_s=2.0)
    began = time.process_time()
    time.sleep(2.0)
    assert time.process_time() - began < 0.02
    watch.close()
