"""Where progress is shown, on standard error: a bar on a terminal, else plain lines."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from mpitrain.core.console import TERMINAL_VARIABLE, tell

BAR_EVERY_S = 0.2  # most time between two moves of the bar
LEAST_BAR = 8  # columns
TIME = "00:00"  # hours take from the bar


class Display(Protocol):
    """Where progress is shown.

    Attributes:
        every_s: how often it wants to show something.
    """

    every_s: float

    def show(self, steps: int, figures: Mapping[str, float]) -> None:
        """Show the steps done and some figures, by name."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def finish(self, steps: int) -> None:
        """Show that the last step is done."""

    def close(self) -> None:
        """End the display; a second call does nothing."""


class Lines:
    """Plain lines."""

    def __init__(self, total_steps: int, every_s: float) -> None:
        self.every_s = every_s
        self._total_steps = total_steps

    def show(self, steps: int, figures: Mapping[str, float]) -> None:
        """Write one line."""
        share = steps / self._total_steps
        facts = {
            "samples/s": f"{figures['samples/s']:.0f}",
            "loss": f"{figures['loss']:.4f}",
            "staleness": f"{figures['staleness']:.2f}",
            "lead": f"{figures['lead']:.0f}",
        }
        text = " ".join(f"{name}={value}" for name, value in facts.items())
        self.say(f"step {steps}/{self._total_steps} ({share:.0%}) {text}")

    def say(self, line: str) -> None:
        """Write one line."""
        tell(f"mpitrain: {line}\n")

    def finish(self, steps: int) -> None:
        """Leave that to the summary."""

    def close(self) -> None:
        """Nothing is held."""


class Bar:
    """A tqdm bar that fits into the terminal the launcher saw."""

    def __init__(self, first_step: int, total_steps: int, every_s: float, columns: int) -> None:
        """Show an empty bar.

        Raises:
            ImportError: tqdm is not installed.
        """
        from tqdm import tqdm  # optional

        tqdm.monitor_interval = 0  # no thread of its own
        self.every_s = min(every_s, BAR_EVERY_S)
        self._columns = columns - 1  # some terminals wrap a line that is full
        self._counts = f"{total_steps}/{total_steps}"
        self._bar = tqdm(
            initial=first_step,
            total=total_steps,
            file=sys.stderr,
            ncols=self._columns,
            bar_format="{percentage:3.0f}%|{bar}| {remaining} left",
        )

    def show(self, steps: int, figures: Mapping[str, float]) -> None:
        """Move the bar."""
        facts = [
            f"{self._bar.format_sizeof(figures['samples/s'])} samples/s",
            f"loss {figures['loss']:.4f}",
            f"staleness {figures['staleness']:.1f}",
            f"lead {figures['lead']:.0f}",
        ]
        self._bar.bar_format = bar_format(facts, self._counts, self._columns)
        self._bar.n = steps
        self._bar.refresh()

    def say(self, line: str) -> None:
        """Write one line above the bar."""
        self._bar.write(f"mpitrain: {line}", file=sys.stderr)

    def finish(self, steps: int) -> None:
        """Move the bar to the end; the figures stay."""
        self._bar.n = steps
        self._bar.refresh()

    def close(self) -> None:
        """Leave the bar on the terminal."""
        self._bar.close()


def bar_format(facts: Sequence[str], counts: str, columns: int) -> str:
    """Return tqdm's format of a line: what fits beside the bar, the first things first.

    Args:
        facts: for people, the most important first.
        counts: the widest that steps done and in all become.
        columns: of the terminal.
    """
    left = columns - len("100%|| ") - LEAST_BAR
    widths = {
        **{fact: len(fact) for fact in facts},
        "{remaining} left": len(f"{TIME} left"),
        "{n_fmt}/{total_fmt}": len(counts),
        "{elapsed} gone": len(f"{TIME} gone"),
    }
    chosen = set()
    for part, width in widths.items():
        left -= width + len(", ")
        if left + len(", ") < 0:
            break
        chosen.add(part)
    order = ["{n_fmt}/{total_fmt}", "{elapsed} gone", "{remaining} left", *facts]
    return "{percentage:3.0f}%|{bar}| " + ", ".join(part for part in order if part in chosen)


def open_display(first_step: int, total_steps: int, every_s: float) -> Display:
    """Return the display for this process's standard error."""
    told = os.environ.get(TERMINAL_VARIABLE, "").partition("x")[0]
    if told.isdigit() or (sys.stderr and sys.stderr.isatty()):
        columns = int(told) if told.isdigit() else shutil.get_terminal_size().columns
        with suppress(ImportError):  # the extra [progress] is not installed
            return Bar(first_step, total_steps, every_s, columns)
    return Lines(total_steps, every_s)
