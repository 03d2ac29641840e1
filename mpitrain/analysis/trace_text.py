"""Events of the Trace Event Format, as text: what Perfetto reads, and others with it.

A rank is a process there (its number + 1, as 0 means the idle process), its steps are slices of
thread 1 with the phases inside, and its checkpoints those of thread 2. Times are microseconds with
three decimals, so whole nanoseconds.

Source: "Trace Event Format", Google, 2016; Perfetto reads it with ``json_trace_tokenizer``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.analysis.spans import ENDED, READ_BEGAN, Edges
from mpitrain.storage.run_directory import json_line

STEPS, CHECKPOINTS = 1, 2
THREADS = {STEPS: "steps", CHECKPOINTS: "checkpoints"}
PHASES = ("wait", "read", "compute", "write")
STEP_COLUMNS = ("clock", "ticket", "lead", "staleness_mean", "staleness_max", "loss")


def names_of(rank: int, host: str, threads: Sequence[int]) -> Iterator[str]:
    """Yield the events that name a rank and its threads."""
    yield _meta(rank, "process_name", {"name": f"rank {rank} on {host}"})
    yield _meta(rank, "process_sort_index", {"sort_index": rank})
    for thread in threads:
        yield _meta(rank, "thread_name", {"name": THREADS[thread]}, thread)


def steps_text(
    rank: int,
    edges: Edges,
    columns: Mapping[str, npt.NDArray[Any]],
    seen: Mapping[int, Sequence[str]],
    more: Mapping[int, Sequence[str]],
) -> Iterator[str]:
    """Yield the events of each step, one after the other, with rising times.

    Args:
        rank: whose steps.
        edges: (rows, 5).
        columns: ``STEP_COLUMNS``, (rows,).
        seen: row -> events within its read.
        more: row -> events from the beginning of its write on to the next step.
    """
    who = f'"pid":{rank + 1},"tid":{STEPS}'
    lengths = np.diff(edges, axis=1)
    totals = (edges[:, ENDED] - edges[:, 0]) / 1000
    args = [columns[name].tolist() for name in STEP_COLUMNS[:3]]
    args += [_numbers(columns[name]) for name in STEP_COLUMNS[3:]]
    rows = zip((edges / 1000).tolist(), (lengths / 1000).tolist(), totals.tolist(), *args,
               strict=True)  # fmt: skip
    for row, (at, length, total, clock, ticket, lead, mean, largest, loss) in enumerate(rows):
        yield (
            f'{{"ph":"X","name":"step","cat":"step",{who},"ts":{at[0]:.3f},"dur":{total:.3f},'
            f'"args":{{"clock":{clock},"ticket":{ticket},"lead":{lead},"staleness":{mean},'
            f'"staleness_max":{largest},"loss":{loss}}}}}'
        )
        for index, phase in enumerate(PHASES):
            if length[index]:
                yield (
                    f'{{"ph":"X","name":"{phase}","cat":"phase",{who},"ts":{at[index]:.3f},'
                    f'"dur":{length[index]:.3f}}}'
                )
            if phase == "read":
                yield from seen.get(row, ())
        yield from more.get(row, ())


def counters_text(
    rank: int, edges: Edges, columns: Mapping[str, npt.NDArray[Any]]
) -> Iterator[str]:
    """Yield lead and staleness wherever they change, and in the first row."""
    for name, column, edge in (
        ("lead", "lead", READ_BEGAN),
        ("staleness", "staleness_mean", ENDED),
    ):
        values = columns[column]
        is_new = np.ones(len(values), np.bool_)
        is_new[1:] = values[1:] != values[:-1]
        times = (edges[is_new, edge] / 1000).tolist()
        for at, value in zip(times, _numbers(values[is_new]), strict=True):
            yield (
                f'{{"ph":"C","name":"{name}","cat":"step","pid":{rank + 1},"ts":{at:.3f},'
                f'"args":{{"{name}":{value}}}}}'
            )


def arrow_start(number: int, rank: int, at_ns: int) -> str:
    """Return the event where an arrow leaves the slice around it."""
    return _arrow("s", number, rank, at_ns)


def arrow_end(number: int, rank: int, at_ns: int) -> str:
    """Return the event where an arrow meets the slice around it."""
    return _arrow("f", number, rank, at_ns, ',"bp":"e"')


def slice_text(
    rank: int, thread: int, name: str, start_ns: int, end_ns: int, args: Mapping[str, Any]
) -> str:
    """Return a slice, for example of an evaluation."""
    times = f'"ts":{start_ns / 1000:.3f},"dur":{(end_ns - start_ns) / 1000:.3f}'
    return (
        f'{{"ph":"X","name":{json.dumps(name)},"cat":"event","pid":{rank + 1},"tid":{thread},'
        f'{times},"args":{json_line(args)}}}'
    )


def instant_text(rank: int, name: str, at_ns: int, args: Mapping[str, Any]) -> str:
    """Return something that happened at one moment."""
    return (
        f'{{"ph":"i","s":"t","name":{json.dumps(name)},"cat":"event","pid":{rank + 1},'
        f'"tid":{STEPS},"ts":{at_ns / 1000:.3f},"args":{json_line(args)}}}'
    )


def _arrow(kind: str, number: int, rank: int, at_ns: int, more: str = "") -> str:
    return (
        f'{{"ph":"{kind}","id":{number},"name":"first seen","cat":"update","pid":{rank + 1},'
        f'"tid":{STEPS},"ts":{at_ns / 1000:.3f}{more}}}'
    )


def _meta(rank: int, name: str, args: Mapping[str, Any], thread: int = STEPS) -> str:
    return json.dumps({"ph": "M", "name": name, "pid": rank + 1, "tid": thread, "args": args})


def _numbers(values: npt.NDArray[Any]) -> list[str]:
    """Return numbers as JSON has them: no NaN."""
    return [f"{value:.6g}" if math.isfinite(value) else "null" for value in values.tolist()]
