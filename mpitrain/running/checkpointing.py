"""Checkpoints while training goes on: copy at a meeting, write from the copy, mark when all have.

At a meeting all ranks are at a step boundary. Each copies what it has to save, which is all that
training waits for. A thread on every rank then writes that rank's files. The ranks report to rank 0
at their own pace; when all have, rank 0 writes the completion mark and prunes. The next checkpoint,
and the end of the run, wait for that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.comm.reports import Reports
from mpitrain.comm.waiting import Patience
from mpitrain.comm.world import World
from mpitrain.core.arrays import copy_into
from mpitrain.core.errors import CheckpointError, LogError
from mpitrain.core.position import Position
from mpitrain.modes.mode import Mode
from mpitrain.modes.update import Update
from mpitrain.plan import Plan
from mpitrain.result import parameters_sha256
from mpitrain.running.best import Best, Seen
from mpitrain.running.checkpoint_content import (
    rank_arrays,
    rank_attributes,
    rank_file,
    state_arrays,
    state_attributes,
)
from mpitrain.running.totals import Totals
from mpitrain.storage.checkpoint_file import Written, write_checkpoint_file
from mpitrain.storage.checkpoint_mark import STATE
from mpitrain.storage.checkpoints import Checkpoints

Vector = npt.NDArray[Any]
Tell = Callable[[str, Mapping[str, Any]], None]

MOST_CHARACTERS = 300  # of an error in a report
WRITING_TIMES = 10.0  # patience for a slow disk, in mode.limit_s


class Checkpointer:
    """One rank's part in writing checkpoints.

    Attributes:
        trouble: why the run cannot go on, None while it can; on rank 0.
        newest: name of the newest complete checkpoint, "none" for none; on rank 0.
        newest_steps: its steps, -1 for none; on rank 0.
        taken_steps: steps at the newest cut, -1 before the first.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        mode: Mode,
        update: Update,
        folder: Checkpoints,
        run_id: str,
        terms: Mapping[str, Any],
        *,
        best: Best,
        flush_log: Callable[[], None],
        evaluate: Callable[[Vector], Mapping[str, Any]],
        tell: Tell,
    ) -> None:
        """Reserve the memory of the copies.

        Args:
            world: the ranks.
            plan: what is trained.
            mode: knows the parameters.
            update: its optimiser state is saved.
            folder: where checkpoints lie.
            run_id: of the run.
            terms: settings that must not change, kept in the checkpoint.
            best: what rank 0's evaluations have shown, kept in the checkpoint.
            flush_log: returns when every step so far is in the log file; any thread.
            evaluate: returns means on the test samples for (n,) parameters; for keep_best.
            tell: takes kind and detail of an event; the main thread.

        Collective: no.
        """
        config = plan.config
        self.trouble: str | None = None
        self.newest = plan.start.checkpoint
        has_one = self.newest != "none"
        self.newest_steps = plan.start.position.steps if has_one else -1
        self.taken_steps = self.newest_steps
        self._settings = config.checkpoint
        self._world, self._plan, self._mode = world, plan, mode
        self._folder, self._run_id, self._terms = folder, run_id, terms
        self._flush_log, self._evaluate, self._tell = flush_log, evaluate, tell
        self._best = best
        self._is_bsp = config.mode.kind == "bsp"
        has_parameters = self._is_bsp or world.is_root  # in bsp every rank proves that it has them
        has_state = not self._is_bsp or world.is_root
        dtype, shards = plan.model.layout.dtype, plan.shards
        is_on = self._settings.enabled
        self._parameters = np.zeros(shards.size if is_on and has_parameters else 0, dtype)
        self._versions = np.zeros(shards.count, np.int64)
        self._state_from = update.state if has_state else {}
        self._state = {k: np.zeros(shards.size, dtype) for k in self._state_from} if is_on else {}
        self._reports = Reports(world)
        self._job: _Job | None = None
        self._mark: _Job | None = None
        self._next: Callable[[], dict[str, Any]] | None = None
        self._position = plan.start.position
        self._facts: dict[str, Any] = {}
        self._next_steps = 0
        self._next_s = 0.0
        self._is_judged = True
        self._is_failing = False
        self._plan_next()

    def is_due(self) -> bool:
        """Tell whether it is time for a checkpoint; rank 0 decides. Collective: no."""
        settings = self._settings
        if settings.every_steps is not None:
            return settings.enabled and self._mode.steps_done >= self._next_steps
        return settings.enabled and time.monotonic() >= self._next_s

    def take(self, position: Position, totals: Totals) -> None:
        """Copy everything at the cut; all ranks are at rest until they have met.

        What was begun before is settled.

        Args:
            position: of all ranks.
            totals: of all ranks since the start of the run; rank 0's counts.

        Collective: no.
        """
        self._plan_next()
        if not self._settings.enabled or position.steps == self.taken_steps:
            return
        self._copy()
        self._position, self.taken_steps = position, position.steps
        seen = self._best.seen
        self._next = lambda: self._write(position, totals, seen)
        self._facts = {}
        self._is_judged = not (self._world.is_root and self._settings.keep_best)

    def begin_writing(self, stop_s: float) -> None:
        """Begin to write what ``take`` has copied, if anything; training goes on meanwhile.

        Args:
            stop_s: for how long training stood still, for the log.

        Collective: no; every rank does it after all have copied.
        """
        if self._next is not None:
            self._facts["stop_s"] = stop_s
            self._reports.expect()
            self._job, self._next = _Job(self._next), None

    def judge(self) -> None:
        """Evaluate the copy on rank 0 where the best checkpoints are kept; training goes on.

        Collective: no.
        """
        if not self._is_judged:
            means, name = self._evaluate(self._parameters), self._plan.model.metric_name
            metric = means.get(name)
            is_number = metric is not None and math.isfinite(metric)
            self._facts |= {"metric_name": name, "metric": metric if is_number else None}
            self._is_judged = True

    def poll(self) -> None:
        """See how the writing goes and do what is next; returns at once.

        Collective: no.
        """
        if self._job is not None and self._job.is_done:
            if self._mark is None:
                self._report(self._job)
            elif self._mark.is_done:
                self._conclude(self._mark)

    def settle(self) -> None:
        """Wait until the checkpoint that was begun is complete, or has failed.

        Raises:
            StallError: it took much longer than the patience's limit.

        Collective: yes.
        """
        patience = self._world.patience
        slow = Patience(
            warn_s=patience.warn_s, limit_s=patience.limit_s * WRITING_TIMES, speak=patience.speak
        )
        slow.wait_until(self._is_settled, self._describe)

    def _is_settled(self) -> bool:
        self.poll()
        return self._job is None and self._reports.is_complete()

    def _describe(self) -> str:
        world, steps = self._world, self.taken_steps
        missing = self._reports.missing() if world.is_root else []
        if self._job is not None and self._job.is_done and missing:
            names = ", ".join(map(world.named, missing))
            return f"rank 0 waits for {names}, to write the checkpoint at step {steps}"
        return f"rank {world.rank} waits for its own writing of the checkpoint at step {steps}"

    def _plan_next(self) -> None:
        every_steps = self._settings.every_steps or 1
        self._next_steps = (self._mode.steps_done // every_steps + 1) * every_steps
        self._next_s = time.monotonic() + (self._settings.every_s or 0.0)

    def _copy(self) -> None:
        if self._parameters.size:
            self._mode.snapshot_into(self._parameters, self._versions)
        for name, vector in self._state.items():
            copy_into(vector, self._state_from[name])

    def _write(self, position: Position, totals: Totals, seen: Seen) -> dict[str, Any]:
        """Write this rank's files; the body of the thread. Returns its report."""
        report: dict[str, Any] = {"files": {}}
        if self._is_bsp:
            report["digest"] = parameters_sha256(self._parameters)
        began_s = time.perf_counter()
        try:
            self._flush_log()
            path = self._folder.begin(position.steps)
            written = self._write_files(path, position, totals, seen)
            report["files"] = {name: asdict(file) for name, file in written.items()}
        except (CheckpointError, LogError) as error:
            report["error"] = str(error)[:MOST_CHARACTERS]
        report["write_s"] = time.perf_counter() - began_s
        return report

    def _write_files(
        self, path: Any, position: Position, totals: Totals, seen: Seen
    ) -> dict[str, Written]:
        rank, plan, name = self._world.rank, self._plan, rank_file(self._world.rank)
        attributes = rank_attributes(position, rank)
        arrays = rank_arrays(self._state)
        written = {name: write_checkpoint_file(path / name, attributes, arrays)}
        if self._world.is_root:
            layout, count = plan.model.layout, plan.shards.count
            life, terms = plan.start.life, self._terms
            attributes = state_attributes(position, totals, self._run_id, life, terms, seen)
            arrays, offsets = state_arrays(layout, self._parameters, position, count)
            written[STATE] = write_checkpoint_file(path / STATE, attributes, arrays, offsets)
        return written

    def _report(self, job: _Job) -> None:
        if not self._world.is_root:
            self._reports.send(job.outcome)
            self._tell_digest(job.outcome)
            self._job = None
        elif self._reports.is_complete():
            self.judge()  # at the end of a life
            reports = [job.outcome, *self._reports.all()]
            self._mark = _Job(lambda: self._complete(reports))

    def _complete(self, reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write the completion mark and prune; the body of a thread on rank 0."""
        errors = [report["error"] for report in reports if "error" in report]
        digests = {report["digest"] for report in reports if "digest" in report}
        if len(digests) > 1:
            return {"mismatch": True}
        outcome: dict[str, Any] = {}
        if not errors:
            try:
                outcome["name"] = self._mark_complete(reports)
                self._prune()
            except CheckpointError as error:
                errors.append(str(error))
        if errors:
            outcome["error"] = errors[0]
            with suppress(CheckpointError):  # what was begun takes room
                self._folder.clear_debris()
        return outcome

    def _mark_complete(self, reports: Sequence[Mapping[str, Any]]) -> str:
        files = {
            name: Written(**values)
            for report in reports
            for name, values in report["files"].items()
        }
        facts = {"run_id": self._run_id, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        facts |= {
            name: self._facts[name] for name in ("metric_name", "metric") if name in self._facts
        }
        life = self._plan.start.life
        return self._folder.mark_complete(self._position.steps, life, files, facts).name

    def _prune(self) -> None:
        settings = self._settings
        is_larger = settings.best == "largest"
        self._folder.prune(settings.keep, settings.keep_best, larger_is_better=is_larger)

    def _conclude(self, mark: _Job) -> None:
        assert self._job is not None
        outcome, report = mark.outcome, self._job.outcome
        self._job = self._mark = None
        self._tell_digest(report)
        steps = self._position.steps
        if "name" in outcome:
            self.newest, self.newest_steps = outcome["name"], steps
        if outcome.get("mismatch"):
            self.trouble = f"the ranks hold different parameters at step {steps}; this is a bug"
        elif "error" in outcome:
            self._fail(outcome["error"])
        else:
            self._is_failing = False
            detail = {"steps": steps, "name": self.newest, "write_s": report["write_s"]}
            self._tell("checkpoint", detail | self._facts)

    def _fail(self, reason: str) -> None:
        if self._settings.on_error == "stop":
            self.trouble = reason
        elif not self._is_failing:
            newest = f"the newest good checkpoint is {self.newest}"
            how = "training goes on (checkpoint.on_error)"
            self._world.speak(f"warning: {reason}; {newest}; {how}")
        self._is_failing = True
        self.taken_steps = self.newest_steps  # it may be tried again at the same step

    def _tell_digest(self, report: Mapping[str, Any]) -> None:
        if "digest" in report:
            detail = {"parameters_sha256": report["digest"], "steps": self._position.steps}
            self._tell("digest", detail)


class _Job:
    """Work in a thread of its own; what it returns, or the error that it died of."""

    def __init__(self, work: Callable[[], dict[str, Any]]) -> None:
        self.outcome: dict[str, Any] = {}
        self._work = work
        self._thread = Thread(target=self._run, name="mpitrain-checkpoint", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.outcome = self._work()
        except BaseException as error:  # a thread must not die unheard
            text = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
            self.outcome = {"error": text, "files": {}, "write_s": 0.0}
