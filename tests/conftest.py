"""GPU tests run when they are asked for, others where the machine can; the rest is counted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable

import pytest

from tests.browser import find_browser
from tests.ranks.inside import RESULTS
from tests.slurm.needs import missing as slurm_lacks
from tests.unit.kernels.emulation import KERNELS

# Open MPI's btl/ofi sleeps a second when it closes, in each job on a machine without a fabric
os.environ.setdefault("OMPI_MCA_btl", "^ofi")

MADE = pytest.StashKey[str]()
NOT_RUN = pytest.StashKey[list[str]]()


def _gpu_lacks(config: pytest.Config) -> str:
    return "" if "gpu" in config.option.markexpr else "no device asked for (-m gpu)"


# marker -> what the tests are called and why they cannot run, "" when they can
NEEDS: dict[str, tuple[str, Callable[[pytest.Config], str]]] = {
    "gpu": ("GPU", _gpu_lacks),
    "browser": ("browser", lambda _: "" if find_browser() else "there is no chromium on PATH"),
    "slurm": ("Slurm", lambda _: slurm_lacks()),
}


def pytest_configure(config: pytest.Config) -> None:
    """Make one folder for what this process, and those it starts, compile."""
    if KERNELS not in os.environ:
        config.stash[MADE] = os.environ[KERNELS] = tempfile.mkdtemp(prefix="mpitrain-kernels-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder."""
    if MADE in config.stash:
        shutil.rmtree(os.environ.pop(KERNELS))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the GPU tests unless the marker expression names them, and what cannot run here."""
    if RESULTS in os.environ:  # ranks run what they are given
        return
    lines = config.stash[NOT_RUN] = []
    for marker, (name, lacks) in NEEDS.items():
        found = [item for item in items if item.get_closest_marker(marker)]
        why = lacks(config) if found else ""
        if why:
            lines.append(f"{len(found)} {name} tests not run: {why}")
            config.hook.pytest_deselected(items=found)
            items[:] = [item for item in items if item not in found]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many tests did not run, and why."""
    for line in config.stash.get(NOT_RUN, []):
        terminalreporter.write_line(line)
