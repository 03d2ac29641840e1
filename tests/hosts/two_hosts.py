"""Two hosts on one machine: network namespaces joined by a virtual link; needs root and iproute2.

Each host has a network and a host name of its own. Open MPI starts its daemon on the other host
through an agent, a script that enters the namespace as a remote shell would.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUBNET = "10.77.0"


def missing() -> str:
    """Return why this machine cannot make two hosts, "" when it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


@contextmanager
def two_hosts(folder: Path) -> Iterator[list[str]]:
    """Make two hosts; yield the words that run ``mpiexec ...`` on the first of them."""
    tag = f"mt{os.getpid()}"
    spaces, links = [f"{tag}n{k}" for k in (1, 2)], [f"{tag}v{k}" for k in (1, 2)]
    agent = folder / "agent"
    agent.write_text(
        "#!/bin/bash\n"
        f"host=$1; shift; k=${{host##*.}}; cd {folder}\n"
        f'exec ip netns exec {tag}n$k unshare --uts -- sh -c "hostname node$k; '
        'exec /bin/bash -c \\"\\$0\\"" "$*"\n'
    )
    agent.chmod(agent.stat().st_mode | stat.S_IXUSR)
    try:
        for space in spaces:
            _ip("netns", "add", space)
        _ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
        for k, (space, link) in enumerate(zip(spaces, links, strict=True), start=1):
            _ip("link", "set", link, "netns", space)
            _ip("-n", space, "addr", "add", f"{SUBNET}.{k}/24", "dev", link)
            _ip("-n", space, "link", "set", link, "up")
            _ip("-n", space, "link", "set", "lo", "up")
        inside = 'hostname node1; exec "$@"'
        yield [
            *("ip", "netns", "exec", spaces[0], "unshare", "--uts", "--", "sh", "-c", inside, "sh"),
            *("mpiexec", "--prtemca", "plm_ssh_agent", str(agent)),
            *("--prtemca", "prte_if_include", f"{SUBNET}.0/24"),
            *("--mca", "btl_tcp_if_include", f"{SUBNET}.0/24", "--bind-to", "none"),
            *("--mca", "mpi_yield_when_idle", "1", "--host", f"{SUBNET}.1:2,{SUBNET}.2:2"),
        ]
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
