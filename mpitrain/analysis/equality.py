"""Whether two runs are the same run: parameters, evaluations, and every row but for its times.

Rows are compared on the timeline, so a run that was stopped and resumed may equal one that was not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.storage.reading import RunLog, open_log
from mpitrain.storage.schema import SHARD_COLUMNS, STEP_COLUMNS
from mpitrain.storage.timeline import Segment

TIMES = ("began_s", "wait_s", "read_s", "compute_s", "write_s")
CAUSED = ("check",)  # by the other columns
COMPARED = tuple(name for name in STEP_COLUMNS if name not in (*TIMES, *CAUSED))
SLICE = 65_536  # rows in memory at a time

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass
class Equality:
    """What comparing two runs found.

    Attributes:
        first: run directory.
        second: run directory.
        differences: the first of each kind, for people, what decides most first.
        same: what was found equal, for people.
        notes: what could not be compared.
    """

    first: Path
    second: Path
    differences: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def equality_of(first: Path, second: Path) -> Equality:
    """Compare two runs.

    Raises:
        LogError: a log is missing or cannot be read, so nothing can be said.
    """
    logs = open_log(first), open_log(second)
    found = Equality(first, second)
    _compare_rows(*logs, found)
    _compare_evaluations(*logs, found)
    _compare_parameters(*logs, found)
    return found


def _compare_rows(one: RunLog, other: RunLog, found: Equality) -> None:
    sizes = [max(stretch.life.size for stretch in log.chain) for log in (one, other)]
    if sizes[0] != sizes[1]:
        found.differences.append(f"{sizes[0]} ranks, {sizes[1]} ranks")
        return
    firsts, num_rows = [], 0
    for rank in range(sizes[0]):
        pair = [log.timeline(rank) for log in (one, other)]
        nums = [sum(segment.num_rows for segment in segments) for segments in pair]
        num_rows += nums[0]
        place = _first_difference(pair[0], pair[1], found)
        if place is None and nums[0] != nums[1]:
            place = min(nums), f"{nums[0]} steps, {nums[1]} steps"
        if place is not None:
            firsts.append((place[0], rank, place[1]))
    if firsts:
        row, rank, what = min(firsts)
        more = f"; {len(firsts)} of {sizes[0]} ranks differ" if sizes[0] > 1 else ""
        found.differences.append(f"rank {rank}, step {row}: {what}{more}")
    else:
        names = "clocks, tickets, versions, staleness, losses and norms"
        found.same.append(f"{num_rows} steps of {sizes[0]} ranks: {names}")


def _first_difference(
    one: Sequence[Segment], other: Sequence[Segment], found: Equality
) -> tuple[int, str] | None:
    """Return row and difference where a rank's rows differ first."""
    names = _names(one, other, found)
    row = 0
    for left, right in _aligned(_slices(one, names), _slices(other, names)):
        differing = np.zeros(len(left[names[0]]), np.bool_)
        for name in names:
            differing |= _differs(left[name], right[name])
        if differing.any():
            at = int(differing.argmax())
            return row + at, _what(left, right, at)
        row += len(differing)
    return None


def _names(one: Sequence[Segment], other: Sequence[Segment], found: Equality) -> list[str]:
    has_versions = all(segment.log.per_shard for segment in (*one, *other))
    note = "a log has no versions of shards (log.per_shard): they are not compared"
    if not has_versions and note not in found.notes:
        found.notes.append(note)
    return [name for name in COMPARED if has_versions or name not in SHARD_COLUMNS]


def _slices(segments: Sequence[Segment], names: Sequence[str]) -> Iterator[Columns]:
    for segment in segments:
        for _, rows in segment.log.slices(names, segment.num_rows, SLICE):
            yield rows


def _aligned(one: Iterator[Columns], other: Iterator[Columns]) -> Iterator[tuple[Columns, Columns]]:
    """Yield rows of both that stand at the same places, as long as both have some."""
    left, right = next(one, None), next(other, None)
    while left and right:
        num = min(_num(left), _num(right))
        yield _part(left, 0, num), _part(right, 0, num)
        left = _part(left, num, None) if _num(left) > num else next(one, None)
        right = _part(right, num, None) if _num(right) > num else next(other, None)


def _num(rows: Columns) -> int:
    return len(next(iter(rows.values())))


def _part(rows: Columns, start: int, stop: int | None) -> Columns:
    return {name: column[start:stop] for name, column in rows.items()}


def _differs(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Tell which rows differ, (N,); NaN equals NaN, and another number of shards nothing."""
    if left.shape != right.shape:
        return np.ones(len(left), np.bool_)
    differing = left != right
    if left.dtype.kind == "f":
        differing &= ~(np.isnan(left) & np.isnan(right))
    any_differs: npt.NDArray[np.bool_] = differing.reshape(len(left), -1).any(axis=1)
    return any_differs


def _what(left: Columns, right: Columns, row: int) -> str:
    for name in left:
        one, other = left[name], right[name]
        if _differs(one[row : row + 1], other[row : row + 1]).any():
            return f"{name} is {_said(one[row])}, {_said(other[row])}"
    raise AssertionError  # something differs


def _said(value: Any) -> str:
    if np.ndim(value):
        return f"[{', '.join(map(str, value.tolist()))}]"
    return f"{value:.9g}" if isinstance(value, np.floating) else str(value)


def _compare_evaluations(one: RunLog, other: RunLog, found: Equality) -> None:
    """Compare evaluations of the same versions of the parameters."""
    left, right = _evaluations(one), _evaluations(other)
    common = [versions for versions in left if versions in right]
    for versions in common:
        for name in sorted(set(left[versions]) | set(right[versions])):
            values = left[versions].get(name), right[versions].get(name)
            if values[0] != values[1]:
                what = f"{name} is {values[0]}, {values[1]}"
                found.differences.append(f"evaluation of version {versions[0]}: {what}")
                return
    if common:
        found.same.append(f"{len(common)} evaluations")


def _evaluations(log: RunLog) -> dict[tuple[int, ...], dict[str, Any]]:
    """Return the numbers of every evaluation on the timeline by the versions it was made on."""
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for stretch in log.chain:
        for _, kind, detail in stretch.life.ranks[min(stretch.life.ranks)].events:
            versions = detail.get("versions")
            if kind == "evaluation" and isinstance(versions, list) and versions:
                numbers = {n: v for n, v in detail.items() if n not in ("versions", "steps")}
                found[tuple(versions)] = numbers
    return found


def _compare_parameters(one: RunLog, other: RunLog, found: Equality) -> None:
    digests = [_digest(log) for log in (one, other)]
    if None in digests:
        roots = [
            str(log.directory.root) for log, d in zip((one, other), digests, strict=True) if not d
        ]
        found.notes.append(f"parameters are not compared: no result of {' and '.join(roots)}")
    elif digests[0] != digests[1]:
        found.differences.insert(0, f"parameters SHA-256 {digests[0]}, {digests[1]}")
    else:
        found.same.insert(0, f"parameters SHA-256 {digests[0]}")


def _digest(log: RunLog) -> str | None:
    digest = (log.directory.read_result() or {}).get("parameters_sha256")
    if isinstance(digest, str):
        return digest
    newest = log.chain[-1].life
    said = [d for _, kind, d in newest.ranks[min(newest.ranks)].events if kind == "digest"]
    return str(said[-1].get("parameters_sha256")) if said else None
