"""On which hosts ranks are started: ``--hosts a:2,b:2``, checked and put as each MPI wants it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mpitrain.core.errors import UserError
from mpitrain.mpiexec import MPICH

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_MOST_SLOTS = 100_000
Hosts = Sequence[tuple[str, int]]


def parsed_hosts(text: str) -> Hosts:
    """Return names and slots of ``a:2,b:2``; without a number a host has one slot.

    Raises:
        UserError: it has another form, or names a host twice.
    """
    hosts = [_host(part, text) for part in text.split(",")]
    names = [name for name, _ in hosts]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"--hosts names {twice} twice; give each host once, with all its ranks: {twice}:4"
        raise UserError(msg)
    return hosts


def num_slots(hosts: Hosts) -> int:
    """Return how many ranks the hosts take."""
    return sum(slots for _, slots in hosts)


def host_words(hosts: Hosts, kind: str) -> list[str]:
    """Return the words for the ``mpiexec`` of this MPI."""
    places = ",".join(f"{name}:{slots}" for name, slots in hosts)
    return ["-hosts" if kind == MPICH else "--host", places]


def _host(part: str, text: str) -> tuple[str, int]:
    name, colon, slots = part.partition(":")
    is_count = slots.isascii() and slots.isdecimal() and 1 <= len(slots) <= len(str(_MOST_SLOTS))
    count = int(slots) if is_count else 0 if colon else 1
    if not _NAME.fullmatch(name) or not 1 <= count <= _MOST_SLOTS:
        msg = f"--hosts must have the form a:2,b:2 (host:ranks), got '{part}' in '{text}'"
        raise UserError(msg)
    return name, count
