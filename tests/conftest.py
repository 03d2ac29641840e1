"""GPU tests run when they are asked for (``-m gpu``); otherwise the summary counts them."""

from __future__ import annotations

import os

import pytest

from tests.ranks.inside import RESULTS

NOT_RUN = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the GPU tests unless the marker expression names them."""
    if "gpu" in config.option.markexpr or RESULTS in os.environ:  # ranks run what they are given
        return
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    config.stash[NOT_RUN] = len(gpu)
    if gpu:
        config.hook.pytest_deselected(items=gpu)
        items[:] = [item for item in items if item not in gpu]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many GPU tests there are and that they did not run."""
    number = config.stash.get(NOT_RUN, 0)
    if number:
        terminalreporter.write_line(f"{number} GPU tests not run: no device asked for (-m gpu)")
