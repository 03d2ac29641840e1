"""The files of a private Slurm: slurm.conf and what it names."""

from __future__ import annotations

import os
import pwd
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a cluster for tests looks like.

    Attributes:
        num_nodes: nodes, called node1, node2, ...
        num_cpus: cores that each node claims, whether the machine has them or not.
        num_gpus: devices that each node claims as GPUs; none can compute.
        grace_s: between the signal that a preempted job gets and its end.
        kill_wait_s: between TERM and KILL of a job whose time is up or that is cancelled.
    """

    num_nodes: int = 3
    num_cpus: int = 4
    num_gpus: int = 0
    grace_s: int = 15
    kill_wait_s: int = 10

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the nodes."""
        return tuple(f"node{k}" for k in range(1, self.num_nodes + 1))


def write_files(folder: Path, shape: Shape, first_port: int) -> None:
    """Write all that the daemons read and make the folders that they write to.

    Args:
        folder: of the cluster, there and empty.
        shape: of the cluster.
        first_port: the controller's; each node has one of those after it.
    """
    folder.chmod(0o755)  # munged demands a socket that everybody can reach
    for name in ("state", "log"):
        (folder / name).mkdir()
    for name in shape.nodes:
        (folder / name / "spool").mkdir(parents=True)
        (folder / name / "tmp").mkdir()
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    names = "".join(f"127.0.0.1 {name}\n" for name in shape.nodes)
    hosts = Path("/etc/hosts").read_text(encoding="utf-8")
    (folder / "hosts").write_text(f"{hosts}\n{names}", encoding="utf-8")
    (folder / "gres.conf").write_text(_gpus(folder, shape), encoding="utf-8")
    (folder / "slurm.conf").write_text(_settings(folder, shape, first_port), encoding="utf-8")


def _gpus(folder: Path, shape: Shape) -> str:
    """Make files that Slurm takes for GPUs: devices whose names end in their numbers."""
    if not shape.num_gpus:
        return ""
    for k in range(shape.num_gpus):
        (folder / f"gpu{k}").symlink_to("/dev/null")
    last = shape.num_gpus - 1
    return f"NodeName={_nodes(shape)} Name=gpu File={folder}/gpu[0-{last}]\n"


def _nodes(shape: Shape) -> str:
    return f"node[1-{shape.num_nodes}]"


def _settings(folder: Path, shape: Shape, port: int) -> str:
    me = pwd.getpwuid(os.geteuid()).pw_name
    gpus = f"Gres=gpu:{shape.num_gpus}" if shape.num_gpus else ""
    return f"""\
ClusterName=test
SlurmctldHost=controller(127.0.0.1)
SlurmctldPort={port}
SlurmUser={me}
SlurmdUser={me}
AuthType=auth/munge
# a job that was requeued waits until its old credential has expired, else 120 s
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdSpoolDir={folder}/%n/spool
SlurmdPidFile={folder}/%n/slurmd.pid
SlurmdLogFile={folder}/log/%n.log
# PMIx makes a folder there whose name does not tell the nodes apart
TmpFS={folder}/%n/tmp
MailProg=/bin/true

# nodes that die together with their daemon and may claim more than the machine has
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
MpiDefault=none
PropagateResourceLimits=NONE
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5

SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=1,sched_min_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
KillWait={shape.kill_wait_s}

# a node that does not answer is down after 15 to 20 s, and up again when it answers
SlurmdTimeout=5
MessageTimeout=5
ReturnToService=2
# finished jobs can be asked about for a day
MinJobAge=86400

GresTypes=gpu
NodeName={_nodes(shape)} NodeAddr=127.0.0.1 Port=[{port + 1}-{port + shape.num_nodes}] \
CPUs={shape.num_cpus} RealMemory=4000 {gpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10 \
GraceTime={shape.grace_s}
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=100 PreemptMode=OFF
"""
