"""What a machine must have before a private Slurm runs on it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

INSTALL = "apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge libpmix2"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "sbatch", "unshare", "setpriv", "mount")
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# the kinds of namespace that make a node: of all but the network
SPACES = ("--uts", "--ipc", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


def unshare_words() -> list[str]:
    """Return the words that run a command in namespaces; an ordinary user needs one more kind."""
    of_user = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
    return ["unshare", *of_user, *SPACES]


def missing() -> str:
    """Return what this machine lacks and what to do about it, "" when Slurm can run."""
    lacks = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if lacks:
        return f"no {', '.join(lacks)}; {INSTALL}"
    libraries = list(Path("/usr/lib").glob("*/pmix2/lib/libpmix.so.2"))  # where Debian has it
    if not libraries:
        return f"no libpmix2; {INSTALL}"
    link = libraries[0].with_name("libpmix.so")
    if not link.exists():
        return f"srun --mpi=pmix opens {link}; ln -s libpmix.so.2 {link}"
    if not _is_reachable():
        return "Slurm needs a network address beside loopback"
    return _refused()


def _is_reachable() -> bool:
    """Tell whether there is more than loopback; Slurm looks names up with AI_ADDRCONFIG."""
    routes = Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[0] != "lo" for line in routes)


def _refused() -> str:
    trial = subprocess.run(
        [*unshare_words(), "hostname", "trial"],
        env={"PATH": PATH, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"this machine makes no namespaces: {trial.stderr.strip()}" if trial.returncode else ""
