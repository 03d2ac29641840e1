"""What a run says about itself at its beginning and its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpitrain.config import Config
from mpitrain.core.console import counted, size_text
from mpitrain.data.source import Source
from mpitrain.plan import Plan
from mpitrain.running.best import Seen
from mpitrain.running.totals import Totals
from mpitrain.storage.log_size import EVENT_BYTES, file_bytes, row_bytes

DOING = {"compute": "computing", "read": "reading", "write": "writing", "wait": "waiting"}


def heading(plan: Plan) -> str:
    """Return the line that says what is about to be trained."""
    config, size = plan.config, plan.start.position.size
    bound = "" if config.mode.bound is None else f" bound {config.mode.bound}"
    return (
        f"{config.mode.kind}{bound}, {counted(size, 'rank')}, "
        f"{plan.model.layout.size} parameters in {counted(plan.shards.count, 'shard')}, "
        f"{plan.work.total_steps} steps of "
        f"{counted(plan.order.batch_size, 'sample')}"
    )


def rounded(plan: Plan) -> str:
    """Return the line that says that a last round is completed; empty where it is not."""
    work, size = plan.work, plan.start.position.size
    if work.total_steps <= work.num_tickets:
        return ""
    return (
        f"{work.num_tickets} steps are rounded up to {work.total_steps}: "
        f"a last round is completed by all {size} ranks"
    )


def coherence_line(outcome: Mapping[str, Any]) -> str:
    """Return the line that says a gradient's coherence with those before; see coherence.py."""
    said = f"coherence at step {outcome['steps']}: mu={outcome['mu']:.4f}"
    if not outcome["cosines"]:
        return f"{said}, nothing to compare with yet"
    cosines = ", ".join(f"{cosine:.3f}" for cosine in outcome["cosines"])
    return f"{said}, cosines with the gradients before: {cosines}"


def log_size(plan: Plan, size: int) -> str:
    """Return the line that says how large the logs of this life become on ``size`` ranks."""
    config, count = plan.config, plan.shards.count
    per_shard, every = config.log.per_shard, config.run.evaluate_every
    num_steps = max(0, plan.work.total_steps - plan.start.position.steps)
    num_evaluations = num_steps // every if every else 0
    whole = size * file_bytes(-(-num_steps // size), count, per_shard=per_shard)
    whole += num_evaluations * EVENT_BYTES
    row = row_bytes(count, per_shard=per_shard)
    return f"log: {row} bytes a step, about {size_text(whole)} in all"


def ignored_here(config: Config, source: Source, *, in_job: bool) -> Iterator[str]:
    """Yield the settings that these data or this job have no use for, with the reason.

    Args:
        config: of the run.
        source: the data.
        in_job: whether this is a Slurm job.
    """
    run, data = config.run, config.data
    if run.evaluate_every and not source.num_test:
        yield f"run.evaluate_every = {run.evaluate_every} (there are no test samples)"
    limit = "run.stop_before_limit_s"
    if run.stop_before_limit_s is not None and limit in config.given and not in_job:
        yield f"{limit} = {run.stop_before_limit_s:g} (this is no Slurm job)"
    if data.batch_size > source.num_samples and "data.batch_size" in config.given:
        why = f"there are {counted(source.num_samples, 'training sample')}"
        yield f"data.batch_size = {data.batch_size} ({why}; a mini-batch is all of them)"
    batch_size = min(data.batch_size, source.num_samples)
    if data.micro_batch_size is not None and data.micro_batch_size >= batch_size:
        why = f"a mini-batch has {counted(batch_size, 'sample')}"
        yield f"data.micro_batch_size = {data.micro_batch_size} ({why})"


def summary(facts: Mapping[str, Any], totals: Totals, early_stop: str = "") -> list[str]:
    """Return the lines that say what came out.

    Args:
        facts: as in result.json.
        totals: of all ranks since the start of the run.
        early_stop: why the evaluations ended the run; empty where they did not.
    """
    speed = facts["samples"] / facts["seconds"] if facts["seconds"] else 0.0
    name, metric, best = facts["metric_name"], facts["metric"], facts["best_metric"]
    said = "" if metric is None else f"{name} {metric:.4f}, "
    lines = [
        f"done: {facts['steps']} steps in {facts['seconds']:.1f} s, {speed:.0f} samples/s, {said}"
        f"in {facts['directory']}"
    ]
    if early_stop:
        lines.append(early_stop)
    elif best is not None and facts["best_steps"] != facts["steps"]:
        lines.append(f"best {name} {best:.4f} at step {facts['best_steps']}")
    shares = totals.shares()
    lines.append("time: " + ", ".join(f"{DOING[name]} {shares[name]:.0%}" for name in DOING))
    lines.append(
        f"staleness: mean {facts['staleness_mean']:.2f}, largest {facts['staleness_max']}; "
        f"largest lead {facts['lead_max']}"
    )
    return lines


def early_stop_reason(seen: Seen, name: str, *, steps: int, delta: float) -> str:
    """Return why evaluations ended a run.

    Args:
        seen: what they had shown then.
        name: of the metric.
        steps: of all ranks, at the end.
        delta: ``run.early_stop_delta``.
    """
    said = f"early stop at step {steps}: no {name}"
    if seen.metric is None or seen.mark is None:  # every one was NaN or infinite
        return f"{said} was a finite number"
    said += f" in {counted(seen.num_without, 'evaluation')} was better than {seen.mark:.4f}"
    if not delta:
        return f"{said} at step {seen.steps}"
    best = f"the best is {seen.metric:.4f} at step {seen.steps}"
    return f"{said} by more than {delta:g}; {best}"


def kernel_lines(said: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield warnings: of ranks whose kernels are slower than they could be, or than others'.

    Args:
        said: what runs updates and why nothing faster does, of each rank.
    """
    trouble = next((trouble for _, trouble in said if trouble), "")
    if trouble:
        yield f"warning: {trouble}: updates run by NumPy; mend it, or say device.kernels=numpy"
    labels = [label for label, _ in said]
    other = next((rank for rank, label in enumerate(labels) if label != labels[0]), 0)
    if other:
        yield (
            f"warning: rank {other} has the kernels {labels[other]}, rank 0 {labels[0]}: the same "
            "bits, but not as fast; use one environment on all hosts"
        )
