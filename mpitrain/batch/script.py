"""The job script of one run: the template, with header and words of the run put in. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from mpitrain.batch.header import Option, with_options
from mpitrain.core.errors import UserError

MARKER = "# --- mpitrain submit puts the words of the run here"
"""The line of a template that is replaced by the run's words; it comes before any command."""
JOBS = "MPITRAIN_JOBS"
MOST_REQUEUES = "MPITRAIN_MOST_REQUEUES"
PYTHON = "MPITRAIN_PYTHON"
KEPT = (
    *(PYTHON, "MPITRAIN_LAUNCHER", "MPITRAIN_SRUN_MPI", "MPITRAIN_RANKS", MOST_REQUEUES),
    *("MPITRAIN_NEVER_REQUEUE", "MPITRAIN_AFTER"),  # of chain.sh
)
"""Variables that the template and site.sh look at; what they say at submission is kept."""


def rendered(
    template: str, options: Sequence[Option], variables: Mapping[str, str], words: Sequence[str]
) -> str:
    """Return a script that is complete: it needs no arguments and none of these variables.

    Args:
        template: with the marker.
        options: for its header.
        variables: to export.
        words: of ``train``.

    Raises:
        UserError: the template has no such place, or a word cannot be written into a script.
    """
    for word in (*words, *variables.values()):
        if word != word.encode(errors="replace").decode():
            message = f"{word!r} is no UTF-8 text, and a job script must be"
            raise UserError(message)
    for option in options:
        if not option.word.isprintable():
            message = f"{option.word!r} cannot be a line of a job script"
            raise UserError(message)
    before, marker, after = template.partition(f"\n{MARKER}\n")
    if not marker or MARKER in after:
        message = f"the template must have the line '{MARKER}' once, below its #SBATCH lines"
        raise UserError(message)
    said = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    run = ["# --- the run, as it was submitted", *said, f"set -- {shlex.join(words)}"]
    return with_options("\n".join([before, *run, after]), options)
