"""What a run says about itself at its beginning and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpitrain.build import Plan
from mpitrain.comm.world import World
from mpitrain.config import Config


def heading(config: Config, world: World, plan: Plan) -> str:
    """Return the line that says what is about to be trained."""
    bound = "" if config.mode.bound is None else f" bound {config.mode.bound}"
    return (
        f"{config.mode.kind}{bound}, {world.size} ranks, {plan.model.layout.size} parameters in "
        f"{plan.shards.count} shards, {plan.work.total_steps} steps of "
        f"{config.data.batch_size} samples"
    )


def summary(facts: Mapping[str, Any]) -> str:
    """Return the line that says what came out; ``facts`` as in result.json."""
    speed = facts["samples"] / facts["seconds"] if facts["seconds"] else 0.0
    metric = "" if facts["metric"] is None else f"{facts['metric_name']} {facts['metric']:.4f}, "
    return (
        f"done: {facts['steps']} steps in {facts['seconds']:.1f} s, {speed:.0f} samples/s, "
        f"{metric}mean staleness {facts['staleness_mean']:.2f} (largest "
        f"{facts['staleness_max']}), {facts['wait_share']:.0%} of the time waiting, "
        f"in {facts['directory']}"
    )


def early_stop_reason(facts: Mapping[str, Any]) -> str:
    """Return why a run that ended early did; ``facts`` as in result.json."""
    best, at, name = facts["best_metric"], facts["best_steps"], facts["metric_name"]
    return f"early stop at step {facts['steps']}: no better {name} than {best:.4f} at step {at}"
