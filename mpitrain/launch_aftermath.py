"""After a job that ended without a word: say where its ranks were, and put it on record.

A rank that fails says so itself, in status.json. Ranks that were killed, or whose host is gone,
leave "running" there; then the launcher, which outlives them, says what it knows.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from mpitrain.core.console import tell
from mpitrain.core.errors import FAILED, LogError, MpitrainError, UserError
from mpitrain.launch_note import Noted
from mpitrain.storage.last_seen import Seen, all_last_seen, first_silent, place_text, seen_text
from mpitrain.storage.run_directory import LAUNCHER, SAID_BY, RunDirectory, status_of
from mpitrain.storage.run_lock import RunLock

NUM_LINES = 16
LOCK_LIMIT_S = 2.0
EARLIER_S = 1.0  # ranks that noted their last this long before the last of all are marked


def settle(noted: Noted | None, code: int, *, num_ranks: int, cause: str = "") -> int:
    """Put on record how a job ended, if its ranks could not; return the exit code.

    Args:
        noted: which run it was; None when nobody said.
        code: exit code of ``mpiexec``.
        num_ranks: of the job.
        cause: why it ended; empty says the exit code.
    """
    if noted is None or not still_runs(noted):
        return code
    seen = all_last_seen(noted.last_seen)
    reason = cause or f"the job ended with code {code}"
    silent = first_silent(seen)
    if silent:
        first = silent[0]
        reason += f"; rank {first.rank} on {first.host} was last seen in {place_text(first)}"
    _write_failure(noted, reason)
    tell("".join(f"mpitrain: {line}\n" for line in [reason, *seen_lines(seen)]))
    if any(RunDirectory(noted.directory).checkpoints.glob("*/complete.json")):
        words = ("-m", "mpitrain", "launch", "-n", str(num_ranks), "resume", str(noted.directory))
        tell(f"mpitrain: resume with: {shlex.join([sys.executable, *words])}\n")
    return code or FAILED


def still_runs(noted: Noted) -> bool:
    """Tell whether status.json says that the job runs which left the note."""
    try:
        status = RunDirectory(noted.directory).read_status() or {}
    except LogError:
        return False
    return status.get("status") == "running" and status.get("pid") == noted.pid


def seen_lines(seen: Sequence[Seen], now_s: float | None = None) -> list[str]:
    """Return where each rank was, at most 16 lines, those that went silent first before others.

    Args:
        seen: of each rank.
        now_s: what ages count to, ``time.time()``; None takes the present.
    """
    silent = first_silent(seen)
    ordered = [*silent, *(one for one in seen if one not in silent)]
    latest_s = max((one.since_s for one in seen), default=0.0)
    lines = [
        seen_text(one, now_s) + _mark(one, latest_s, is_silent=one in silent)
        for one in ordered[:NUM_LINES]
    ]
    more = len(ordered) - NUM_LINES
    return [*lines, f"... and {more} more"] if more > 0 else lines


def _mark(one: Seen, latest_s: float, *, is_silent: bool) -> str:
    earlier_s = latest_s - one.since_s
    if is_silent and earlier_s >= EARLIER_S:
        return f"; {earlier_s:.1f} s before the last sign of the others"
    return ""


def _write_failure(noted: Noted, reason: str) -> None:
    """Say in status.json that the run failed, unless somebody has gone on with it."""
    directory = RunDirectory(noted.directory)
    said = status_of("failed", life=noted.life, reason=reason, pid=noted.pid)
    status = {**said, SAID_BY: LAUNCHER}
    with suppress(OSError, MpitrainError):
        lock = _locked(directory)
        try:
            if still_runs(noted):
                directory.write_status(status)
        finally:
            lock.close()


def _locked(directory: RunDirectory) -> RunLock:
    """Take the run's lock, which a dying rank 0 may hold for a moment longer."""
    until = time.monotonic() + LOCK_LIMIT_S
    while time.monotonic() < until:
        with suppress(UserError):
            return RunLock(directory.root)
        time.sleep(0.05)
    return RunLock(directory.root)
