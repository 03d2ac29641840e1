"""mpitrain.load_checkpoint: what is in it, from which place, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mpitrain
from mpitrain.core.layout import Layout
from mpitrain.core.position import Position
from mpitrain.running.best import Seen
from mpitrain.running.checkpoint_content import state_arrays, state_attributes
from mpitrain.running.totals import Totals
from mpitrain.storage.checkpoint_file import write_checkpoint_file
from mpitrain.storage.checkpoint_mark import STATE
from mpitrain.storage.checkpoints import Checkpoints

LAYOUT = Layout.of({"w": (3, 2), "b": (2,)}, "float32")  # not in the order of names
ROOT = Path(__file__).parents[3]


def written(root: Path, steps: int, **facts: object) -> Path:
    """Write a checkpoint of one rank after ``steps``; its parameters are steps, steps + 1, ..."""
    checkpoints = Checkpoints(root / "checkpoints")
    path = checkpoints.begin(steps)
    at = Position.first("asp", "shared", 1).moved(np.array([steps]), steps, steps)
    attributes = state_attributes(at, Totals(num_steps=steps), "id", 0, {}, Seen())
    parameters = np.arange(steps, steps + 8, dtype=np.float32)
    arrays, offsets = state_arrays(LAYOUT, parameters, at, 2)
    files = {STATE: write_checkpoint_file(path / STATE, attributes, arrays, offsets)}
    checkpoints.mark_complete(steps, 0, files, {"run_id": "id", **facts})
    return path


@pytest.mark.parametrize("is_text", [True, False])
def test_newest_of_a_run_comes_back_by_name(tmp_path: Path, is_text: bool) -> None:
    """Shapes, values and the order of the flat vector; steps, versions and metric."""
    written(tmp_path, 3)
    path = written(tmp_path, 5, metric_name="accuracy", metric=0.75)
    found = mpitrain.load_checkpoint(str(tmp_path) if is_text else tmp_path)
    assert found.path == path
    assert list(found.parameters) == ["w", "b"]
    assert found.parameters["w"].tolist() == [[5, 6], [7, 8], [9, 10]]
    assert found.parameters["b"].tolist() == [11, 12]
    assert found.parameters["w"].dtype == np.float32
    assert (found.steps, found.life, found.versions.tolist()) == (5, 0, [5, 5])
    assert (found.metric_name, found.metric) == ("accuracy", 0.75)
    assert found.facts["run_id"] == "id"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.steps = 6  # type: ignore[misc]


def test_folder_of_an_older_one_is_taken_as_it_is(tmp_path: Path) -> None:
    """Nothing was measured there, and facts of odd types are no metric."""
    path = written(tmp_path, 3, metric_name=7, metric="much")
    written(tmp_path, 5)
    found = mpitrain.load_checkpoint(path)
    assert (found.steps, found.metric_name, found.metric) == (3, None, None)


def test_place_without_a_checkpoint_is_a_mistake(tmp_path: Path) -> None:
    """Says where it looked."""
    with pytest.raises(mpitrain.UserError, match="there is no complete checkpoint in"):
        mpitrain.load_checkpoint(tmp_path / "none")
    written(tmp_path, 3)
    with pytest.raises(mpitrain.UserError, match=r"no 'step-000000009' is there.*step-000000003"):
        mpitrain.load_checkpoint(tmp_path / "checkpoints" / "step-000000009")
    (tmp_path / "run.toml").touch()
    said = rf"no complete .*; give the run directory, {tmp_path}, or one of its checkpoints' fol"
    with pytest.raises(mpitrain.UserError, match=said):
        mpitrain.load_checkpoint(tmp_path / "checkpoints")


def test_damage_is_named_not_read(tmp_path: Path) -> None:
    """A changed byte, and a state that is cut off."""
    state = written(tmp_path, 3) / STATE
    whole = state.read_bytes()
    state.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(mpitrain.CheckpointError, match=r"state\.h5: is damaged: its SHA-256"):
        mpitrain.load_checkpoint(tmp_path)
    state.write_bytes(whole[:-1])
    with pytest.raises(mpitrain.CheckpointError, match=r"state\.h5"):
        mpitrain.load_checkpoint(tmp_path)


def test_loading_needs_no_mpi(tmp_path: Path) -> None:
    """On a laptop without any."""
    written(tmp_path, 3)
    code = (
        "import sys; sys.modules['mpi4py'] = None; import mpitrain; "
        f"print(mpitrain.load_checkpoint({str(tmp_path)!r}).steps)"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "3\n"
