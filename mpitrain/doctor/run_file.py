"""Judges whether the run that a file describes can be had, and how much window memory it needs."""

from __future__ import annotations

from dataclasses import dataclass

from mpitrain.build import make_plan
from mpitrain.comm.window_layout import WindowLayout
from mpitrain.config import Config
from mpitrain.core.errors import UserError
from mpitrain.doctor.finding import Finding, ok, wrong

_NAME = "run file"


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a run needs.

    Attributes:
        finding: whether it can be had at all.
        window_bytes: of each rank; empty when that cannot be told, 0 where it needs no window.
    """

    finding: Finding
    window_bytes: tuple[int, ...] = ()


def look_at_run(config: Config, size: int) -> Need:
    """Build what the run needs on one rank; nothing is written.

    Args:
        config: of the run.
        size: number of ranks.
    """
    try:
        plan = make_plan(config, size)
    except UserError as mistake:
        problem, _, remedy = str(mistake).partition("; ")
        return Need(finding=wrong(_NAME, problem, remedy or "correct the run file"))
    layout, shards, mode = plan.model.layout, plan.shards, config.mode.kind
    value = f"{mode}, {layout.size:,} {layout.dtype} parameters, {plan.work.total_steps:,} steps"
    finding = ok(_NAME, value)
    if mode == "bsp":
        return Need(finding=finding, window_bytes=(0,) * size)
    window = WindowLayout.of(shards, layout.dtype.itemsize)
    needed = tuple(window.memory_bytes(rank) for rank in range(size))
    return Need(finding=finding, window_bytes=needed)
