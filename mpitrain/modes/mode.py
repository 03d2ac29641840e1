"""What a mode offers to the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpitrain.core.position import Position
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.modes.record import StepRecord


class Watched(Protocol):
    """What progress and evaluations look at: a mode, or a replay."""

    @property
    def steps_done(self) -> int:
        """Steps of all ranks together since the start of the run."""

    @property
    def clock(self) -> int:
        """Steps of this rank in this era."""

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions."""


class Mode(Protocol):
    """How one step of one rank exchanges with the others.

    Attributes:
        parameters: (n,), what the gradient is computed from.
        gradient: (n,), the model writes here.
        steps_done: steps of all ranks together since the start of the run.
        clock: steps of this rank in this era.
        wants_meeting: asked at every boundary and while waiting: call the others together?
    """

    parameters: npt.NDArray[Any]
    gradient: npt.NDArray[Any]
    steps_done: int
    clock: int
    wants_meeting: Callable[[], bool]

    @property
    def calls(self) -> int:
        """Calls for a meeting that this rank has seen."""

    @property
    def is_over(self) -> bool:
        """Whether no rank has work left, as far as this rank has seen."""

    def put(self, parameters: npt.NDArray[Any]) -> None:
        """Set the parameters to start from. Collective: yes."""

    def start(self, record: StepRecord) -> bool:
        """Wait until this rank may start; return False where all ranks are to meet first."""

    def read(self, record: StepRecord) -> None:
        """Bring ``parameters`` up to date."""

    def write(self, record: StepRecord) -> bool:
        """Apply the update that ``gradient`` causes; False where it is not finite: to be met."""

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions."""

    def position(self) -> Position:
        """Return where all ranks stand while they are at rest."""

    def watch_copies(self, watch: CopyWatch) -> None:
        """Let ``watch`` be told of all copies between host and device from now on."""

    def go_on(self, calls: int) -> None:
        """Go on after a meeting that answered this many calls."""

    def close(self) -> None:
        """Free what the mode holds. Collective: yes."""
