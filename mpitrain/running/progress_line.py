"""Progress for people: how far all ranks together are, and how it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpitrain.modes.mode import Watched
from mpitrain.modes.record import StepRecord
from mpitrain.running.display import open_display
from mpitrain.running.figures import Figures
from mpitrain.running.totals import Totals


class Progress:
    """Shows figures and evaluations; lives on rank 0."""

    def __init__(
        self, mode: Watched, first_step: int, total_steps: int, batch_size: int, every_s: float
    ) -> None:
        """Show the progress of ``mode``.

        Args:
            mode: knows the steps done.
            first_step: steps done before this life.
            total_steps: of all ranks together.
            batch_size: samples per step, for samples/s.
            every_s: seconds between two lines; a bar moves more often.
        """
        self._mode = mode
        self._display = open_display(first_step, total_steps, every_s)
        self._figures = Figures(mode, first_step, batch_size, self._display.every_s)

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Show a line or move the bar when it is time."""
        if self._figures.look(record, totals):
            self._display.show(self._mode.steps_done, self._figures.take(record, totals))

    def tell(self, outcome: Mapping[str, Any]) -> None:
        """Show an evaluation."""
        means = " ".join(f"{k}={v:.4f}" for k, v in outcome.items() if isinstance(v, float))
        self._display.say(f"evaluation at step {outcome['steps']}: {means}")

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._display.say(line)

    def finish(self) -> None:
        """Show that the last step is done."""
        self._display.finish(self._mode.steps_done)

    def close(self) -> None:
        """Leave the display as it is; a second call does nothing."""
        self._display.close()
