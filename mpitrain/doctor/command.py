"""``doctor``: run the examination and print what it finds."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from mpitrain.config import load
from mpitrain.core.console import tell
from mpitrain.core.errors import FAILED
from mpitrain.doctor.attempt import Attempt
from mpitrain.doctor.finding import WRONG, Finding, as_json, summary
from mpitrain.doctor.hydra import end_hydra_job
from mpitrain.launch_environment import is_first_rank, rank_defaults

LINGER_S = 5.0
_NOISE_BYTES = 4096


def doctor_command(run_file: str | None, overrides: Sequence[str], *, as_json_line: bool) -> int:
    """Examine all ranks; return 1 when something is wrong, else 0.

    The first rank prints a line per finding as it comes, or one JSON object at the end.

    Args:
        run_file: of the run that is to be; None names none.
        overrides: ``key=value`` words for it.
        as_json_line: print JSON.

    Raises:
        UserError: the run file or an override is not valid.

    Collective: yes.
    """
    words = ["-m", "mpitrain.doctor.examination"]
    if run_file is not None or overrides:
        load(run_file, overrides)
        words += [f"run_file={run_file or ''}", *overrides]
    environ = dict(os.environ)
    rank_defaults(environ)
    with tempfile.TemporaryFile() as noise:
        attempt = Attempt(words, environ, noise)
        if is_first_rank(os.environ):
            _print(attempt, as_json_line=as_json_line)
            code = FAILED if attempt.state == WRONG else 0
        else:  # what the ranks find together the first one tells
            code = _watch(attempt)
        if code:
            tell(_tail(noise))
            if not attempt.has_met:
                end_hydra_job(os.environ)
    return code


def _print(attempt: Attempt, *, as_json_line: bool) -> None:
    found: list[Finding] = []
    for finding in attempt.findings():
        found.append(finding)
        if not as_json_line:
            _write(finding.line())
    _write(json.dumps(as_json(found)) if as_json_line else summary(found))


def _watch(attempt: Attempt) -> int:
    """Run a further rank's examination; say what it alone can know, or that it broke off."""
    own = [finding for finding in attempt.findings() if finding.state == WRONG]
    if not own:
        return 0
    begin = f"mpitrain: doctor on {socket.gethostname()}: "
    said = (" ".join(f"{finding.value} -> {finding.remedy}".split()) for finding in own)
    tell("".join(f"{begin}{line}\n" for line in said))
    # a launcher ends all ranks when one has failed: let the first tell what it knows before
    attempt.wait_for_signal(LINGER_S)
    return FAILED


def _write(line: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # whoever read it has gone
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def _tail(noise: IO[bytes]) -> str:
    """Return the end of what MPI libraries wrote."""
    size = noise.seek(0, os.SEEK_END)
    noise.seek(max(0, size - _NOISE_BYTES))
    return noise.read().decode(errors="replace").replace("\0", "")
