"""Judges whether the run that a file describes can be had, and how much window memory it needs."""

from __future__ import annotations

from mpitrain.comm.window_layout import WindowLayout
from mpitrain.config import Config
from mpitrain.core.errors import UserError
from mpitrain.doctor.finding import Finding, ok, wrong

_NAME = "run file"


def look_at_run(config: Config, size: int) -> tuple[Finding, tuple[int, ...]]:
    """Build what the run needs on one rank; nothing is written.

    Args:
        config: of the run.
        size: number of ranks.

    Returns:
        whether it can be had at all, and the window bytes of each rank: none when that cannot be
        told, 0 where it needs no window.
    """
    try:
        from mpitrain.plan import make_plan  # brings HDF5, which may be what is wrong

        plan = make_plan(config, size)
    except (UserError, ImportError) as mistake:
        problem, _, remedy = str(mistake).partition("; ")
        return wrong(_NAME, problem, remedy or "correct the run file"), ()
    layout, mode = plan.model.layout, config.mode.kind
    value = f"{mode}, {layout.size:,} {layout.dtype} parameters, {plan.work.total_steps:,} steps"
    if mode == "bsp":
        return ok(_NAME, value), (0,) * size
    window = WindowLayout.of(plan.shards, layout.dtype.itemsize)
    return ok(_NAME, value), tuple(window.memory_bytes(rank) for rank in range(size))
