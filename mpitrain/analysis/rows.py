"""Checks of one log by itself: each row is whole and says what a step can say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.attributes import Terms
from mpitrain.analysis.findings import Finding, Wrong
from mpitrain.analysis.scan import Rows
from mpitrain.core.batches import num_tickets
from mpitrain.storage.reading import RankLog
from mpitrain.storage.schema import SHARD_COLUMNS, checks_agree, row_checks

PHASES = ("wait_s", "read_s", "compute_s", "write_s")
_CHECKS = ("check", "clock", *PHASES, "began_s", "lead", "bound", "num_samples")


class RowChecks:
    """All checks that need the log of one rank and the terms of the run."""

    def __init__(self, log: RankLog, rank: int, terms: Terms) -> None:
        self._terms = terms
        self._keys = ("clock", "ticket", *(SHARD_COLUMNS if log.per_shard else ()))
        self.names = ("check", *self._keys, *PHASES, "began_s", "lead", "num_samples")
        self._num_keys = 2 + 2 * len(log.shards) if log.per_shard else 2
        self._joined = np.empty((0, self._num_keys), np.int64)
        self._first_clock = terms.start.clock(rank)
        self._clock = self._first_clock - 1  # of the row before
        self._began_s: float | None = None
        self._wrong = {name: Wrong(log.path) for name in _CHECKS}

    def findings(self) -> list[Finding]:
        """Return what was wrong, check by check."""
        return [finding for wrong in self._wrong.values() for finding in wrong.findings()]

    def look(self, first: int, rows: Rows) -> None:
        """Check a slice."""
        self._look_at_checks(first, rows)
        self._look_at_clocks(first, rows)
        for name in PHASES:
            self._look_at_phase(first, rows, name)
        self._look_at_began(first, rows)
        self._look_at_leads(first, rows)
        self._look_at_samples(first, rows)

    def _look_at_checks(self, first: int, rows: Rows) -> None:
        """Each row's CRC-32 of clock, ticket and versions is right: no bit has changed."""
        found = rows["check"]
        keys = self._join(rows, len(found))
        if checks_agree(keys, found):
            return
        wanted = row_checks(keys)
        self._wrong["check"].add(
            first,
            found != wanted,
            lambda row: (
                f"check is {found[row]:#010x}, clock, ticket and versions give {wanted[row]:#010x}"
            ),
        )

    def _join(self, rows: Rows, num: int) -> npt.NDArray[np.int64]:
        """Return what the checks are of, side by side, in memory that is used again."""
        if len(self._joined) < num:
            self._joined = np.empty((num, self._num_keys), np.int64)
        keys, column = self._joined[:num], 0
        for name in self._keys:
            values = rows[name].reshape(num, -1)
            keys[:, column : column + values.shape[1]] = values
            column += values.shape[1]
        return keys

    def _look_at_clocks(self, first: int, rows: Rows) -> None:
        """Clocks go on one by one: no row lost, doubled or out of place."""
        clock = rows["clock"]
        before = np.concatenate([[self._clock], clock[:-1]])
        self._clock = int(clock[-1])
        self._wrong["clock"].add(
            first,
            clock != before + 1,
            lambda row: (
                f"clock is {clock[row]} after {before[row]}"
                if first + row
                else f"clock is {clock[row]} in the first row, must be {self._first_clock}"
            ),
        )

    def _look_at_phase(self, first: int, rows: Rows, name: str) -> None:
        phase = rows[name]
        self._wrong[name].add(
            first,
            ~(np.isfinite(phase) & (phase >= 0)),
            lambda row: f"{name} is {phase[row]}, must be >= 0 and finite",
        )

    def _look_at_began(self, first: int, rows: Rows) -> None:
        """Steps begin in order."""
        began = rows["began_s"]
        before = np.concatenate([began[:1] if self._began_s is None else [self._began_s],
                                 began[:-1]])  # fmt: skip
        self._began_s = float(began[-1])
        self._wrong["began_s"].add(
            first,
            ~(np.isfinite(began) & (began >= before)),
            lambda row: f"began_s is {began[row]}, the row before began at {before[row]}",
        )

    def _look_at_leads(self, first: int, rows: Rows) -> None:
        """Check 0 <= lead <= clock - least, and lead <= bound: the second half of invariant 2.

        ``least`` is the smallest clock that a rank started this life with. The slowest clock of the
        moment is in no log, so the lead itself cannot be recomputed.

        Source: Ho et al., "More effective distributed ML via a stale synchronous parallel parameter
        server", NIPS 2013, section 2.
        """
        lead, clock = rows["lead"], rows["clock"]
        bound, least = self._terms.bound, self._terms.start.slowest
        self._wrong["lead"].add(
            first,
            (lead < 0) | (lead > clock - least),
            lambda row: (
                f"lead is {lead[row]} at clock {clock[row]}, must be >= 0 and <= "
                f"{clock[row] - least if least else 'clock'}"
            ),
        )
        if bound is not None:
            self._wrong["bound"].add(
                first, lead > bound, lambda row: f"lead is {lead[row]}, the bound is {bound}"
            )

    def _look_at_samples(self, first: int, rows: Rows) -> None:
        """Each mini-batch has the number of samples that its ticket says."""
        found, wanted = rows["num_samples"], samples_of(rows["ticket"], self._terms)
        self._wrong["num_samples"].add(
            first,
            found != wanted,
            lambda row: (
                f"num_samples is {found[row]}, ticket {rows['ticket'][row]} has {wanted[row]}"
            ),
        )


def samples_of(tickets: npt.NDArray[np.int64], terms: Terms) -> npt.NDArray[np.int64]:
    """Return the number of samples of each ticket; the last of a data pass may be short."""
    first = tickets % num_tickets(terms.num_samples, terms.batch_size) * terms.batch_size
    return np.minimum(terms.batch_size, terms.num_samples - first)
