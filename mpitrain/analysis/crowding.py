"""Whether ranks had to take turns on the cores of their host, as far as the logs say."""

from __future__ import annotations

from mpitrain.analysis.facts import hosts_of
from mpitrain.core.console import counted
from mpitrain.core.cores import cores_of
from mpitrain.storage.life_log import LifeLog


def crowded(life: LifeLog) -> str | None:
    """Return which ranks of a life share too few cores; None where each has one, or none says."""
    for host, ranks in hosts_of(life).items():
        known = [cores_of(life.ranks[rank].attributes.get("cores")) for rank in ranks]
        cores = frozenset().union(*known)
        if all(known) and len(ranks) > len(cores):
            return f"{counted(len(ranks), 'rank')} of {host} share {counted(len(cores), 'core')}"
    return None
