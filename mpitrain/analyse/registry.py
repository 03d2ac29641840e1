"""The tools by name; a tool's module is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from mpitrain.analyse.tool import Tool, main
from mpitrain.core.errors import unknown

TOOLS = {
    "summary": "what happened in a run, on one page; several runs in one table",
    "staleness": "how stale the gradients were: by rank, by shard, over time, and the tail",
    "verify": "did the run keep its promises? every row of every log is checked",
    "stragglers": "which ranks were slow, who waited for whom, what would another bound gain?",
    "compare": "several runs side by side: speed to a target, spread over seeds, equality",
    "scaling": "what do more ranks gain: speed-up and efficiency over runs on several counts",
    "report": "one HTML page about a run, or a comparison of several",
    "trace": "all ranks side by side in Perfetto: waiting, computing, writing, who saw what",
    "checkpoint": "what do checkpoints hold: list, show, verify, diff, export to .npz",
    "export": "the timeline as a table, CSV or Parquet: one row per step",
    "tail": "what does a run do just now? follows it in the terminal",
}
"""What each answers, in the order in which ``analyse --help`` lists them."""


def tool_of(name: str) -> Tool:
    """Return a tool.

    Raises:
        UserError: there is none of this name.
    """
    if name not in TOOLS:
        raise unknown("tool", name, TOOLS)  # noqa: EM101  # not a message
    tool: Tool = importlib.import_module(f"mpitrain.analyse.{name}").TOOL
    return tool


def run(name: str, words: Sequence[str]) -> int:
    """Run ``mpitrain analyse NAME WORDS`` and return the exit code.

    Raises:
        UserError: there is no such tool.
    """
    return main(tool_of(name), words, f"mpitrain analyse {name}")
