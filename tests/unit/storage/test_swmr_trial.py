from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from mpitrain.storage import swmr_trial
from mpitrain.storage.swmr_trial import SingleWriter, try_single_writer

HDF5 = f"{h5py.version.hdf5_version} (h5py {h5py.version.version})"


def test_trial_succeeds_and_leaves_nothing(tmp_path: Path) -> None:
    """A log is read while it is written, and removed; the versions are told."""
    assert try_single_writer(tmp_path) == SingleWriter(hdf5=HDF5)
    assert list(tmp_path.iterdir()) == []


def test_trial_names_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The reason is the system's, in one line."""
    place = tmp_path / "missing"
    trial = try_single_writer(place)
    assert trial == SingleWriter(hdf5=HDF5, error=f"No such file or directory ({place})")


def test_trial_gives_up_when_a_file_system_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a process of its own with a limit."""
    monkeypatch.setattr(swmr_trial, "LIMIT_S", 0.01)
    assert try_single_writer(tmp_path) == SingleWriter(error="no answer within 0.01 s")


def test_trial_says_why_hdf5_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no version then."""
    (tmp_path / "h5py.py").write_text("raise ImportError('libhdf5 is broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert try_single_writer(tmp_path) == SingleWriter(error="ImportError: libhdf5 is broken")
