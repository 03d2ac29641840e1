"""What is in the files of a checkpoint, and the way back from them.

``state.h5`` holds the parameters, the position of all ranks and the totals of all steps so far;
``rank-00000.h5`` and so on each rank's optimiser state. In synchronous training all ranks have the
same optimiser state: rank 0's file holds it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.core.errors import CheckpointError
from mpitrain.core.layout import Layout
from mpitrain.core.position import SCALARS, Position
from mpitrain.running.best import Seen
from mpitrain.running.totals import Totals
from mpitrain.storage.checkpoint_errors import named
from mpitrain.storage.checkpoint_file import CheckpointFile
from mpitrain.storage.checkpoint_mark import STATE
from mpitrain.storage.checkpoints import Checkpoint

Arrays = dict[str, npt.NDArray[Any]]
Attributes = dict[str, str | int | float]

SCHEMA = 1
MOST_BYTES = 64 << 20  # of an array that is read before its size is known to be right
PARAMETERS, OPTIMIZER = "parameters", "optimizer"


def rank_file(rank: int) -> str:
    """Return the name of one rank's file."""
    return f"rank-{rank:05d}.h5"


def state_attributes(
    position: Position,
    totals: Totals,
    run_id: str,
    life: int,
    terms: Mapping[str, Any],
    seen: Seen,
) -> Attributes:
    """Return the attributes of ``state.h5``.

    Args:
        position: at the cut.
        totals: of all ranks since the start of the run.
        run_id: of the run.
        life: of the run.
        terms: settings that must not change.
        seen: what the evaluations so far have shown.
    """
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "life": life,
        "steps": position.steps,
        **position.scalars(),
        "totals": json.dumps(totals.to_mapping()),
        "terms": json.dumps(terms),
        "evaluations": json.dumps(seen.to_mapping()),
    }


def state_arrays(
    layout: Layout, parameters: npt.NDArray[Any], position: Position, num_shards: int
) -> tuple[Arrays, dict[str, int]]:
    """Return the arrays of ``state.h5`` by name, and the offset of each parameter.

    Args:
        layout: of the parameters.
        parameters: (n,), host; the arrays are views into it.
        position: at the cut.
        num_shards: S; all have the version of the position.
    """
    named = {f"{PARAMETERS}/{name}": view for name, view in layout.views(parameters).items()}
    offsets = dict(zip(named, layout.offsets, strict=True))
    versions = np.full(num_shards, position.version, np.int64)
    return {**named, "versions": versions, **position.arrays()}, offsets


def rank_attributes(position: Position, rank: int) -> Attributes:
    """Return the attributes of one rank's file."""
    clock, age = int(position.clocks[rank]), int(position.ages[rank])
    return {"schema": SCHEMA, "rank": rank, "clock": clock, "age": age, "steps": position.steps}


def rank_arrays(state: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """Return the arrays of one rank's file by name."""
    return {f"{OPTIMIZER}/{name}": vector for name, vector in state.items()}


def read_position(checkpoint: Checkpoint) -> tuple[Position, Totals, str, dict[str, Any], Seen]:
    """Return where the run stood, what it had done, its id, its terms, what evaluations showed.

    Raises:
        CheckpointError: the file does not hold that.
    """
    path = checkpoint.path / STATE
    with named(path, "is no state of a run"), CheckpointFile(path, checkpoint.files[STATE]) as file:
        arrays = {
            name: file.read(name, most_bytes=MOST_BYTES).astype(np.int64, casting="safe")
            for name in ("clocks", "ages", "ticket_holes")
        }
        scalars = {name: file.attributes[name] for name in (*SCALARS, "next_ticket")}
        position = Position.of(scalars, arrays)
        totals = _read_totals(str(file.attributes["totals"]))
        run_id = str(file.attributes["run_id"])
        terms = dict(json.loads(str(file.attributes["terms"])))
        seen = Seen.of(dict(json.loads(str(file.attributes.get("evaluations", "{}")))))
        _check_position(position, checkpoint, file.attributes.get("life"))
    return position, totals, run_id, terms, seen


def read_parameters_into(checkpoint: Checkpoint, layout: Layout, out: npt.NDArray[Any]) -> None:
    """Read the flat parameter vector.

    Args:
        checkpoint: a complete one, whose files have been checked.
        layout: what the model expects; every parameter must be there in this shape and dtype.
        out: (n,), overwritten.

    Raises:
        CheckpointError: a parameter is missing, too many, or of another shape or dtype; names it.
    """
    with CheckpointFile(checkpoint.path / STATE) as file:
        stored = {key for key in file.keys if key.startswith(f"{PARAMETERS}/")}
        expected = {f"{PARAMETERS}/{name}": view for name, view in layout.views(out).items()}
        _check_names(file.path, stored, set(expected), "parameter", PARAMETERS)
        for key, view in expected.items():
            file.read_into(key, view)


def read_optimizer_into(
    checkpoint: Checkpoint,
    old: Position,
    new: Position,
    rank: int,
    state: Mapping[str, npt.NDArray[Any]],
) -> None:
    """Read a rank's optimiser state: its own, or what a change of ranks makes of the old ones.

    In synchronous training every rank gets the one state that all had. With windows, a rank gets
    its own where the ranks are the same; else each gets the mean over the old ranks, so that the
    momentum of all together is kept.

    Args:
        checkpoint: a complete one, whose files have been checked.
        old: position as read from it.
        new: position that this life starts from.
        rank: of this rank.
        state: vectors by name, (n,) each, overwritten.

    Raises:
        CheckpointError: a vector is missing or of another shape or dtype.
    """
    is_same = (new.mode, new.share, new.size) == (old.mode, old.share, old.size)
    own = [rank] if is_same else list(range(old.size))
    sources = [0] if old.mode == "bsp" else own
    for number, source in enumerate(sources):
        _add_state(checkpoint, source, state, is_first=number == 0)
    for vector in state.values():
        np.divide(vector, len(sources), out=vector)


def _add_state(
    checkpoint: Checkpoint, rank: int, state: Mapping[str, npt.NDArray[Any]], *, is_first: bool
) -> None:
    name = rank_file(rank)
    if name not in checkpoint.files:
        message = f"checkpoint {checkpoint.path}: its mark does not list {name}"
        raise CheckpointError(message)
    with CheckpointFile(checkpoint.path / name) as file:
        expected = rank_arrays(state)
        stored = {key for key in file.keys if key.startswith(f"{OPTIMIZER}/")}
        _check_names(file.path, stored, set(expected), "optimiser state", OPTIMIZER)
        for key, vector in expected.items():
            if is_first:
                file.read_into(key, vector)
            else:
                part = np.empty_like(vector)
                file.read_into(key, part)
                np.add(vector, part, out=vector)


def _read_totals(text: str) -> Totals:
    values = json.loads(text)
    for name, value in values.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            message = f"total {name} must be a finite number, found {value!r}"
            raise TypeError(message)
    return Totals.of_earlier(values)


def _check_position(position: Position, checkpoint: Checkpoint, life: Any) -> None:
    """Check what a stranger's file may have wrong."""
    holes = position.deal.holes
    arrays = (position.clocks, position.ages, holes)
    numbers = (position.era_steps, position.version, position.drawn, position.deal.next)
    if not all(isinstance(number, int) for number in numbers):
        message = f"steps, versions and tickets must be whole numbers, found {numbers}"
        raise TypeError(message)
    drawn = int(position.clocks.sum()) if position.share == "shared" else 0
    spread = int(np.ptp(position.clocks)) if position.clocks.size else 0
    faults = {
        "clocks and ages must be one number per rank": not (
            position.clocks.shape == position.ages.shape and position.clocks.ndim == 1
        )
        or not position.size,
        "numbers must be >= 0": any(int(a.min(initial=0)) < 0 for a in arrays) or min(numbers) < 0,
        "all tickets that were drawn must be taken": position.drawn != drawn,
        "clocks are too far apart": spread * position.clocks.size > MOST_BYTES,
        "tickets must increase": holes.ndim != 1
        or bool((np.diff(holes) <= 0).any())
        or int(holes.max(initial=-1)) >= position.deal.next,
        f"the number of steps must be {checkpoint.steps}": position.steps != checkpoint.steps,
        f"the life must be {checkpoint.life}": life != checkpoint.life,
        "mode and share are not known": position.mode not in ("bsp", "ssp", "asp")
        or position.share not in ("equal", "shared"),
    }
    for fault, is_there in faults.items():
        if is_there:
            raise ValueError(fault)


def _check_names(path: Path, found: set[str], expected: set[str], what: str, group: str) -> None:
    for names, verb in ((expected - found, "is not in it"), (found - expected, "is too many")):
        if names:
            name = sorted(names)[0].removeprefix(f"{group}/")
            message = f"{path}: {what} '{name}' {verb}; the run file asks for another model"
            raise CheckpointError(message)
