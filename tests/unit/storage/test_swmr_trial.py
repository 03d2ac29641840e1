from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.storage import swmr_trial
from mpitrain.storage.swmr_trial import hdf5_version, try_single_writer


def test_trial_succeeds_and_leaves_nothing(tmp_path: Path) -> None:
    """A log is read while it is written, and removed."""
    assert try_single_writer(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_trial_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The reason is the system's, in one line."""
    error = try_single_writer(tmp_path / "missing")
    assert error == f"No such file or directory ({tmp_path / 'missing'})"


def test_trial_gives_up_when_a_file_system_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a process of its own with a limit."""
    monkeypatch.setattr(swmr_trial, "LIMIT_S", 0.01)
    assert try_single_writer(tmp_path) == "no answer within 0.01 s"


def test_versions_are_told() -> None:
    """HDF5's and h5py's."""
    assert hdf5_version().count(".") >= 3
