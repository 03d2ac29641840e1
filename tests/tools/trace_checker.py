"""A checker of the Trace Event Format, as strict as its readers, and stricter where they guess."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Thread = tuple[int, int]


def read_trace(path: Path) -> dict[str, Any]:
    """Parse a trace strictly: no NaN, no key twice."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    trace: dict[str, Any] = json.loads(
        text, parse_constant=_refuse, parse_float=Fraction, object_pairs_hook=_once
    )
    return trace


def check_trace(trace: dict[str, Any]) -> list[str]:
    """Return all faults of a trace; times must be in order in the file, thread by thread."""
    events = trace["traceEvents"]
    faults = [f"{event} has an unknown kind" for event in events if event["ph"] not in "MXCisf"]
    by_thread: dict[Thread, list[Event]] = defaultdict(list)
    counters: dict[tuple[int, str], list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in "Xisf":
            by_thread[event["pid"], event["tid"]].append(event)
        elif event["ph"] == "C":
            counters[event["pid"], event["name"]].append(event)
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    faults += [f"thread {thread} has no name" for thread in by_thread.keys() - named]
    for key, ones in [*by_thread.items(), *counters.items()]:
        faults += [f"{key}: {a} before {b}" for a, b in pairwise(ones)
                   if Fraction(a["ts"]) > Fraction(b["ts"])]  # fmt: skip
    for ones in by_thread.values():
        faults += _check_nesting([event for event in ones if event["ph"] == "X"])
    return faults + list(_check_arrows(events, by_thread))


def _check_nesting(slices: list[Event]) -> Iterator[str]:
    """Each slice lies wholly inside the one that is open when it begins, or after it."""
    open_slices: list[Event] = []
    for one in slices:
        if one["dur"] < 0:
            yield f"{one} has a negative length"
        while open_slices and end_of(open_slices[-1]) <= one["ts"]:
            open_slices.pop()
        if open_slices and end_of(open_slices[-1]) < end_of(one):
            yield f"{one} reaches out of {open_slices[-1]}"
        open_slices.append(one)


def _check_arrows(events: list[Event], by_thread: dict[Thread, list[Event]]) -> Iterator[str]:
    """Each arrow has two ends, in order in time, one inside a write and one inside a read."""
    ends: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in "sf":
            ends[event["id"]].append(event)
    for number, pair in ends.items():
        kinds = sorted(event["ph"] for event in pair)
        if kinds != ["f", "s"]:
            yield f"arrow {number} has ends {kinds}"
            continue
        (start,) = [event for event in pair if event["ph"] == "s"]
        (end,) = [event for event in pair if event["ph"] == "f"]
        if start["ts"] >= end["ts"] or end.get("bp") != "e":
            yield f"arrow {number} points back or binds to the next slice: {pair}"
    for events_of in by_thread.values():
        yield from _check_bound(events_of)


def _check_bound(events: list[Event]) -> Iterator[str]:
    """In the file an arrow's end follows the slice that it binds to, with no other in between."""
    last: Event = {}
    for event in events:
        if event["ph"] == "X":
            last = event
        elif event["ph"] in "sf":
            wanted = "write" if event["ph"] == "s" else "read"
            if last["name"] != wanted or not last["ts"] <= event["ts"] <= end_of(last):
                yield f"{event} is not in a {wanted} but after {last}"


def end_of(event: Event) -> Fraction:
    """Return when a slice ends."""
    return Fraction(event["ts"]) + Fraction(event["dur"])


def _refuse(constant: str) -> None:
    message = f"{constant} is no JSON"
    raise ValueError(message)


def _once(pairs: list[tuple[str, Any]]) -> Event:
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)
