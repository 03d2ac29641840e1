"""The inside of a test on ranks: every rank records its outcomes; a failure ends all ranks."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

RESULTS = "MPITRAIN_TEST_RESULTS"  # folder for the outcomes; set inside only
CASE = "MPITRAIN_TEST_CASE"  # for example "openmpi-4"
LIMIT = "MPITRAIN_TEST_LIMIT_S"  # for one test
DUMP_BEFORE_S = 3.0


class Recorder:
    """A pytest plugin that lives on every rank."""

    def __init__(self, case: str, folder: Path) -> None:
        from mpi4py import MPI

        self.comm = MPI.COMM_WORLD
        self._abort = MPI.COMM_WORLD.Abort
        rank, size = self.comm.rank, self.comm.size
        if size != int(case.partition("-")[2]):
            message = f"asked for {case}, but there are {size} ranks"
            raise RuntimeError(message)
        self._who = f"rank {rank} of {size}"
        self._outcomes = (folder / f"outcomes-{rank}").open("a", encoding="utf-8")
        self._stacks = (folder / f"stacks-{rank}").open("w", encoding="utf-8")
        self._dump_after_s = max(1.0, float(os.environ[LIMIT]) - DUMP_BEFORE_S)
        self._start_timer()

    def pytest_runtest_logstart(self) -> None:
        """Start the timer again for each test."""
        self._start_timer()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record one outcome; end all ranks when it is bad."""
        if report.when == "call" or report.outcome != "passed":
            self._write(report.nodeid, report.outcome, report.longreprtext)
        if report.failed:
            sys.stderr.write(f"{self._who} failed {report.nodeid}\n{report.longreprtext}\n")
            sys.stderr.flush()
            self._abort(1)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """End all ranks when a file cannot be imported on one."""
        if report.failed:
            sys.stderr.write(f"{self._who} cannot collect {report.nodeid}\n{report.longreprtext}\n")
            sys.stderr.flush()
            self._abort(1)

    def pytest_sessionfinish(self) -> None:
        """Stop the timer."""
        faulthandler.cancel_dump_traceback_later()
        self._stacks.close()
        self._outcomes.close()

    def _start_timer(self) -> None:
        faulthandler.dump_traceback_later(self._dump_after_s, file=self._stacks)

    def _write(self, nodeid: str, outcome: str, text: str) -> None:
        line: dict[str, Any] = {"test": nodeid, "outcome": outcome, "text": text}
        self._outcomes.write(json.dumps(line) + "\n")
        self._outcomes.flush()
