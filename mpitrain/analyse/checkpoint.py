"""What do a run's checkpoints hold, are they whole, and how far are two of them apart?"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mpitrain.analyse.npz import write_npz
from mpitrain.analyse.output import check_output, new_file, size_bytes
from mpitrain.analyse.tool import Answer, Tool, console
from mpitrain.analysis.checkpoint_folder import (
    COMPLETE,
    DAMAGED,
    Found,
    check_files,
    checkpoints_in,
    metric_of,
)
from mpitrain.analysis.parameters import Change, changes_between, sizes_of
from mpitrain.core.console import counted, size_text
from mpitrain.core.errors import CheckpointError, UserError
from mpitrain.running.loaded_checkpoint import LoadedCheckpoint, load_checkpoint

STYLES = {COMPLETE: "green", DAMAGED: "bold red"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "list PLACE            all checkpoints of a run\n"
        "show PLACE            what one holds: versions, parameters\n"
        "verify PLACE...       size and SHA-256 of every file; exit code 1 if one is damaged\n"
        "diff PLACE [PLACE]    what changed, parameter by parameter; one run: from its oldest to\n"
        "                      its newest\n"
        "export PLACE --out F  the parameters by name, for numpy.load\n\n"
        "PLACE is a run directory, for its newest complete one, or the folder of a checkpoint.\n\n"
        "example:\n  checkpoint diff runs/a runs/b/checkpoints/step-000001200"
    )
    parser.add_argument("action", choices=ACTIONS, metavar=f"{{{','.join(ACTIONS)}}}")
    parser.add_argument("places", type=Path, metavar="PLACE", nargs="+")
    parser.add_argument("--out", type=Path, metavar="FILE", help="of export, ends in .npz")


def _run(options: argparse.Namespace) -> Answer:
    least, most = PLACES[options.action]
    if not least <= len(options.places) <= most:
        wanted = f"{least} or {most}" if most < MANY and most > least else f"{least}"
        message = f"{options.action} takes {wanted} places, got {len(options.places)}"
        raise UserError(message)
    if (options.out is not None) != (options.action == "export"):
        message = "export needs --out FILE.npz, and only export takes it"
        raise UserError(message)
    return ACTIONS[options.action](options)


def _list(options: argparse.Namespace) -> Answer:
    found = checkpoints_in(options.places[0])
    return Answer({"checkpoints": [_facts(one) for one in found]}, lambda: _show_list(found))


def _verify(options: argparse.Namespace) -> Answer:
    found = [check_files(one) for place in options.places for one in checkpoints_in(place)]
    num_damaged = sum(one.state == DAMAGED for one in found)
    num_complete = sum(one.state == COMPLETE for one in found)
    facts = {"ok": not num_damaged, "checkpoints": [_facts(one) for one in found]}

    def show() -> None:
        _show_list(found)
        sys.stdout.write(f"{num_complete} complete and whole, {num_damaged} damaged\n")

    return Answer(facts, show, 1 if num_damaged else 0)


def _facts(found: Found) -> dict[str, Any]:
    said = found.checkpoint
    facts = {"path": str(found.path), "state": found.state, "fault": found.fault}
    if said is None:
        return facts
    files = {name: dataclasses.asdict(file) for name, file in said.files.items()}
    return {**facts, "steps": said.steps, "life": said.life, "size_bytes": found.size_bytes,
            "files": files, "facts": said.facts}  # fmt: skip


def _show_list(found: Sequence[Found]) -> None:
    if not found:
        sys.stdout.write("there is no checkpoint\n")
        return
    table = _table("checkpoint", "steps>", "life>", "files>", "size>", "taken", "metric", "state")
    for one in found:
        said = one.checkpoint
        known = ("", "", "", "", "", "")
        if said is not None:
            metric = metric_of(said.facts)
            shown = "" if metric is None else f"{metric[0]} {metric[1]:.4f}"
            size = size_text(one.size_bytes or 0)
            when = str(said.facts.get("time", ""))[:19].replace("T", " ")
            facts = (_plain(when), _plain(shown))  # what a stranger wrote
            known = (str(said.steps), str(said.life), str(len(said.files)), size, *facts)
        style = STYLES.get(one.state, "yellow")
        table.add_row(one.path.name, *known, f"[{style}]{one.state}[/]")
    console().print(table)
    for one in found:
        if one.fault:
            sys.stdout.write(f"{one.fault}\n")


def _show(options: argparse.Namespace) -> Answer:
    loaded = _load(options.places[0])
    sizes = sizes_of(loaded.parameters)
    facts = {
        **_said(loaded),
        "versions": loaded.versions,
        "parameters": [dataclasses.asdict(size) for size in sizes],
        "num_elements": sum(array.size for array in loaded.parameters.values()),
    }

    def show() -> None:
        out = console()
        metric = metric_of(dict(loaded.facts))
        judged = "" if metric is None else f", {metric[0]} {metric[1]:.4f}"
        out.print(f"{loaded.path}\nlife {loaded.life}, {loaded.steps} steps{judged}", markup=False)
        out.print(_versions_text(loaded))
        table = _table("parameter", "shape", "dtype", "norm>", "least>", "largest>")
        for size in sizes:
            numbers = (f"{size.norm:.6g}", f"{size.least:.4g}", f"{size.largest:.4g}")
            table.add_row(_plain(size.name), _shape(size.shape), size.dtype, *numbers)
        out.print(table)

    return Answer(facts, show)


def _versions_text(loaded: LoadedCheckpoint) -> str:
    least, largest = int(loaded.versions.min()), int(loaded.versions.max())
    of_all = str(least) if least == largest else f"{least} to {largest}"
    return f"{counted(len(loaded.versions), 'shard')} at version {of_all}"


def _diff(options: argparse.Namespace) -> Answer:
    before, after = (_load(place) for place in _two(options.places))
    changes = changes_between(before.parameters, after.parameters)
    is_equal = all(change.is_equal for change in changes)
    facts = {
        "before": _said(before), "after": _said(after), "equal": is_equal,
        "parameters": [dataclasses.asdict(change) for change in changes],
    }  # fmt: skip

    def show() -> None:
        out = console()
        for name, loaded in (("before", before), ("after", after)):
            where = f"{name:<6} {loaded.path}: life {loaded.life}, {loaded.steps} steps"
            out.print(where, markup=False)
        out.print(_changes_table(changes))
        sys.stdout.write("the parameters are equal, bit for bit\n" if is_equal else "")

    return Answer(facts, show)


def _two(places: Sequence[Path]) -> Sequence[Path]:
    if len(places) == 2:
        return places
    complete = [one.path for one in checkpoints_in(places[0]) if one.state == COMPLETE]
    if len(complete) < 2:
        message = f"{places[0]} has {counted(len(complete), 'complete checkpoint')}; name two"
        raise UserError(message)
    return complete[0], complete[-1]


def _changes_table(changes: Sequence[Change]) -> Any:
    table = _table("parameter", "shape", "norm before>", "after>", "of the change>", "relative>",
                   "largest change>", "cosine>")  # fmt: skip
    for change in changes:
        before, after = change.before_shape, change.after_shape
        if before != after:
            told = " / ".join("absent" if shape is None else _shape(shape)
                              for shape in (before, after))  # fmt: skip
            numbers = (_number(change.before_norm), _number(change.after_norm), "", "", "", "")
            table.add_row(_plain(change.name), f"[bold]{told}[/]", *numbers)
            continue
        relative = change.change_norm / change.before_norm if change.before_norm else float("nan")
        changed = "equal" if change.is_equal else _number(change.change_norm)
        norms = (_number(change.before_norm), _number(change.after_norm), changed)
        rest = (_number(relative), _number(change.largest_change), _number(change.cosine, 6))
        table.add_row(_plain(change.name), _shape(before or ()), *norms, *rest)
    return table


def _export(options: argparse.Namespace) -> Answer:
    check_output("--out", options.out, (".npz",))
    loaded = _load(options.places[0])
    with new_file(options.out) as file:
        write_npz(file, loaded.parameters)
    facts = {"file": str(options.out), "size_bytes": size_bytes(options.out), **_said(loaded),
             "parameters": list(loaded.parameters)}  # fmt: skip
    count = counted(len(loaded.parameters), "parameter")
    size = size_text(facts["size_bytes"] or 0)
    return Answer(facts, lambda: _write(f"{options.out}: {count}, {size}"))


def _load(place: Path) -> LoadedCheckpoint:
    """Read a checkpoint; what holds none is the user's mistake."""
    try:
        return load_checkpoint(place)
    except CheckpointError as error:
        raise UserError(str(error)) from error


def _said(loaded: LoadedCheckpoint) -> dict[str, Any]:
    return {"path": str(loaded.path), "steps": loaded.steps, "life": loaded.life,
            "facts": dict(loaded.facts)}  # fmt: skip


def _table(*headings: str) -> Any:
    """Return an empty table; a heading that ends in ">" is of numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        justify: Any = "right" if heading.endswith(">") else "left"
        table.add_column(heading.removesuffix(">"), justify=justify)
    return table


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _number(value: float, digits: int = 4) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}g}"


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


ACTIONS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "list": _list,
    "show": _show,
    "verify": _verify,
    "diff": _diff,
    "export": _export,
}
MANY = 10_000
PLACES = {"list": (1, 1), "show": (1, 1), "verify": (1, MANY), "diff": (1, 2), "export": (1, 1)}
"""Fewest and most places that each takes."""

TOOL = Tool(
    "checkpoint",
    "List, show, verify, compare and export the checkpoints of a run.",
    _add_arguments,
    _run,
)
