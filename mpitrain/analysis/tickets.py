"""Checks of the tickets: every mini-batch is taken, and none twice."""

from __future__ import annotations

import numpy as np

from mpitrain.analysis.attributes import Terms
from mpitrain.analysis.completeness import check_completeness
from mpitrain.analysis.findings import Finding, findings_at
from mpitrain.core.tickets import Deal
from mpitrain.storage.reading import LifeLog, RankLog


def check_tickets(life: LifeLog, terms: Terms) -> list[Finding]:
    """Check who took which mini-batch: by formula, or from one counter by all ranks together.

    Both speak of the tickets that were left at the start of the era, by index.
    """
    deal, first = terms.start.deal, terms.start.tickets_drawn
    found: list[Finding] = []
    if terms.share == "equal":
        for rank, log in life.ranks.items():
            found += _check_equal(log, rank, terms)
        return found
    for log in life.ranks.values():
        found += _check_left(log, deal, first)
        found += _check_increasing(log)
    faults, _ = check_completeness(
        life,
        lambda log: deal.indices(log.steps["ticket"]),
        first,
        "ticket {}",
        lambda index: str(deal.ticket(index)) if index >= first else None,
    )
    return found + faults


def _check_equal(log: RankLog, rank: int, terms: Terms) -> list[Finding]:
    ticket = log.steps["ticket"]
    indices = log.steps["clock"] * terms.size + rank
    wanted = terms.start.deal.tickets(np.maximum(indices, 0))  # a wrong clock is told elsewhere
    return findings_at(
        log,
        ticket != wanted,
        lambda row: f"ticket is {ticket[row]}, with equal shares it must be {wanted[row]}",
    )


def _check_left(log: RankLog, deal: Deal, first: int) -> list[Finding]:
    ticket = log.steps["ticket"]
    return findings_at(
        log,
        deal.indices(ticket) < first,
        lambda row: f"ticket is {ticket[row]}, which was taken before this life began",
    )


def _check_increasing(log: RankLog) -> list[Finding]:
    ticket = log.steps["ticket"]
    goes_back = np.zeros(len(ticket), np.bool_)
    goes_back[1:] = ticket[1:] <= ticket[:-1]
    return findings_at(
        log, goes_back, lambda row: f"ticket is {ticket[row]} after {ticket[row - 1]}"
    )
