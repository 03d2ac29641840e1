"""On which hosts ranks are started: ``--hosts a:2,b:2``, checked and put as each MPI wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mpitrain.core.console import counted
from mpitrain.core.errors import UserError
from mpitrain.mpiexec import MPICH

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_A_HOST = re.compile(  # what belongs to a host or a login, and what Open MPI passes itself
    r"(OMPI_|PMIX_|PRTE_|PMI_|SLURM|SSH_|XDG_|DBUS_)|"
    r"(_|DISPLAY|HOSTNAME|LOGNAME|MAIL|OLDPWD|PWD|SHELL|SHLVL|TERM|TMPDIR|USER|XAUTHORITY)$"
)
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


def check_slots(hosts: Hosts, num_ranks: int) -> None:
    """Check that the hosts take so many ranks; slots may exceed cores, so no more are needed.

    Raises:
        UserError: there are more ranks than slots.
    """
    slots = num_slots(hosts)
    if hosts and num_ranks > slots:
        said = ",".join(f"{name}:{number}" for name, number in hosts)
        msg = (
            f"-n {num_ranks} is more than the {counted(slots, 'slot')} of --hosts {said}; "
            "give each host the number of its ranks, also more than its cores, or leave -n out"
        )
        raise UserError(msg)


def host_words(hosts: Hosts, kind: str, environ: Mapping[str, str]) -> list[str]:
    """Return the words for the ``mpiexec`` of this MPI.

    MPICH's gives the environment to ranks on other hosts too; Open MPI's has to be told each name.
    """
    places = ",".join(f"{name}:{slots}" for name, slots in hosts)
    if kind == MPICH:
        return ["-hosts", places]
    passed = (name for name in environ if _VARIABLE.fullmatch(name) and not _OF_A_HOST.match(name))
    return ["--host", places, *(word for name in sorted(passed) for word in ("-x", name))]


def _host(part: str, text: str) -> tuple[str, int]:
    name, colon, slots = part.partition(":")
    is_count = slots.isascii() and slots.isdecimal() and 1 <= len(slots) <= len(str(_MOST_SLOTS))
    count = int(slots) if is_count else 0 if colon else 1
    if not _NAME.fullmatch(name) or not 1 <= count <= _MOST_SLOTS:
        msg = f"--hosts must have the form a:2,b:2 (host:ranks), got '{part}' in '{text}'"
        raise UserError(msg)
    return name, count
