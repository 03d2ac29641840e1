"""``doctor``: look at what a run would rest on, and say what to do about what is not right."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser
from mpitrain.launch import train_words


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "doctor",
        help="say what works here, what does not, and what to do about it",
        description=(
            "Look at MPI, windows, files, cores and GPUs, and print one line each: ok, warning or "
            "wrong, what was measured, and what to do. With a run file, look at what it needs. "
            "As one rank, or under launch, mpirun and srun. Exit code 1 when something is wrong."
        ),
        usage="mpitrain doctor [RUN.toml] [table.key=value ...] [--json]",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object instead")
    command.add_argument(
        "words", metavar="RUN.toml key=value", nargs="*", help="the run that is to be"
    )
    command.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from mpitrain.doctor.command import doctor_command

    run_file, overrides = train_words(options.words)
    return doctor_command(run_file, overrides, as_json_line=options.json)
