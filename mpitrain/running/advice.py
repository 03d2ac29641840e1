"""One sentence of advice at the end of a run, where it is obvious: facts in, a sentence out.

The rules go from what matters most to what matters least; the first that fits speaks. Each speaks
of what was measured, and where nothing stands out none does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from mpitrain.running.totals import Totals, merged

MUCH, MOST = 0.25, 0.5  # shares of the time
SLOW = 1.5  # times the median of the other ranks
LEAST_S = 1.0  # a shorter run says little
LEAST_STEPS = 10  # of each rank


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a life at its end.

    Attributes:
        mode: "bsp", "ssp" or "asp".
        bound: largest lead; None where there is none.
        share: who takes which batch, "equal" or "shared".
        parts: what each rank did.
        hosts: of each rank.
        evaluated_s: how long rank 0 evaluated while the others trained.
        cores: by host, that the ranks there may use together.
        lost_logs: ranks whose log could not be written.
    """

    mode: str
    bound: int | None
    share: str
    parts: tuple[Totals, ...]
    hosts: tuple[str, ...]
    evaluated_s: float = 0.0
    cores: Mapping[str, int] = field(default_factory=dict)
    lost_logs: tuple[int, ...] = ()


def advice(facts: Facts) -> str:
    """Return a sentence for people, empty where nothing is obvious."""
    if facts.lost_logs:
        return _of_lost_logs(facts)
    if len(facts.parts) == 1:
        return _of_one_rank(facts)
    whole = merged(facts.parts)
    if whole.seconds < LEAST_S or min(part.num_steps for part in facts.parts) < LEAST_STEPS:
        return ""
    shares = whole.shares()
    wait, exchange = shares["wait"], shares["read"] + shares["write"]
    if wait < MUCH and exchange < MOST:
        return ""
    if wait >= MUCH:
        said = _of_slow_rank(facts, wait) or _of_evaluation(facts, whole.seconds)
        if said:
            return said
    return _of_cores(facts) or _of_waiting(facts, wait) or _of_exchange(facts, exchange)


def _of_lost_logs(facts: Facts) -> str:
    ranks = ", ".join(map(str, facts.lost_logs))
    name = "rank" if len(facts.lost_logs) == 1 else "ranks"
    return (
        f"the log of {name} {ranks} is lost, so this run cannot be verified or replayed; make room "
        "or give another log.directory"
    )


def _of_one_rank(facts: Facts) -> str:
    if facts.mode == "bsp":
        return ""
    return (
        f"one rank waits for nobody and is never stale, so {facts.mode} does nothing for it: start "
        "more ranks with launch -n"
    )


def _of_slow_rank(facts: Facts, wait: float) -> str:
    """Tell who was waited for, when one rank's own part of a step takes much longer."""
    paces = [part.step_s for part in facts.parts]
    slow = max(range(len(paces)), key=paces.__getitem__)
    usual = median(pace for rank, pace in enumerate(paces) if rank != slow)
    if paces[slow] < SLOW * usual:
        return ""
    return (
        f"{wait:.0%} of the time went into waiting for rank {slow} on "
        f"{facts.hosts[slow]}, whose steps take {paces[slow] / usual:.1f} times as long as those "
        f"of the others{_let_others_go_on(facts)}"
    )


def _let_others_go_on(facts: Facts) -> str:
    if facts.mode == "bsp":
        return "; mode.kind=ssp lets the others go on"
    if facts.share == "equal":
        return "; run.share=shared gives it less to do"
    if facts.mode == "ssp":
        return f"; a larger mode.bound than {facts.bound} or mode.kind=asp lets the others go on"
    return ""


def _of_evaluation(facts: Facts, seconds: float) -> str:
    share = facts.evaluated_s / seconds
    if share < MUCH:
        return ""
    return (
        f"rank 0 evaluated for {share:.0%} of the time, and the others waited for it; a larger "
        "run.evaluate_every makes that rarer"
    )


def _of_cores(facts: Facts) -> str:
    for host, num_ranks in Counter(facts.hosts).items():
        num_cores = facts.cores.get(host, num_ranks)
        if num_ranks > num_cores:
            return (
                f"{num_ranks} ranks take turns on {num_cores} cores of {host}, and wait for each "
                "other meanwhile; start fewer there"
            )
    return ""


def _of_waiting(facts: Facts, wait: float) -> str:
    if wait < MOST:
        return ""
    if facts.mode == "bsp":
        return (
            f"{wait:.0%} of the time went into the sum over the ranks, though no rank is "
            "much slower than the others; a larger data.batch_size makes it rarer"
        )
    if facts.bound is not None:
        return (
            f"{wait:.0%} of the time went into waiting, though no rank is much slower "
            f"than the others; try a larger bound, for example mode.bound={2 * facts.bound + 1}"
        )
    return ""


def _of_exchange(facts: Facts, exchange: float) -> str:
    if facts.mode == "bsp" or exchange < MOST:
        return ""
    return (
        f"{exchange:.0%} of the time went into reading and writing the parameters; a larger "
        "data.batch_size makes that rarer"
    )
