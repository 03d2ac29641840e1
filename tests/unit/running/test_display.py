from __future__ import annotations

import io
import re
import sys

import pytest
from tqdm import tqdm

from mpitrain.core.console import TERMINAL_VARIABLE, tell
from mpitrain.running.display import LEAST_BAR, Bar, Lines, bar_format, open_display

FACTS = ["43.9k samples/s", "loss 0.0098", "staleness 1.6", "lead 3"]
FIGURES = {"samples/s": 43901.0, "loss": 0.0098, "staleness": 1.56, "lead": 3.0}


@pytest.mark.parametrize("columns", [20, 40, 79, 80, 100, 120, 200, 500])
@pytest.mark.parametrize("total", [10, 2700, 10**9])
def test_bar_fits_into_the_terminal(columns: int, total: int) -> None:
    """At any width and progress of a run of 9 hours; a bar is always there."""
    wanted = bar_format(FACTS, f"{total}/{total}", columns)
    for share in (0.0, 0.001, 0.5, 1.0):
        steps, gone_s = int(share * total), 9 * 3600 * share
        line = tqdm.format_meter(steps, total, gone_s, ncols=columns, bar_format=wanted, ascii="-#")
        assert len(line) <= columns
        assert len(re.findall("[-#]", line)) >= LEAST_BAR - 4
        assert line.endswith(FACTS[3]) or columns < 79


def test_bar_shows_what_matters_most_when_it_is_narrow() -> None:
    """Speed and loss go last; a wide terminal has room for all."""
    narrow, common, wide = (bar_format(FACTS, "2700/2700", width) for width in (40, 79, 200))
    assert narrow.endswith("| 43.9k samples/s")
    assert common.endswith("| {remaining} left, " + ", ".join(FACTS))
    expected = ["{n_fmt}/{total_fmt}", "{elapsed} gone", "{remaining} left", *FACTS]
    assert wide.endswith("| " + ", ".join(expected))


def test_bar_and_lines_share_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line stands by itself above the bar, whoever writes it; at the end the bar is full."""
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv(TERMINAL_VARIABLE, "80x24")
    display = open_display(0, 2700, 2.0)
    display.show(500, FIGURES)
    display.say("evaluation at step 500: loss=0.1")
    display.show(1000, FIGURES)
    tell("mpitrain: rank 2 says something\n")
    display.show(1500, FIGURES)
    display.finish(2700)
    display.close()
    display.close()
    said = shown(screen.getvalue())
    assert said[0] == "mpitrain: evaluation at step 500: loss=0.1"
    assert said[1] == "mpitrain: rank 2 says something"
    assert re.fullmatch(r"100%\|#+\| 00:00 left, 43.9k samples/s, loss 0.0098, .*lead 3", said[2])
    assert max(map(len, said)) == 79


def shown(text: str) -> list[str]:
    """Return the lines that a terminal shows in the end."""
    lines = []
    for line in text.split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):
            if part.startswith("\x1b[K"):
                cells = []
            part = part.removeprefix("\x1b[K")
            cells[: len(part)] = part
        lines.append("".join(cells).rstrip())
    return [line for line in lines if line]


def test_plain_lines_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard error is no terminal: a line each time, and none for the end."""
    display = open_display(0, 2700, 2.0)
    assert isinstance(display, Lines)
    display.show(500, FIGURES)
    display.finish(2700)
    display.close()
    expected = "mpitrain: step 500/2700 (19%) samples/s=43901 loss=0.0098 staleness=1.56 lead=3\n"
    assert capsys.readouterr().err == expected


def test_bar_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tqdm a terminal gets plain lines."""
    monkeypatch.setenv(TERMINAL_VARIABLE, "80x24")
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert isinstance(open_display(0, 10, 2.0), Lines)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setenv(TERMINAL_VARIABLE, "80x24")
    assert isinstance(open_display(0, 10, 2.0), Bar)
