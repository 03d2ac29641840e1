"""What came out of a run: the facts of result.json, and the last words for people."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpitrain.plan import Plan
from mpitrain.result import SCHEMA
from mpitrain.running.advice import Facts, advice
from mpitrain.running.best import Seen
from mpitrain.running.totals import Totals
from mpitrain.running.wording import summary


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What one rank says at the end.

    Attributes:
        digest: of its parameters.
        log_is_lost: whether steps are missing in its log that should be there.
        evaluated_s: how long it evaluated while others trained.
        cores: numbers of those that it may run on.
    """

    digest: str
    log_is_lost: bool
    evaluated_s: float
    cores: tuple[int, ...]

    @classmethod
    def here(cls, digest: str, *, log_is_lost: bool, evaluated_s: float) -> Ending:
        """Return what this process says."""
        return cls(
            digest=digest,
            log_is_lost=log_is_lost,
            evaluated_s=evaluated_s,
            cores=tuple(os.sched_getaffinity(0)),
        )


def result_facts(
    plan: Plan,
    totals: Totals,
    means: Mapping[str, float],
    seen: Seen,
    *,
    ranks: int,
    digest: str,
    ended_early: bool,
    directory: str,
) -> dict[str, Any]:
    """Return what result.json holds.

    Args:
        plan: what was trained.
        totals: of all ranks since the start of the run.
        means: over the test samples, with the final parameters.
        seen: what all evaluations have shown.
        ranks: number of ranks.
        digest: of the final parameters.
        ended_early: the evaluations ended the run.
        directory: of the run.
    """
    config, name = plan.config, plan.model.metric_name
    metric = means.get(name)
    return {
        "schema": SCHEMA,
        "run": config.run.name,
        "mode": config.mode.kind,
        "bound": config.mode.bound,
        "ranks": ranks,
        "life": plan.start.life,
        "seed": config.run.seed,
        "steps": totals.num_steps,
        "samples": totals.num_samples,
        "seconds": totals.seconds,
        "loss": means.get("loss"),
        "metric_name": name,
        "metric": metric,
        **({"accuracy": metric} if name == "accuracy" else {}),
        "best_metric": seen.metric,
        "best_steps": None if seen.metric is None else seen.steps,
        "ended_early": ended_early,
        "staleness_mean": totals.staleness_mean,
        "staleness_max": totals.staleness_max,
        "lead_max": totals.lead_max,
        "wait_share": totals.wait_share,
        "parameters_sha256": digest,
        "directory": directory,
    }


def last_words(
    plan: Plan,
    facts: Mapping[str, Any],
    totals: Totals,
    parts: Sequence[Totals],
    hosts: Sequence[str],
    endings: Sequence[Ending],
    early_stop: str = "",
) -> list[str]:
    """Return the lines that say what came out, and what could be done where that is obvious.

    Args:
        plan: what was trained.
        facts: as in result.json.
        totals: of all ranks since the start of the run.
        parts: what each rank did in this life.
        hosts: of each rank.
        endings: of each rank.
        early_stop: why the evaluations ended the run; empty where they did not.
    """
    cores: dict[str, set[int]] = {}
    for host, ending in zip(hosts, endings, strict=True):
        cores.setdefault(host, set()).update(ending.cores)
    known = Facts(
        mode=plan.config.mode.kind,
        bound=plan.config.mode.bound,
        share=plan.config.share,
        parts=tuple(parts),
        hosts=tuple(hosts),
        evaluated_s=endings[0].evaluated_s,
        cores={host: len(there) for host, there in cores.items()},
        lost_logs=tuple(rank for rank, ending in enumerate(endings) if ending.log_is_lost),
    )
    said = advice(known)
    return [*summary(facts, totals, early_stop), *([f"advice: {said}"] if said else [])]
