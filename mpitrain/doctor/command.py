"""``doctor``: run the examination and print what it finds."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

from mpitrain.config import load
from mpitrain.core.console import tell
from mpitrain.core.errors import FAILED
from mpitrain.doctor.attempt import Attempt
from mpitrain.doctor.finding import WRONG, Finding, as_json, summary
from mpitrain.launch_environment import is_first_rank, rank_defaults

_NOISE_BYTES = 8192


def doctor_command(run_file: str | None, overrides: Sequence[str], *, as_json_line: bool) -> int:
    """Examine this rank, and with MPI all ranks; return 1 when something is wrong, else 0.

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
    speaks = is_first_rank(os.environ)
    environ = dict(os.environ)
    rank_defaults(environ)
    found: list[Finding] = []
    with tempfile.TemporaryFile() as noise:
        attempt = Attempt(words, environ, noise)
        for finding in attempt.findings():
            found.append(finding)
            if speaks and not as_json_line:
                _write(finding.line())
            elif not speaks:
                tell(f"mpitrain: doctor: {socket.gethostname()}: {finding.line()}\n")
        if attempt.state == WRONG:
            tell(_tail(noise))
    if speaks:
        _write(json.dumps(as_json(found)) if as_json_line else summary(found))
    return FAILED if attempt.state == WRONG else 0


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _tail(noise: IO[bytes]) -> str:
    """Return the end of what MPI libraries wrote."""
    size = noise.seek(0, os.SEEK_END)
    noise.seek(max(0, size - _NOISE_BYTES))
    return noise.read().decode(errors="replace")
