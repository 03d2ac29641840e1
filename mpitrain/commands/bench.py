"""``bench``: measure what things cost, beside the least they can cost."""

from __future__ import annotations

import argparse

from mpitrain.commands.parsing import Commands, Parser


def add(commands: Commands[Parser]) -> None:
    """Add the command's parser."""
    command = commands.add_parser(
        "bench",
        help="measure what things cost, beside the least they can cost",
        description="Measure; one JSON line per row. Under launch: launch -n 2 bench window.",
    )
    command.add_argument(
        "name",
        metavar="NAME",
        help="checkpoint, kernels, log (one process), stop, window (any ranks)",
    )
    command.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    from mpitrain.bench.command import bench_command  # brings NumPy; the launcher needs none

    return bench_command(options.name)
