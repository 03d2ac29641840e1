"""The staleness log as training uses it: a log that cannot be written is told once, then let go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from mpitrain.core.errors import LogError
from mpitrain.modes.record import StepRecord
from mpitrain.running.totals import Totals
from mpitrain.storage.null_log import NullLog
from mpitrain.storage.staleness_log import LogWriter


class LogKeeper:
    """Appends steps and events to a log, and survives its failure.

    After a failure nothing more is written: the rows that are lost leave a gap, and rows behind it
    would prove nothing.
    """

    def __init__(
        self,
        log: LogWriter | NullLog,
        fail: Callable[[str], None],
        now: Callable[[], float],
        *,
        is_needed: bool = True,
    ) -> None:
        """Keep ``log``.

        Args:
            log: the log of this rank.
            fail: told once, by the main thread, why the log cannot be written.
            now: seconds since the run's common zero.
            is_needed: whether a checkpoint counts only when the steps before it are in the log.
        """
        self._is_needed = is_needed
        self._error: LogError | None = None
        self._log = log
        self._append = log.append
        self._fail = fail
        self._now = now

    @property
    def is_writing(self) -> bool:
        """Whether there is a log that holds every step so far."""
        return not isinstance(self._log, NullLog)

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Append the step's row."""
        try:
            self._append(
                record.clock,
                record.ticket,
                record.began_s,
                record.wait_s,
                record.read_s,
                record.compute_s,
                record.write_s,
                record.lead,
                record.staleness_mean,
                record.staleness_max,
                record.own_missing,
                record.loss,
                record.gradient_norm,
                record.update_norm,
                record.rate,
                record.factor,
                record.num_samples,
                record.version_read,
                record.version_written,
            )
        except LogError as error:
            self._let_go(error)

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Note that something happened just now."""
        try:
            self._log.event(self._now(), kind, detail)
        except LogError as error:
            self._let_go(error)

    def sync(self) -> None:
        """Return when every step so far is on disk, if it is needed; any thread.

        Raises:
            LogError: it cannot be.
        """
        try:
            if self._error is not None:
                raise self._error
            self._log.sync()
        except LogError:
            if self._is_needed:
                raise

    def close(self, *, is_complete: bool) -> None:
        """Write what is left; see LogWriter.close."""
        try:
            self._log.close(is_complete=is_complete)
        except LogError as error:
            self._let_go(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(is_complete=kind is None or getattr(error, "is_clean_end", False))

    def _let_go(self, error: LogError) -> None:
        self._error = error
        self._log = NullLog()
        self._append = self._log.append
        self._fail(str(error))
