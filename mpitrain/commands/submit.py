"""``submit``: submit a run as a Slurm job."""

from __future__ import annotations

import argparse
import dataclasses

from mpitrain.commands.parsing import Commands, Parser, positive, see_own_modules

_NUMBERS = (
    ("--nodes", "nodes"),
    ("--ranks-per-node", "ranks on each node"),
    ("--cpus-per-rank", "cores of each rank"),
    ("--gpus-per-rank", "GPUs of each rank"),
)


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "submit",
        help="submit a run as a Slurm job that checkpoints, requeues itself and goes on",
        description=(
            "Check a run, put its words and these options into jobs/train.sbatch, and hand that to "
            "sbatch. Prints the job's number. What is not said here is left to the template and to "
            "SBATCH_* in jobs/site.sh. The script is kept as job.sbatch in the run directory."
        ),
        usage=(
            "mpitrain submit [options] [RUN.toml] [table.key=value ...]\n"
            "       for example: mpitrain submit jobs/digits-ssp.toml --nodes 2 --ranks-per-node 4 "
            "--time 2:00:00"
        ),
        epilog="Templates are in MPITRAIN_JOBS, else in ./jobs, else those of the package.",
    )
    for flag, what in _NUMBERS:
        command.add_argument(flag, type=positive, metavar="N", help=f"{what}, >= 1")
    command.add_argument("--time", metavar="LIMIT", help="time limit, for example 2:00:00")
    command.add_argument("--partition", metavar="P", help="where to run")
    command.add_argument("--account", metavar="A", help="account to charge")
    command.add_argument(
        "--name", metavar="N", help="name of the job and of the run directory; default: run.name"
    )
    command.add_argument("--after", metavar="JOBID", help="begin when that job has ended, anyhow")
    command.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="one more option of sbatch, any number of times: --sbatch='--constraint=x'",
    )
    command.add_argument(
        "--at-most", type=_count, metavar="N", help="requeues after a time limit or a signal"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="print the script, and do nothing else"
    )
    command.add_argument(
        "words", metavar="RUN.toml key=value", nargs="*", help="the run file and overrides"
    )
    command.set_defaults(run=_submit)


def _submit(options: argparse.Namespace) -> int:
    see_own_modules()
    from mpitrain.batch.submission import Asked
    from mpitrain.batch.submit import submit  # brings HDF5

    names = [field.name for field in dataclasses.fields(Asked)]
    asked = Asked(**{name: getattr(options, name) for name in names})
    return submit(options.words, asked, is_dry=options.dry_run)


def _count(text: str) -> int:
    """Return an integer >= 0."""
    return 0 if text == "0" else positive(text)
