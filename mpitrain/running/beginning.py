"""What rank 0 says before the first step of a life."""

from __future__ import annotations

from collections.abc import Iterator

from mpitrain.config import ignored
from mpitrain.plan import Plan
from mpitrain.running.wording import heading, ignored_here, log_size, rounded


def first_words(
    plan: Plan, device_exchange: str, *, in_job: bool, is_logged: bool
) -> Iterator[str]:
    """Yield what is trained, which settings it has no use for, and where it goes on from.

    Args:
        plan: what is trained.
        device_exchange: how a device exchanges with other ranks.
        in_job: whether this is a Slurm job.
        is_logged: whether the steps are logged.
    """
    config, start = plan.config, plan.start
    yield heading(plan)
    if plan.device.kind != "cpu":
        yield f"device: {plan.device.text}, exchange: {device_exchange}"
    unused = {"simulate": "these ranks are no simulated ones"}
    here = ignored_here(config, plan.source, in_job=in_job)
    for line in [*ignored(config, plan.own, unused), *here]:
        yield f"ignored: {line}"
    if start.life:
        place = start.checkpoint
        place = "the beginning: there is no checkpoint" if place == "none" else place
        yield f"life {start.life} goes on from {place}"
    if rounding := rounded(plan):
        yield rounding
    if is_logged:
        yield log_size(plan, start.position.size)
