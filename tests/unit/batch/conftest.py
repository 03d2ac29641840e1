"""Fakes of Slurm's commands, in a folder of their own at the head of PATH."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def commands(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str], Path]:
    """Return a function that makes a command of a name and the lines of a shell script.

    It returns the file in which each call leaves its arguments.
    """
    folder = tmp_path_factory.mktemp("commands")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, body: str) -> Path:
        log = folder / f"{name}.log"
        (folder / name).write_text(f"#!/bin/bash\necho \"$*\" >> '{log}'\n{body}\n")
        (folder / name).chmod(0o755)
        return log

    return make
