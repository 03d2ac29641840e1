"""GPU tests run when they are asked for, browser tests where there is one; the rest is counted."""

from __future__ import annotations

import os

import pytest

from tests.browser import find_browser
from tests.ranks.inside import RESULTS

NOT_RUN = pytest.StashKey[dict[str, int]]()
WHY = {
    "gpu": "GPU tests not run: no device asked for (-m gpu)",
    "browser": "browser tests not run: there is no chromium on PATH",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the GPU tests unless the marker expression names them, and what no browser opens."""
    if RESULTS in os.environ:  # ranks run what they are given
        return
    is_there = {"gpu": "gpu" in config.option.markexpr, "browser": find_browser() is not None}
    counts = config.stash[NOT_RUN] = {}
    for name in WHY:
        found = [item for item in items if item.get_closest_marker(name)]
        if found and not is_there[name]:
            counts[name] = len(found)
            config.hook.pytest_deselected(items=found)
            items[:] = [item for item in items if item not in found]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests did not run, and why."""
    for name, number in config.stash.get(NOT_RUN, {}).items():
        terminalreporter.write_line(f"{number} {WHY[name]}")
