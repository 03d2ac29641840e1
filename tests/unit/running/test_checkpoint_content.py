from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpitrain.core.errors import CheckpointError
from mpitrain.core.layout import Layout
from mpitrain.core.position import Position
from mpitrain.running.best import Seen
from mpitrain.running.checkpoint_content import (
    STATE,
    rank_arrays,
    rank_attributes,
    rank_file,
    read_optimizer_into,
    read_parameters_into,
    read_position,
    state_arrays,
    state_attributes,
)
from mpitrain.running.totals import Totals
from mpitrain.storage.checkpoint_file import write_checkpoint_file
from mpitrain.storage.checkpoints import Checkpoint, Checkpoints

LAYOUT = Layout.of({"w": (3, 2), "b": (2,)}, "float32")
PARAMETERS = np.arange(8, dtype=np.float32)
ODD = ("", "many words", -1, 2**62, 1 << 40, 0.5, float("nan"), "[]", '{"num_steps": "x"}', "{")
ODD_ARRAYS = (
    np.zeros(0, np.int64),
    np.array([-1, 5]),
    np.array([2**62, 5]),
    np.zeros((2, 2), np.int64),
    np.array([0.5, np.inf]),
    np.array([3, 3, 1]),
)


def position(mode: str = "asp", size: int = 2) -> Position:
    """Return where two ranks stand after 5 steps."""
    first = Position.first(mode, "equal" if mode == "bsp" else "shared", size)
    return first.moved(np.array([2, 3])[:size], 5, 0 if mode == "bsp" else 5)


def written(folder: Path, at: Position, spoil: dict[str, Any] | None = None) -> Checkpoint:
    """Write a checkpoint of two ranks; ``spoil`` replaces attributes and arrays of its state.

    An attribute that it makes None is left out.
    """
    spoil = spoil or {}
    checkpoints = Checkpoints(folder)
    path = checkpoints.begin(5)
    seen = Seen(metric=0.5, steps=4, mark=0.5, num_without=2, last_steps=5)
    attributes = state_attributes(at, Totals(num_steps=5), "run", 0, {"run.seed": 1}, seen)
    arrays, offsets = state_arrays(LAYOUT, PARAMETERS, at, 2)
    attributes |= {k: v for k, v in spoil.items() if not isinstance(v, np.ndarray)}
    attributes = {name: value for name, value in attributes.items() if value is not None}
    arrays |= {k: v for k, v in spoil.items() if isinstance(v, np.ndarray)}
    files = {STATE: write_checkpoint_file(path / STATE, attributes, arrays, offsets)}
    for rank in range(2):
        content = rank_arrays({"velocity": np.full(8, rank + 1, np.float32)})
        name = rank_file(rank)
        files[name] = write_checkpoint_file(path / name, rank_attributes(at, rank), content)
    return checkpoints.mark_complete(5, 0, files, {"run_id": "run"})


def test_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    """Position, totals and parameters, bit for bit."""
    at = position()
    checkpoint = written(tmp_path, at)
    back, totals, run_id, terms, seen = read_position(checkpoint)
    assert back.scalars() == at.scalars()
    assert back.clocks.tolist() == [2, 3]
    assert (totals.num_steps, run_id, terms) == (5, "run", {"run.seed": 1})
    assert (seen.metric, seen.steps, seen.num_without, seen.last_steps) == (0.5, 4, 2, 5)
    out = np.zeros(8, np.float32)
    read_parameters_into(checkpoint, LAYOUT, out)
    assert out.tolist() == PARAMETERS.tolist()


def test_checkpoint_from_before_evaluations_were_kept_is_read(tmp_path: Path) -> None:
    """There is nothing to go on from then."""
    checkpoint = written(tmp_path, position(), {"evaluations": None})
    assert read_position(checkpoint)[-1] == Seen()


@pytest.mark.parametrize(("mode", "size", "expected"), [("asp", 2, 2.0), ("asp", 3, 1.5)])
def test_ranks_get_their_own_state_or_the_mean(
    tmp_path: Path, mode: str, size: int, expected: float
) -> None:
    """Rank 1 of the same two ranks gets its own; other numbers of ranks get the mean."""
    at = position(mode)
    checkpoint = written(tmp_path, at)
    state = {"velocity": np.zeros(8, np.float32)}
    read_optimizer_into(checkpoint, at, at.on(at.mode, at.share, size), 1, state)
    assert state["velocity"].tolist() == [expected] * 8


def test_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    """The error names the parameter, what is on disk and what is expected."""
    checkpoint = written(tmp_path, position())
    other = Layout.of({"w": (2, 3), "b": (2,)}, "float32")
    with pytest.raises(CheckpointError, match=r"parameter 'w' is \(3, 2\) .*\(2, 3\)"):
        read_parameters_into(checkpoint, other, np.zeros(8, np.float32))
    fewer = Layout.of({"w": (3, 2)}, "float32")
    with pytest.raises(CheckpointError, match="parameter 'b' is too many"):
        read_parameters_into(checkpoint, fewer, np.zeros(6, np.float32))


NAMES = tuple(state_attributes(position(), Totals(), "run", 0, {}, Seen()))
ARRAYS = tuple(position().arrays())
SPOILT = [
    *({name: value} for name in NAMES if name not in ("schema", "run_id") for value in ODD),
    *({name: value} for name in ARRAYS for value in ODD_ARRAYS),
]


@pytest.mark.parametrize("spoil", SPOILT, ids=range(len(SPOILT)))
def test_nonsense_with_the_right_checksum_is_refused(tmp_path: Path, spoil: dict[str, Any]) -> None:
    """One line that names the file, or nothing that harms: the next life can be dealt."""
    checkpoint = written(tmp_path, position(), spoil)
    said = ""
    try:
        back, *_ = read_position(checkpoint)
        back.on("asp", "shared", 7).deal.ticket(0)
    except CheckpointError as error:
        said = str(error)
    assert not said or (STATE in said and "\n" not in said)
