"""Checks of the tickets: every mini-batch is taken, and none twice."""

from __future__ import annotations

import numpy as np

from mpitrain.analysis.attributes import Terms
from mpitrain.analysis.completeness import check_completeness
from mpitrain.analysis.findings import Finding, findings_at
from mpitrain.storage.reading import LifeLog, RankLog


def check_tickets(life: LifeLog, terms: Terms) -> list[Finding]:
    """Check who took which mini-batch: by formula, or from one counter by all ranks together."""
    found: list[Finding] = []
    if terms.share == "equal":
        for rank, log in life.ranks.items():
            found += _check_equal(log, rank, terms.size)
        return found
    for log in life.ranks.values():
        found += _check_increasing(log)
    faults, _ = check_completeness(life, lambda log: log.steps["ticket"], 0, "ticket {}")
    return found + faults


def _check_equal(log: RankLog, rank: int, size: int) -> list[Finding]:
    ticket = log.steps["ticket"]
    wanted = log.steps["clock"] * size + rank
    return findings_at(
        log,
        ticket != wanted,
        lambda row: f"ticket is {ticket[row]}, with equal shares it must be {wanted[row]}",
    )


def _check_increasing(log: RankLog) -> list[Finding]:
    ticket = log.steps["ticket"]
    goes_back = np.zeros(len(ticket), np.bool_)
    goes_back[1:] = ticket[1:] <= ticket[:-1]
    return findings_at(
        log, goes_back, lambda row: f"ticket is {ticket[row]} after {ticket[row - 1]}"
    )
