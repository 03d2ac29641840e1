"""A rank is killed while a checkpoint is written: see stress_kills for many and large ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.storage.run_directory import read_json
from tests.lives.stress_kills import at_phase, judge, start

SMALL = "model.hidden=[300]"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the final parameters' digest of a run that nobody kills."""
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder, "bsp", SMALL).wait() == 0
    return str((read_json(folder / "run" / "result.json") or {})["parameters_sha256"])


@pytest.mark.parametrize(
    ("phase", "rank", "count"),
    [
        ("temporary", 1, 3),
        ("data", 0, 8),
        ("fsync", 2, 2),
        ("rename", 0, 9),
        ("completion", 0, 1),
        ("completion", 0, 2),
        ("pruning", 0, 1),
    ],
)
def test_run_killed_in_any_phase_of_writing_ends_with_the_same_bits(
    tmp_path: Path, whole: str, phase: str, rank: int, count: int
) -> None:
    """The newest complete checkpoint is whole, and the history proves itself."""
    assert at_phase(tmp_path, "bsp", rank, phase, count, SMALL) == ""
    assert judge(tmp_path, whole) == ""


@pytest.mark.parametrize("mode", ["ssp", "asp"])
@pytest.mark.parametrize(("phase", "rank"), [("data", 1), ("completion", 0)])
def test_killed_run_goes_on_from_its_newest_checkpoint(
    tmp_path: Path, mode: str, phase: str, rank: int
) -> None:
    """Every update of the timeline is there once."""
    assert at_phase(tmp_path, mode, rank, phase, 2, SMALL) == ""
    assert judge(tmp_path, None) == ""
