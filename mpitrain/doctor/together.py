"""The part of the examination that all ranks make together: they compare, then try a window."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpitrain.comm.trial import rank_bytes, try_window
from mpitrain.comm.world import World
from mpitrain.config import Config
from mpitrain.core.gpu import GpuFacts, gpu_facts
from mpitrain.devices.offer import make_offer
from mpitrain.doctor.alone import log_place, needs_gpu
from mpitrain.doctor.cores import judge_blas, judge_cores
from mpitrain.doctor.facts import RankFacts, folder_facts, memory_facts
from mpitrain.doctor.files import FolderFacts, judge_files
from mpitrain.doctor.finding import Finding, wrong
from mpitrain.doctor.gpus import judge_devices, judge_gpu
from mpitrain.doctor.launchers import LauncherFacts, judge_library
from mpitrain.doctor.ranks import judge_ranks, judge_threads
from mpitrain.doctor.report import MEETING, Reporter
from mpitrain.doctor.run_file import look_at_run
from mpitrain.doctor.shared_memory import MemoryFacts, fits, host_sums, judge_memory
from mpitrain.doctor.software import judge_hosts
from mpitrain.doctor.windows import judge_windows
from mpitrain.launch_environment import RANK_DEFAULTS, expected_size, is_first_rank
from mpitrain.mpiexec import kind_of_version
from mpitrain.segments import backing_folder, unlink_segments

READ_TIMES = 2.0  # patience for reading the data
_COMPARE = "look at what the ranks wrote on standard error, and at the network between the hosts"
_RUN_FILE = "look at data and model of the run file, or name none"
_DEVICES = "use device.kind=cpu, or reinstall CuPy and the driver"
_OSC = "OMPI_MCA_osc"
_WINDOWS = "mount a larger /dev/shm, use another MPI, or mode.kind=bsp, which needs no window"


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What one rank of each host tells of it; what is None is told of rank 0's host already."""

    host: str
    memory: MemoryFacts | None
    folder: FolderFacts | None = None
    gpu: GpuFacts | None = None


class Together:
    """One rank's part in what all ranks look at."""

    def __init__(self, world: World, reporter: Reporter, config: Config | None) -> None:
        """Examine on ``world``; ``config`` is that of the run, None when none was named."""
        self._world = world
        self._reporter = reporter
        self._config = config
        self._kind = kind_of_version(world.library)
        # another MPI's launcher makes every rank a root of its own: the first tells what they find
        self._tells = world.is_root and is_first_rank(os.environ)

    def look(self, mine: RankFacts, launchers: LauncherFacts) -> None:
        """Compare the ranks and try a window; rank 0 tells what comes out.

        Collective: yes.
        """
        world = self._world
        self._reporter.stage(MEETING, "comparing the ranks", _COMPARE)
        versions = {**mine.versions, "MPI library": world.library}
        everyone = world.gather_obj((mine.cores, versions), "the ranks compare what they are")
        unlink_segments()  # all ranks have mapped them; a kill would leave them behind
        cores = [theirs for theirs, _ in everyone]
        self._tell(
            judge_library(world.library, self._kind, launchers.chosen),
            judge_threads(world.thread_level),
            judge_ranks(world.size, expected_size(os.environ), self._kind),
            judge_hosts([(theirs.host, versions) for theirs, versions in everyone]),
            judge_cores(cores),
            judge_blas(cores, mine.versions["blas"]),
        )
        needed = self._window_bytes()
        memory = self._look_at_hosts(needed)
        self._look_at_devices()
        self._try_window(memory)

    def _tell(self, *findings: Finding) -> None:
        if self._tells:
            self._reporter.tell(findings)

    def _window_bytes(self) -> tuple[int, ...]:
        """Return the bytes of each rank in the run's window, empty where there is no run."""
        config = self._config
        if config is None:
            return ()
        self._reporter.stage("run file", "reading the data and building the model", _RUN_FILE)
        needed: tuple[int, ...] = ()
        if self._world.is_root:
            finding, needed = look_at_run(config, self._world.size)
            self._tell(finding)
        return self._world.gather_obj(needed, "rank 0 has read the data", times=READ_TIMES)[0]

    def _look_at_hosts(self, needed: Sequence[int]) -> Mapping[str, MemoryFacts | None]:
        world, hosts = self._world, self._world.hosts
        self._reporter.stage("hosts", "looking at the hosts", _COMPARE)
        mine = None
        if world.rank == hosts.index(world.host):
            mine = self._host_facts()
        found = [facts for facts in world.gather_obj(mine, "hosts were looked at") if facts]
        memory = {facts.host: facts.memory for facts in found}
        sums = host_sums(hosts, needed) if needed else {}
        self._tell(*judge_memory(memory, sums, self._kind, world.size))
        for facts in found[1:]:
            self._tell(*self._judge_other(facts))
        return memory

    def _look_at_devices(self) -> None:
        """Open the GPU of every rank, as a run would."""
        world, kind = self._world, (self._config or Config()).device.kind
        self._reporter.stage("devices", "opening the GPU of each rank", _DEVICES)
        mine = make_offer(kind, world.host, world.local_rank)
        offers = world.gather_obj(mine, "all ranks have looked for a GPU")
        self._tell(*judge_devices(kind, offers))

    def _host_facts(self) -> HostFacts:
        memory = memory_facts(backing_folder(self._kind, os.environ))
        if self._world.is_root:
            return HostFacts(host=self._world.host, memory=memory)
        config = self._config or Config()
        return HostFacts(
            host=self._world.host,
            memory=memory,
            folder=folder_facts(log_place(config)),
            gpu=gpu_facts(),
        )

    def _judge_other(self, facts: HostFacts) -> list[Finding]:
        """Return what is not fine on another host than rank 0's."""
        findings: list[Finding] = []
        if facts.folder is not None:
            findings += judge_files(facts.folder, facts.host)
        if facts.gpu is not None:
            is_needed = needs_gpu(self._config or Config())
            findings.append(judge_gpu(facts.gpu, is_needed=is_needed, host=facts.host))
        return [finding for finding in findings if finding.remedy]

    def _try_window(self, memory: Mapping[str, MemoryFacts | None]) -> None:
        world = self._world
        sums = host_sums(world.hosts, [rank_bytes(world.size)] * world.size)
        if not all(fits(facts, sums[host]) for host, facts in memory.items()):
            self._tell(wrong("windows", "not tried: even a small one does not fit", _WINDOWS))
            return
        self._reporter.stage("windows", "making and probing a small window", _WINDOWS)
        trial = try_window(world)
        osc = os.environ.get(_OSC, "")
        is_ours = osc == RANK_DEFAULTS[_OSC]
        self._tell(*judge_windows(trial, world.size, "" if is_ours else osc))
