from __future__ import annotations

from dataclasses import replace

import pytest

from mpitrain.running.advice import Facts, advice
from mpitrain.running.totals import Totals


def totals(
    wait: float = 0.1, compute: float = 1.0, read: float = 0.0, write: float = 0.1, steps: int = 100
) -> Totals:
    """Return the totals of a rank; times in units of 10 seconds over all its steps."""
    return Totals(
        num_steps=steps,
        num_samples=8 * steps,
        wait_s=10 * wait,
        compute_s=10 * compute,
        read_s=10 * read,
        write_s=10 * write,
        first_s=0.0,
        last_s=12.0,
    )


def facts(*parts: Totals, mode: str = "ssp", **more: object) -> Facts:
    """Return facts of ranks on one host each pair."""
    hosts = tuple(f"node{rank // 2}" for rank in range(len(parts)))
    bound = 3 if mode == "ssp" else None
    share = "equal" if mode == "bsp" else "shared"
    known = Facts(mode=mode, bound=bound, share=share, parts=parts, hosts=hosts)
    return replace(known, **more)  # type: ignore[arg-type]


SLOW = (totals(wait=2.5), totals(wait=2.5), totals(wait=2.5), totals(wait=0, compute=3.4))
EVEN = (totals(wait=1.3),) * 4
BUSY = (totals(read=0.5, write=1.0),) * 4


@pytest.mark.parametrize(
    ("known", "remedy"),
    [
        (facts(*SLOW, mode="bsp"), "; mode.kind=ssp lets the others go on"),
        (facts(*SLOW, share="equal"), "; run.share=shared gives it less to do"),
        (facts(*SLOW), "; a larger mode.bound than 3 or mode.kind=asp lets the others go on"),
        (facts(*SLOW, mode="asp"), ""),
    ],
    ids=["bsp", "ssp-equal", "ssp-shared", "asp"],
)
def test_slow_rank_is_named_and_what_lets_the_others_go_on(known: Facts, remedy: str) -> None:
    """Who was waited for is who takes longest for its own part of a step."""
    said = (
        "52% of the time went into waiting for rank 3 on node1, whose steps take 3.2 times as long "
        "as those of the others"
    )
    assert advice(known) == said + remedy


def test_ranks_that_take_turns_on_cores_are_told() -> None:
    """Where waiting or exchange is much, and nobody is slow; the host is named."""
    crowded = {"node0": 2, "node1": 1}
    said = (
        "2 ranks take turns on 1 cores of node1, and wait for each other meanwhile; start fewer "
        "there"
    )
    assert advice(facts(*EVEN, cores=crowded)) == said
    assert advice(facts(*BUSY, cores=crowded)) == said
    assert "rank 3" in advice(facts(*SLOW, cores=crowded))


def test_evaluation_that_others_wait_for_is_told() -> None:
    """Rank 0 evaluates while the others can do nothing but wait."""
    said = (
        "rank 0 evaluated for 50% of the time, and the others waited for it; a larger "
        "run.evaluate_every makes that rarer"
    )
    assert advice(facts(*EVEN, evaluated_s=6.0)) == said
    assert advice(facts(*EVEN, mode="bsp", evaluated_s=6.0)) == said
    assert "run.evaluate_every" not in advice(facts(*EVEN, evaluated_s=2.0))


def test_tight_bound_is_told_when_waiting_is_most() -> None:
    """Nobody is slow, so lateness is random: a larger bound rides it out."""
    said = (
        "54% of the time went into waiting, though no rank is much slower than the others; try a "
        "larger bound, for example mode.bound=7"
    )
    assert advice(facts(*EVEN)) == said


def test_exchange_that_takes_most_of_the_time_is_told() -> None:
    """A larger mini-batch makes it rarer, in every mode."""
    said = "of the time went into reading and writing the parameters; a larger data.batch_size"
    assert said in advice(facts(*BUSY))
    assert said in advice(facts(*BUSY, mode="asp"))
    said = "54% of the time went into the sum over the ranks, though no rank is much slower"
    assert advice(facts(*EVEN, mode="bsp")).startswith(said)


def test_one_rank_is_told_that_it_is_alone() -> None:
    """Not in bsp, which does all that it can on one rank."""
    assert advice(facts(totals())).startswith(
        "one rank waits for nobody and is never stale, so ssp"
    )
    assert advice(facts(totals(), mode="bsp")) == ""


def test_lost_log_is_told_before_everything_else() -> None:
    """It is the one thing that cannot be had back."""
    known = facts(*SLOW, lost_logs=(1, 2))
    assert advice(known).startswith("the log of ranks 1, 2 is lost, so this run cannot be verified")


@pytest.mark.parametrize(
    "known",
    [
        facts(*(totals(),) * 4),
        facts(*(totals(),) * 4, cores={"node0": 1, "node1": 1}),
        facts(totals(wait=0.4), totals(wait=0.4), totals(wait=0.2, compute=1.3)),
        facts(*EVEN, mode="asp"),
        facts(*(totals(),) * 2, evaluated_s=6.0),
        facts(*(replace(part, last_s=0.5) for part in SLOW)),
        facts(*SLOW[:3], totals(wait=0, compute=3.4, steps=9)),
        facts(*(Totals(),) * 2),
        facts(*(totals(write=1.5),) * 2, mode="bsp"),
    ],
    ids=[
        "well",
        "crowded",
        "uneven",
        "asp-waits",
        "nobody-waits",
        "short",
        "few-steps",
        "no-steps",
        "bsp-writes",
    ],
)
def test_nothing_is_said_when_nothing_is_obvious(known: Facts) -> None:
    """Advice that is not sure is noise."""
    assert advice(known) == ""
