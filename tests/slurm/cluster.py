"""A real Slurm on one machine: a munged, a slurmctld and several nodes, each with a slurmd.

A node is a set of namespaces, so that MPI takes it for a machine: host name, host table, processes
and shared memory are its own; files and the network are the machine's.

Nothing outlives the thread that made the cluster, however that ends: the kernel kills the daemons
with it (PR_SET_PDEATHSIG), and with the first process of a node all others on it. In the same way
a node's power is cut: all that runs there is gone at once.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.slurm.client import Client
from tests.slurm.cluster_files import Shape, write_files
from tests.slurm.needs import unshare_words
from tests.slurm.processes import claim_ports, is_listening, kill, start

NODE = Path(__file__).with_name("node.sh")
START_LIMIT_S = 60.0
UP = ("idle", "mixed", "allocated", "completing")


class Cluster(Client):
    """A cluster and its users' commands; use it in ``with``.

    Attributes:
        shape: of the cluster.
        nodes: names of the nodes.
    """

    def __init__(self, shape: Shape | None = None) -> None:
        self.shape = shape or Shape()
        self.nodes = self.shape.nodes
        self._claim, self._port = claim_ports(1 + self.shape.num_nodes)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        # in /tmp, for the names of sockets must be short
        super().__init__(Path(tempfile.mkdtemp(prefix="sl", dir="/tmp")))
        write_files(self.folder, self.shape, self._port)

    def __enter__(self) -> Cluster:
        """Start the daemons and wait until all nodes are idle."""
        try:
            self._start_munged()
            self._start_controller()
            for node in self.nodes:
                self._start_node(node)
            self._wait_until_idle()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    def stop(self) -> None:
        """End all that was started, jobs too, and remove the folder; harmless when repeated."""
        for name in reversed(self._daemons):
            kill(self._daemons[name])
        self._daemons.clear()
        self._claim.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cut(self, node: str) -> None:
        """Cut a node's power: everything on it is gone at once, and Slurm is not told."""
        kill(self._daemons[node])

    def restore(self, node: str) -> None:
        """Start a node that was cut and wait until Slurm takes it for one that is up."""
        self._start_node(node)
        self.wait_for_nodes(UP.__contains__, node)

    def set_down(self, node: str) -> None:
        """Say that a node is down; its jobs end at once, and Slurm soon finds it up again."""
        self._update(node, "state=down", "reason=test")

    def resume(self, node: str) -> None:
        """Say that a node that is down is up, and wait until it is."""
        with suppress(AssertionError):  # when it has come back by itself
            self._update(node, "state=resume")
        self.wait_for_nodes(UP.__contains__, node)

    def tidy(self) -> None:
        """Cancel all jobs, bring back all nodes and wait until all of them are idle."""
        jobs = self.ask("squeue", "-h", "-o", "%A").split()
        if jobs:
            self.run("scancel", "--quiet", *jobs, limit_s=20)
        for node in self.nodes:
            if self._daemons[node].poll() is not None:
                self.restore(node)
        for node, state in self.node_states().items():
            if state.startswith(("down", "drain")):
                self.resume(node)
        self._wait_until_idle()

    def _start_munged(self) -> None:
        socket = self.folder / "munge.socket"
        words = [
            *("munged", "--foreground", f"--socket={socket}"),
            f"--key-file={self.folder}/munge.key",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/munge.seed",
        ]
        self._daemons["munged"] = start(words, self.folder / "log" / "munged.out")
        self._wait_until(socket.exists, "munged")

    def _start_controller(self) -> None:
        self._start_machine("controller", "slurmctld", "-D")
        # clients that come too early wait for seconds
        self._wait_until(lambda: is_listening(self._port), "controller")

    def _wait_until(self, is_ready: Callable[[], bool], daemon: str) -> None:
        until = time.monotonic() + START_LIMIT_S
        while not is_ready():
            if self._daemons[daemon].poll() is not None or time.monotonic() > until:
                message = f"{daemon} does not start\n{self.report()}"
                raise AssertionError(message)
            time.sleep(0.01)

    def _start_node(self, node: str) -> None:
        self._start_machine(node, "slurmd", "-D", "-N", node)

    def _start_machine(self, name: str, *daemon: str) -> None:
        """Start a daemon in namespaces of its own, on a machine called ``name``."""
        words = [
            *unshare_words(),
            *("bash", str(NODE), name, str(self.folder / "hosts")),
            *(*daemon, "-f", str(self.folder / "slurm.conf")),
        ]
        self._daemons[name] = start(words, self.folder / "log" / f"{name}.out")

    def _wait_until_idle(self) -> None:
        self.wait_for_nodes("idle".__eq__, *self.nodes, limit_s=START_LIMIT_S)

    def _update(self, node: str, *words: str) -> None:
        self.ask("scontrol", "update", f"nodename={node}", *words)
