"""Figures and evaluations for other programs: ``log.csv`` and ``log.tensorboard``, on rank 0.

They are a convenience: what cannot be written is said once, and training goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from mpitrain.core.errors import reason
from mpitrain.modes.record import StepRecord
from mpitrain.running.figures import Figures
from mpitrain.running.totals import Totals

NAMES = {
    "samples/s": "train/samples_per_s",
    "loss": "train/loss",
    "staleness": "train/staleness",
    "lead": "train/lead",
}


class Sink(Protocol):
    """Where numbers go.

    Attributes:
        path: of the file or folder, for messages.
    """

    path: Path

    def write(self, time_s: float, steps: int, samples: int, values: Mapping[str, float]) -> None:
        """Write some numbers by name; an OSError says that it cannot be."""

    def close(self) -> None:
        """End it; an OSError says that it cannot be written."""


class Recorder:
    """Gives figures and evaluations to every sink that can still be written."""

    def __init__(
        self,
        makers: Iterable[Callable[[], Sink]],
        figures: Figures,
        steps_done: Callable[[], int],
        num_samples: Callable[[int], int],
        now: Callable[[], float],
        speak: Callable[[str], None],
    ) -> None:
        """Open the sinks.

        Args:
            makers: each makes a sink, or raises an OSError.
            figures: of progress.
            steps_done: of all ranks.
            num_samples: steps of all ranks -> their samples.
            now: seconds of training so far, over all lives.
            speak: takes a line for people.
        """
        self._figures, self._steps_done, self._num_samples = figures, steps_done, num_samples
        self._now, self._speak = now, speak
        self._sinks: list[Sink] = []
        for make in makers:
            try:
                self._sinks.append(make())
            except OSError as error:
                self._say(error)

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Write figures when it is time."""
        if self._sinks and self._figures.look(record, totals):
            figures = self._figures.take(record, totals)
            self._write(self._steps_done(), {NAMES[name]: v for name, v in figures.items()})

    def tell(self, outcome: Mapping[str, Any]) -> None:
        """Write an evaluation."""
        means = {f"test/{name}": v for name, v in outcome.items() if isinstance(v, float)}
        self._write(outcome["steps"], means)

    def close(self) -> None:
        """Close every sink; a second call does nothing."""
        self._each(lambda sink: sink.close())
        self._sinks = []

    def _write(self, steps: int, values: Mapping[str, float]) -> None:
        samples, now_s = self._num_samples(steps), self._now()
        self._each(lambda sink: sink.write(now_s, steps, samples, values))

    def _each(self, do: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                do(sink)
            except OSError as error:
                self._sinks.remove(sink)
                with suppress(OSError):
                    sink.close()
                self._say(error, str(sink.path))

    def _say(self, error: OSError, place: str = "") -> None:
        why, what = reason(error), place or error.filename or "metrics"
        self._speak(f"warning: {what} cannot be written: {why}; training goes on without it")
