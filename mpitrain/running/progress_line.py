"""Progress for people, on standard error: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Protocol

from mpitrain.core.console import tell
from mpitrain.launch_environment import TERMINAL_VARIABLE
from mpitrain.modes.mode import Mode
from mpitrain.modes.record import StepRecord
from mpitrain.running.totals import Totals


class Progress:
    """Shows how far all ranks together are; lives on rank 0.

    The loss shown is a running mean of this rank's mini-batches; staleness and lead are this
    rank's too.
    """

    def __init__(
        self, mode: Mode, first_step: int, total_steps: int, batch_size: int, every_s: float
    ) -> None:
        """Show the progress of ``mode``.

        Args:
            mode: knows the steps done.
            first_step: steps done before this life.
            total_steps: of all ranks together.
            batch_size: samples per step, for samples/s.
            every_s: seconds between two lines.
        """
        self._mode = mode
        self._total_steps = total_steps
        self._batch_size = batch_size
        self._every_s = every_s
        self._shown_s = 0.0
        self._shown_steps = first_step
        self._loss = 0.0
        self._display = _display(first_step, total_steps)

    def after_step(self, record: StepRecord, totals: Totals) -> None:
        """Show a line or move the bar when it is time."""
        first = totals.num_steps == 1
        self._loss = record.loss if first else 0.95 * self._loss + 0.05 * record.loss
        now_s = totals.last_s
        if first:
            self._shown_s = now_s
        elif now_s - self._shown_s >= self._every_s:
            self._show(record, totals, now_s)

    def say(self, line: str) -> None:
        """Show a line that stays."""
        self._display.say(line)

    def tell(self, outcome: Mapping[str, Any]) -> None:
        """Show an evaluation."""
        means = " ".join(f"{k}={v:.4f}" for k, v in outcome.items() if isinstance(v, float))
        self.say(f"evaluation at step {outcome['steps']}: {means}")

    def close(self) -> None:
        """Leave the display as it is; a second call does nothing."""
        self._display.close()

    def _show(self, record: StepRecord, totals: Totals, now_s: float) -> None:
        steps = self._mode.steps_done
        speed = (steps - self._shown_steps) / (now_s - self._shown_s) * self._batch_size
        self._shown_steps, self._shown_s = steps, now_s
        facts = {
            "samples/s": f"{speed:.0f}",
            "loss": f"{self._loss:.4f}",
            "staleness": f"{totals.staleness_mean:.2f}",
            "lead": str(record.lead),
        }
        self._display.show(steps, facts)


class Display(Protocol):
    """Where progress is shown."""

    def show(self, steps: int, facts: Mapping[str, str]) -> None:
        """Show the steps done and some facts."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def close(self) -> None:
        """End the display."""


class Lines:
    """Plain lines."""

    def __init__(self, total_steps: int) -> None:
        self._total_steps = total_steps

    def show(self, steps: int, facts: Mapping[str, str]) -> None:
        """Write one line."""
        share = steps / self._total_steps
        text = " ".join(f"{name}={value}" for name, value in facts.items())
        self.say(f"step {steps}/{self._total_steps} ({share:.0%}) {text}")

    def say(self, line: str) -> None:
        """Write one line."""
        tell(f"mpitrain: {line}\n")

    def close(self) -> None:
        """Nothing is held."""


class Bar:
    """A tqdm bar as wide as the terminal the launcher saw."""

    def __init__(self, first_step: int, total_steps: int, columns: int | None) -> None:
        from tqdm import tqdm  # optional

        self._bar = tqdm(
            initial=first_step, total=total_steps, unit="step", file=sys.stderr, ncols=columns
        )

    def show(self, steps: int, facts: Mapping[str, str]) -> None:
        """Move the bar."""
        self._bar.set_postfix(facts, refresh=False)
        self._bar.update(steps - self._bar.n)

    def say(self, line: str) -> None:
        """Write one line above the bar."""
        self._bar.write(f"mpitrain: {line}", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar on the terminal."""
        self._bar.close()


def _display(first_step: int, total_steps: int) -> Display:
    told = os.environ.get(TERMINAL_VARIABLE, "")
    if not told and not (sys.stderr and sys.stderr.isatty()):
        return Lines(total_steps)
    columns = told.partition("x")[0]
    try:
        return Bar(first_step, total_steps, int(columns) if columns.isdigit() else None)
    except ImportError:  # the extra [progress] is not installed
        return Lines(total_steps)
