"""The staleness log that keeps nothing, for ``log.enabled = false``."""

from __future__ import annotations

from typing import Any, Self


class NullLog:
    """Takes the calls of :class:`~mpitrain.storage.staleness_log.LogWriter` and does nothing."""

    num_rows = 0

    def append(self, *_row: Any) -> None:
        """Forget one row. Collective: no."""

    def event(self, _time_s: float, _kind: str, _detail: Any) -> None:
        """Forget one event. Collective: no."""

    def flush(self) -> None:
        """Do nothing. Collective: no."""

    def sync(self) -> None:
        """Do nothing. Collective: no."""

    def close(self, *, is_complete: bool = True) -> None:
        """Do nothing. Collective: no."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
