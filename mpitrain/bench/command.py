"""``python -m mpitrain bench NAME``: run a measurement and print JSON lines, last the whole."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mpitrain.core.errors import unknown
from mpitrain.launch_environment import rank_defaults

if TYPE_CHECKING:
    from mpitrain.comm.world import World


def bench_command(name: str) -> int:
    """Run the measurement ``name`` on the ranks there are; rank 0 prints one JSON line per row.

    Raises:
        UserError: there is no such measurement.

    Collective: yes, for "simulator", "step", "stop" and "window".
    """
    if name not in BENCHES:
        mistake = unknown("measurement", name, BENCHES)
        raise mistake
    rank_defaults(os.environ)
    return BENCHES[name]()


def _log() -> int:
    from mpitrain.bench.log import measure

    for num_shards in (4, 64):
        _show(measure(num_shards))
    return 0


def _checkpoint() -> int:
    from mpitrain.bench.checkpoint import measure

    for row in measure():
        _show(row)
    return 0


def _kernels() -> int:
    from mpitrain.bench.kernels import measure

    for row in measure():
        _show(row)
    return 0


def _replay() -> int:
    from mpitrain.bench.replay import measure

    for row in measure():
        _show(row)
    return 0


def _simulator() -> int:
    from mpitrain.bench.simulator import measure

    return _on_ranks(measure)


def _step() -> int:
    from mpitrain.bench.step import measure

    return _on_ranks(measure)


def _stop() -> int:
    from mpitrain.bench.stop import measure

    return _on_ranks(measure)


def _tools() -> int:
    from mpitrain.bench.tools import measure

    for row in measure():
        _show(row)
    return 0


def _window() -> int:
    from mpitrain.bench.window import measure

    return _on_ranks(measure)


def _on_ranks(measure: Callable[[World], Iterator[dict[str, Any]]]) -> int:
    from mpitrain.comm.world import World

    world = World()
    for row in measure(world):
        if world.is_root:
            _show({"mpi_library": world.library, **row})
    world.close()
    return 0


def _show(row: dict[str, Any]) -> None:
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()}
    sys.stdout.write(json.dumps(rounded) + "\n")
    sys.stdout.flush()


BENCHES = {
    "checkpoint": _checkpoint,
    "kernels": _kernels,
    "log": _log,
    "replay": _replay,
    "simulator": _simulator,
    "step": _step,
    "stop": _stop,
    "tools": _tools,
    "window": _window,
}
