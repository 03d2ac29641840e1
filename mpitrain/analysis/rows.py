"""Checks of one log by itself: each row is whole and says what a step can say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import Terms
from mpitrain.analysis.findings import Finding, findings_at
from mpitrain.core.batches import num_tickets
from mpitrain.storage.reading import RankLog
from mpitrain.storage.schema import row_checks

PHASES = ("wait_s", "read_s", "compute_s", "write_s")


def check_rows(log: RankLog, rank: int, terms: Terms) -> list[Finding]:
    """Run all checks that need the log of one rank and the terms of the run."""
    return [
        *check_checks(log),
        *check_clocks(log, terms.start.clock(rank)),
        *check_times(log),
        *check_leads(log, terms.bound, terms.start.slowest),
        *check_num_samples(log, terms),
    ]


def check_checks(log: RankLog) -> list[Finding]:
    """Check each row's CRC-32 of clock, ticket and versions: no bit changed after writing."""
    steps = log.steps
    keys = [steps["clock"], steps["ticket"]]
    if log.per_shard:
        keys += [steps["version_read"], steps["version_written"]]
    wanted = row_checks(np.column_stack(keys))
    found = steps["check"]
    return findings_at(
        log,
        found != wanted,
        lambda row: (
            f"check is {found[row]:#010x}, clock, ticket and versions give {wanted[row]:#010x}"
        ),
    )


def check_clocks(log: RankLog, first: int) -> list[Finding]:
    """Check that clocks are ``first``, + 1, + 2, ...: no row lost, doubled or out of place."""
    clock = log.steps["clock"]
    before = np.concatenate([[first - 1], clock[:-1]])
    return findings_at(
        log,
        clock != before + 1,
        lambda row: (
            f"clock is {clock[row]} after {before[row]}"
            if row
            else f"clock is {clock[row]} in the first row, must be {first}"
        ),
    )


def check_times(log: RankLog) -> list[Finding]:
    """Check that phases are >= 0 and finite, and that steps begin in order."""
    found = [finding for name in PHASES for finding in _check_phase(log, name)]
    began = log.steps["began_s"]
    before = np.concatenate([began[:1], began[:-1]])
    return found + findings_at(
        log,
        ~(np.isfinite(began) & (began >= before)),
        lambda row: f"began_s is {began[row]}, the row before began at {before[row]}",
    )


def _check_phase(log: RankLog, name: str) -> list[Finding]:
    phase = log.steps[name]
    return findings_at(
        log,
        ~(np.isfinite(phase) & (phase >= 0)),
        lambda row: f"{name} is {phase[row]}, must be >= 0 and finite",
    )


def check_leads(log: RankLog, bound: int | None, least: int = 0) -> list[Finding]:
    """Check 0 <= lead <= clock - least, and lead <= bound: the second half of invariant 2.

    ``least`` is the smallest clock that a rank started this life with. The slowest clock of the
    moment is in no log, so the lead itself cannot be recomputed.

    Source: Ho et al., "More effective distributed ML via a stale synchronous parallel parameter
    server", NIPS 2013, section 2.
    """
    lead, clock = log.steps["lead"], log.steps["clock"]
    found = findings_at(
        log,
        (lead < 0) | (lead > clock - least),
        lambda row: (
            f"lead is {lead[row]} at clock {clock[row]}, must be >= 0 and <= "
            f"{clock[row] - least if least else 'clock'}"
        ),
    )
    if bound is not None:
        found += findings_at(
            log, lead > bound, lambda row: f"lead is {lead[row]}, the bound is {bound}"
        )
    return found


def check_num_samples(log: RankLog, terms: Terms) -> list[Finding]:
    """Check that each mini-batch has the number of samples that its ticket says."""
    found, wanted = log.steps["num_samples"], samples_of(log.steps["ticket"], terms)
    return findings_at(
        log,
        found != wanted,
        lambda row: (
            f"num_samples is {found[row]}, ticket {log.steps['ticket'][row]} has {wanted[row]}"
        ),
    )


def samples_of(tickets: npt.NDArray[np.int64], terms: Terms) -> npt.NDArray[np.int64]:
    """Return the number of samples of each ticket; the last of a data pass may be short."""
    first = tickets % num_tickets(terms.num_samples, terms.batch_size) * terms.batch_size
    return np.minimum(terms.batch_size, terms.num_samples - first)
