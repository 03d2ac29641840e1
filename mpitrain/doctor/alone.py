"""The part of the examination that needs no MPI: told first, whatever happens later."""

from __future__ import annotations

import os
from pathlib import Path

from mpitrain.config import Config
from mpitrain.core.errors import UserError
from mpitrain.core.gpu import gpu_facts
from mpitrain.doctor.facts import RankFacts, folder_facts, interpreter, launcher_facts
from mpitrain.doctor.files import LOCAL, NAME, judge_files
from mpitrain.doctor.finding import Finding, wrong
from mpitrain.doctor.gpus import judge_gpu
from mpitrain.doctor.launchers import LauncherFacts, judge_launchers
from mpitrain.doctor.ranks import judge_slurm
from mpitrain.doctor.report import Reporter
from mpitrain.doctor.software import judge_kernels, judge_mpi4py, judge_python
from mpitrain.kernels.twins import host_twin
from mpitrain.slurm import Slurm


def look_alone(reporter: Reporter, config: Config, mine: RankFacts) -> LauncherFacts:
    """Tell what this process and its host are; return the launchers that were found."""
    reporter.tell([judge_python(*interpreter()), judge_mpi4py(mine.versions["mpi4py"])])
    launchers = launcher_facts(os.environ)
    reporter.tell(judge_launchers(launchers))
    reporter.tell(judge_slurm(Slurm.from_environ(os.environ)))
    place = log_place(config)
    reporter.stage(NAME, f"trying HDF5 in {place}", LOCAL)
    reporter.tell(judge_files(folder_facts(place), mine.cores.host))
    reporter.stage("gpu", "loading CuPy", "use device.kind=cpu, or reinstall CuPy and the driver")
    gpu = judge_gpu(gpu_facts(), is_needed=needs_gpu(config), host=mine.cores.host)
    reporter.tell([gpu])
    reporter.stage("kernels", "trying Numba", "use device.kernels=numpy, or reinstall Numba")
    reporter.tell([look_at_kernels(config.device.kernels)])
    return launchers


def look_at_kernels(kernels: str) -> Finding:
    """Return what runs updates on the CPU, or what the run lacks."""
    try:
        twin = host_twin(kernels)
    except UserError as error:
        return wrong("kernels", str(error).rpartition("; ")[0], str(error).rpartition("; ")[2])
    return judge_kernels(kernels, twin.label, twin.trouble)


def log_place(config: Config) -> Path:
    """Return where the run's logs are to be."""
    return Path(config.log.directory or config.run.directory or "runs")


def needs_gpu(config: Config) -> bool:
    """Tell whether the run fails without a GPU."""
    return config.device.kind == "cuda"
