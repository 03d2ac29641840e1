from __future__ import annotations

from pathlib import Path

import pytest

from mpitrain.doctor.files import FolderFacts, existing_folder, file_system, judge_files
from mpitrain.storage.swmr_trial import SingleWriter

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/scratch tmpfs rw 0 0
server:/two /with\\040space lustre rw 0 0
old /later ext4 rw 0 0
new /later xfs rw 0 0
short
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/homestead", "ext4"),
        ("/home/me", "nfs4"),
        ("/home/me/scratch/x", "tmpfs"),
        ("/with space/x", "lustre"),
        ("/later", "xfs"),
    ],
)
def test_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    """The longest mount point wins, of two on one point the later."""
    assert file_system(Path(path), MOUNTS) == kind


def test_file_system_is_unknown_without_mounts() -> None:
    """Nothing is guessed."""
    assert file_system(Path("/x"), "") == ""


def judged(kind: str, error: str = "") -> tuple[str, str, str]:
    """Return state, value and remedy."""
    trial = SingleWriter(hdf5="2.0", error=error)
    hdf5, finding = judge_files(FolderFacts(path="/runs", file_system=kind, trial=trial), "a")
    assert (hdf5.state, hdf5.value) == ("ok", "2.0")
    return finding.state, finding.value, finding.remedy


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs"])
def test_network_file_system_is_a_warning_even_where_it_works(kind: str) -> None:
    """HDF5 promises nothing there: it is named, and where logs may go instead."""
    state, value, remedy = judged(kind)
    assert (state, kind in value, "log.directory" in remedy) == ("warning", True, True)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay", "lustre", "gpfs", ""])
def test_folder_is_ok_where_single_writer_mode_works(kind: str) -> None:
    """Local file systems, and those that keep the order of writes between hosts."""
    assert judged(kind)[0] == "ok"


def test_folder_is_wrong_where_single_writer_mode_fails() -> None:
    """Gives the reason."""
    state, value, remedy = judged("ext4", "permission denied")
    assert (state, "permission denied" in value) == ("wrong", True)
    assert "run.directory" in remedy


def test_folder_that_is_to_be_made_is_tried_where_it_will_be(tmp_path: Path) -> None:
    """The nearest one that is there."""
    assert existing_folder(tmp_path / "a" / "b") == tmp_path
    assert existing_folder(tmp_path) == tmp_path


def test_hdf5_that_cannot_be_loaded_is_wrong() -> None:
    """Nothing is said of the folder then."""
    trial = SingleWriter(error="ImportError: no")
    (hdf5,) = judge_files(FolderFacts(path="/runs", file_system="ext4", trial=trial), "a")
    assert (hdf5.state, "ImportError: no" in hdf5.value) == ("wrong", True)
    assert "pip install" in hdf5.remedy
