"""What a person sees who starts a run at a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from contextlib import suppress
from pathlib import Path
from threading import Timer

from tests.ranks.launcher import ROOT, python_of
from tests.unit.running.test_display import shown

COLUMNS = 80
LIMIT_S = 60


def run_at_terminal(*words: str) -> tuple[int, str, list[str]]:
    """Run ``launch`` with standard error on a terminal; return code, standard output, what came.

    The terminal's text comes in the pieces in which it was there to be read.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    command = [str(python_of("openmpi")), "-m", "mpitrain", "launch", *words]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        late = Timer(LIMIT_S, process.terminate)  # launch ends its ranks
        late.start()
        pieces = []
        with suppress(OSError):  # the terminal's end is an error
            while piece := os.read(ours, 1 << 16):
                pieces.append(piece)
        late.cancel()
        os.close(ours)
        out, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, out, [piece.decode(errors="replace") for piece in pieces]


def test_bar_lives_above_its_evaluations_and_standard_output_is_json_alone(tmp_path: Path) -> None:
    """The bar is there while it runs, fits the terminal and leaves every line whole."""
    code, out, pieces = run_at_terminal(
        "-n",
        "2",
        "train",
        "run.steps=100",
        "run.evaluate_every=25",
        f"run.directory={tmp_path / 'run'}",
        "mode.kind=bsp",  # rank 0 comes to every evaluation
        "straggler.kind=constant",
        "straggler.delay=0.02",
    )
    assert code == 0, pieces
    assert json.loads(out)["steps"] == 100
    assert any("%|" in piece and not piece.endswith("\n") for piece in pieces)  # not held back
    text = "".join(pieces).replace("\r\n", "\n")
    frames = [part for part in text.replace("\n", "\r").split("\r") if "%|" in part]
    assert len(frames) >= 4
    assert max(map(len, frames)) < COLUMNS
    lines = shown(text)
    bars = [line for line in lines if "%|" in line]
    assert len(bars) == 1, lines
    assert bars[0].startswith("100%|")
    others = [line for line in lines if line not in bars]
    assert all(line.startswith("mpitrain: ") for line in others)
    assert sum("evaluation at step" in line for line in others) >= 4
