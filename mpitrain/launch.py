"""Starting ranks: find ``mpiexec``, set what it needs, pass on signals, keep the exit code.

This process loads no MPI. ``mpiexec`` runs in a process group of its own, so that Ctrl-C reaches
this process alone, which decides what the ranks get to see; see ``launch_job``. What is left to say
after a job that could not speak for itself is in ``launch_aftermath``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path

from mpitrain.config import load
from mpitrain.core.console import TERMINAL_VARIABLE, counted, tell
from mpitrain.core.errors import UserError
from mpitrain.launch_aftermath import settle
from mpitrain.launch_environment import launcher_defaults
from mpitrain.launch_hosts import Hosts, check_slots, host_words, num_slots, parsed_hosts
from mpitrain.launch_job import Job
from mpitrain.launch_note import LaunchNote
from mpitrain.mpiexec import MPICH, SRUN_MPI, TITLES, find_mpiexec
from mpitrain.slurm import Slurm

OR_RESUME = "--or-resume"
PACKAGE_COMMANDS = ("bench", "doctor", "resume", "train")
_OPTIONS = {"doctor": ("--json",), "train": (OR_RESUME,)}
_NO_DIRECTORY = "{0} needs a run directory: {0} RUNDIR [key=value ...]"
STOPPABLE_COMMANDS = ("resume", "train")  # stop with a checkpoint when they are asked to


def launch(options: argparse.Namespace) -> int:
    """Start ranks and wait for them; return the exit code of ``mpiexec``.

    Where that is 0 although the run did not end, it is 1.

    Args:
        options: ``ranks`` (None takes one per slot of the hosts, per task of the Slurm job, or per
            core), ``hosts``, ``mpi``, ``dry_run`` and ``command``.

    Raises:
        UserError: the command or the configuration is not valid, or there is no launcher.
    """
    environ = dict(os.environ)
    refuse_inside_step(environ)
    hosts = () if options.hosts is None else parsed_hosts(options.hosts)
    num_ranks = options.ranks or num_slots(hosts) or default_ranks(environ)
    check_slots(hosts, num_ranks)
    check_tasks(environ, num_ranks)
    command = command_of(options, environ, hosts, num_ranks)
    if options.dry_run:
        sys.stdout.write(described(command, environ) + "\n")
        return 0
    with LaunchNote() as note:
        job = Job(note, is_stoppable=options.command[0] in STOPPABLE_COMMANDS)
        code = job.run(command, environ)
        cause = "the job was ended by signals to the launcher" if job.num_ended else ""
        return settle(note.read(), code, num_ranks=num_ranks, cause=cause)


def command_of(
    options: argparse.Namespace, environ: MutableMapping[str, str], hosts: Hosts, num_ranks: int
) -> list[str]:
    """Return the words that start the ranks, and set in ``environ`` what these need.

    Raises:
        UserError: as ``launch``.
    """
    program = program_of(options.command)
    mpiexec = find_mpiexec(environ)
    if options.mpi not in ("auto", mpiexec.kind):
        msg = (
            f"--mpi {options.mpi}: the MPI library of {sys.executable} is {TITLES[mpiexec.kind]}; "
            f"use the Python of an environment with {TITLES[options.mpi]}"
        )
        raise UserError(msg)
    in_slurm = Slurm.from_environ(environ) is not None
    is_one_host = not (hosts or in_slurm)
    launcher_defaults(environ, is_root=os.geteuid() == 0, is_one_host=is_one_host)
    tell_terminal(environ)
    if in_slurm:
        if mpiexec.kind == MPICH:  # its own srun must not speak another MPI's language to the ranks
            environ.setdefault("SLURM_MPI_TYPE", "none")
        tell(f"mpitrain: in a Slurm job; by srun: {srun_line(mpiexec.kind, num_ranks, program)}\n")
    places = host_words(hosts, mpiexec.kind, environ) if hosts else []
    on_terminal = TERMINAL_VARIABLE in environ
    return [*mpiexec.command(num_ranks, on_terminal=on_terminal), *places, *program]


def program_of(words: Sequence[str]) -> list[str]:
    """Return what each rank runs, checked before anything is started.

    Args:
        words: ``train RUN.toml key=value ...``, ``resume RUNDIR key=value ...``, ``bench NAME``
            or ``script.py arguments ...``.

    Raises:
        UserError: none of these, or a mistake in the configuration.
    """
    first, *others = words or [""]
    if first in PACKAGE_COMMANDS:
        if first in _OPTIONS:
            check_run(first, others)
        if first == "resume":
            check_resume(others)
        return [sys.executable, "-m", "mpitrain", first, *others]
    if first.endswith(".py"):
        if not Path(first).is_file():
            msg = f"there is no script {first}"
            raise UserError(msg)
        # an exception on one rank must end all of them: mpi4py's runner sees to that
        return [sys.executable, "-m", "mpi4py", first, *others]
    got = f"got '{first}'" if first else "got nothing"
    msg = (
        "launch needs train [RUN.toml] [key=value ...], resume RUNDIR [key=value ...], "
        f"bench NAME, doctor or a script.py, {got}"
    )
    raise UserError(msg)


def train_words(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split the words after ``train`` into the run file, if there is one, and overrides.

    It is the first word, unless that is an override, or else one without "=" that ends in .toml.
    """
    others = list(words)
    files = [word for word in words if word.endswith(".toml") and "=" not in word]
    if words and (words[0].endswith(".toml") or "=" not in words[0]):
        files = [words[0]]
    if not files:
        return None, others
    others.remove(files[0])
    return files[0], others


def resume_words(words: Sequence[str], command: str = "resume") -> tuple[str, list[str]]:
    """Split the words after ``resume``, or a command like it, into run directory and overrides.

    It is the first word without "=", or else the first word.

    Raises:
        UserError: there is no word.
    """
    if not words:
        raise UserError(_NO_DIRECTORY.format(command))
    others = list(words)
    directory = next((word for word in words if "=" not in word), words[0])
    others.remove(directory)
    return directory, others


def check_resume(words: Sequence[str]) -> None:
    """Check what can be seen of ``resume``'s words before anything is started.

    Raises:
        UserError: no run directory is named.
    """
    named = [word for word in words if not word.startswith("-")]
    places = [word for word in named if "=" not in word or Path(word).is_dir()]
    if not places and not any(word in ("-h", "--help") for word in words):
        raise UserError(_NO_DIRECTORY.format("resume"))


def refuse_inside_step(environ: Mapping[str, str]) -> None:
    """Check that this is not one of several tasks of an ``srun``: each would start a job.

    Raises:
        UserError: it is.
    """
    job = Slurm.from_environ(environ)
    tasks = 0 if job is None or not job.step_id else job.step_tasks or 0
    if tasks > 1:
        msg = (
            f"launch runs in an srun step of {tasks} tasks, each of which would start a job of its "
            f"own; leave launch out: srun -n {tasks} python -m mpitrain train ..., or start launch "
            "once: sbatch, salloc, or srun -n 1"
        )
        raise UserError(msg)


def check_tasks(environ: Mapping[str, str], num_ranks: int) -> None:
    """Check that a Slurm job has a task for each rank.

    Raises:
        UserError: it has fewer.
    """
    job = Slurm.from_environ(environ)
    tasks = None if job is None else job.num_tasks
    if tasks is not None and num_ranks > tasks:
        msg = (
            f"launch -n {num_ranks}: this Slurm job has {counted(tasks, 'task')}; start at most "
            f"{tasks}, or ask Slurm for --ntasks={num_ranks}"
        )
        raise UserError(msg)


def default_ranks(environ: Mapping[str, str]) -> int:
    """Return how many ranks to start where nobody says: the job's tasks, or one per core."""
    job = Slurm.from_environ(environ)
    tasks = 0 if job is None else job.num_tasks or 0
    return tasks if tasks > 1 else len(os.sched_getaffinity(0))


def srun_line(kind: str, num_ranks: int, program: Sequence[str]) -> str:
    """Return the shell line that starts the same by ``srun``, for the MPI that is in use."""
    return shlex.join(["srun", f"--mpi={SRUN_MPI[kind]}", "-n", str(num_ranks), *program])


def check_run(command: str, words: Sequence[str]) -> None:
    """Check the words of a command that takes a run file before anything is started.

    Raises:
        UserError: an option or the run that they name is not valid.
    """
    options = [word for word in words if word.startswith("-")]
    unknown = [word for word in options if word not in (*_OPTIONS[command], "-h", "--help")]
    if unknown:
        msg = f"unrecognized arguments: {' '.join(unknown)}; see mpitrain {command} --help"
        raise UserError(msg)
    load(*train_words([word for word in words if word not in options]))


def tell_terminal(environ: MutableMapping[str, str]) -> None:
    """Pass on the size of the terminal; ranks see pipes or terminals of size 0."""
    if sys.stderr.isatty():
        with suppress(OSError):
            size = os.get_terminal_size(sys.stderr.fileno())
            environ.setdefault(TERMINAL_VARIABLE, f"{size.columns}x{size.lines}")


def described(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return a shell line that does the same as starting ``command`` in ``environ``."""
    new = {name: value for name, value in environ.items() if os.environ.get(name) != value}
    settings = [f"{name}={shlex.quote(value)}" for name, value in new.items()]
    return " ".join([*settings, shlex.join(command)])
