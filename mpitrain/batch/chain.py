"""What the entries of a job chain say together. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mpitrain.batch.after_life import REQUEUED, SUBMITTED
from mpitrain.batch.ledger import Entry


def open_jobs(entries: Sequence[Entry]) -> list[str]:
    """Return the jobs that were submitted or requeued last, so should be there; oldest first."""
    newest = {entry.job: entry.what for entry in entries}
    return [job for job, what in newest.items() if what in (SUBMITTED, REQUEUED)]
