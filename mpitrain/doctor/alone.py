"""The part of the examination that needs no MPI: told first, whatever happens later."""

from __future__ import annotations

import os
from pathlib import Path

from mpitrain.config import Config
from mpitrain.core.gpu import gpu_facts
from mpitrain.doctor.facts import RankFacts, folder_facts, interpreter, launcher_facts
from mpitrain.doctor.files import judge_folder
from mpitrain.doctor.finding import ok
from mpitrain.doctor.gpus import judge_gpu
from mpitrain.doctor.launchers import LauncherFacts, judge_launchers
from mpitrain.doctor.ranks import judge_slurm
from mpitrain.doctor.report import Reporter
from mpitrain.doctor.software import judge_mpi4py, judge_python
from mpitrain.slurm import Slurm
from mpitrain.storage.swmr_trial import hdf5_version


def look_alone(reporter: Reporter, config: Config, mine: RankFacts) -> LauncherFacts:
    """Tell what this process and its host are; return the launchers that were found."""
    reporter.tell([judge_python(*interpreter()), judge_mpi4py(mine.versions["mpi4py"])])
    launchers = launcher_facts(os.environ)
    reporter.tell(judge_launchers(launchers))
    reporter.tell(judge_slurm(Slurm.from_environ(os.environ)))
    reporter.tell([ok("hdf5", hdf5_version())])
    folder = folder_facts(log_place(config))
    reporter.tell([judge_folder(folder, mine.cores.host)])
    reporter.stage("gpu", "loading CuPy", "use device.kind=cpu, or reinstall CuPy and the driver")
    gpu = judge_gpu(gpu_facts(), is_needed=needs_gpu(config), host=mine.cores.host)
    reporter.tell([gpu])
    return launchers


def log_place(config: Config) -> Path:
    """Return where the run's logs are to be."""
    return Path(config.log.directory or config.run.directory or "runs")


def needs_gpu(config: Config) -> bool:
    """Tell whether the run fails without a GPU."""
    return config.device.kind == "cuda"
