"""One rank's part in one life of a run: open everything, train, evaluate, say what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.build import open_exchange
from mpitrain.comm.host_clock import HostClock
from mpitrain.comm.world import World
from mpitrain.core.arrays import copy_into, module_of, to_host
from mpitrain.core.batch import Batch
from mpitrain.core.errors import MpitrainError, agreed
from mpitrain.modes.record import StepRecord
from mpitrain.plan import Plan
from mpitrain.result import Result, parameters_sha256
from mpitrain.running.beginning import first_words
from mpitrain.running.best import Best, Seen
from mpitrain.running.bookkeeping import log_attributes, open_log
from mpitrain.running.checkpoint_content import read_optimizer_into
from mpitrain.running.checkpointing import Checkpointer
from mpitrain.running.coherence import Coherence
from mpitrain.running.csv_sink import CsvSink
from mpitrain.running.deadline import earliest_deadline
from mpitrain.running.ending import Ending, last_words, result_facts
from mpitrain.running.evaluation import Evaluator, Regularly
from mpitrain.running.figures import Figures
from mpitrain.running.loader import Loader
from mpitrain.running.log_keeper import LogKeeper
from mpitrain.running.meeting import Meeting
from mpitrain.running.pieces import Pieces
from mpitrain.running.progress_line import Progress
from mpitrain.running.recorder import Recorder, Sink
from mpitrain.running.resuming import Resumption, terms_of
from mpitrain.running.straggler import Injector, make_injector
from mpitrain.running.supervision import Supervision
from mpitrain.running.tensorboard_sink import TensorboardSink
from mpitrain.running.totals import Totals
from mpitrain.running.training import ComputeGradient, Load, Observer, train_steps
from mpitrain.running.wording import coherence_line, early_stop_reason
from mpitrain.segments import unlink_segments
from mpitrain.slurm import Slurm
from mpitrain.stop import Stop
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.null_log import NullLog
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.storage.staleness_log import LogWriter

EVALUATION_TIMES = 10.0  # patience for the evaluation at the end, in mode.limit_s


class Session:
    """One rank's part in one life of a run.

    Attributes:
        world: the ranks.
        plan: what is trained.
        directory: of the run.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        directory: RunDirectory,
        run_id: str,
        stop: Stop,
        resumption: Resumption | None = None,
    ) -> None:
        """Open what the life needs between the ranks.

        Collective: yes.
        """
        self.world, self.plan, self.directory = world, plan, directory
        self._run_id = run_id
        self._stop = stop
        self._earlier = Totals() if resumption is None else resumption.totals
        self._best = Best.of(plan.config, Seen() if resumption is None else resumption.seen)
        self._began_s = time.monotonic()
        self._supervision = Supervision(world, plan, directory)
        self._clock = HostClock(world)
        self._exchange = open_exchange(world, plan, world.patience)
        self._mode = self._exchange.mode
        unlink_segments()  # all ranks have mapped them; an abort would leave them behind
        if resumption is not None:
            self._read_optimizer(resumption)
        self._errors: dict[str, Any] = {**np.geterr()} if plan.has_own_code else {}
        self._evaluator = Evaluator(
            self._mode, plan.model, plan.source, plan.shards, self._errors, plan.twin.xp
        )
        is_needed = plan.config.log.on_error == "stop"
        self._log = LogKeeper(
            self._open_log(), self._lose_log, self._clock.now, is_needed=is_needed
        )
        self._checkpointer = self._make_checkpointer()
        self._meeting = self._make_meeting()
        self._mode.wants_meeting = self._meeting.is_wanted
        self._evaluator.note = self._supervision.note
        self._progress: Progress | None = None
        self._recorder: Recorder | None = None
        self._endings: list[Ending] = []

    def run(self) -> Result:
        """Train to the end.

        Collective: yes.
        """
        self._announce()
        self._supervision.watch()
        try:
            with (
                self._log,  # on an error it is closed as the log of a rank that was cut off
                np.errstate(all="ignore"),  # the step says by itself what is not finite
            ):
                self._mode.put(self.plan.initial)
                self._tell_start()
                if self._best.seen.has_ended:
                    self._meeting.end_at_once()
                else:
                    self._train()
                facts, parameters = self._conclude()
            self._meeting.close()
        except BaseException as error:
            are_all_here = isinstance(error, MpitrainError) and error.is_agreed
            if are_all_here or self.world.size == 1:
                self._close()
            raise
        finally:
            self._supervision.close()
            for teller in (self._progress, self._recorder):
                if teller is not None:
                    teller.close()
        self._close()
        if self.world.is_root:
            self._speak_last_words(facts)
        return Result(facts=facts, parameters=parameters)

    @property
    def early_stop(self) -> str:
        """Why the evaluations ended the run, as rank 0 knows it; empty where they did not."""
        seen, name = self._meeting.early_stop, self.plan.model.metric_name
        if seen is None:
            return ""
        steps, delta = self._meeting.totals.num_steps, self.plan.config.run.early_stop_delta
        return early_stop_reason(seen, name, steps=steps, delta=delta)

    def _close(self) -> None:
        self._supervision.end()
        self._exchange.close()

    def _train(self) -> None:
        """Train, from a first checkpoint on."""
        world, plan, mode = self.world, self.plan, self._mode
        start = plan.start.position
        if start.steps == 0:
            self._checkpointer.take(start, self._earlier)
            world.meet("all ranks have copied what the first checkpoint saves")
            self._checkpointer.begin_writing(0.0)
            self._checkpointer.judge()
        load, compute_gradient = self._load_and_compute()
        train_steps(
            mode,
            load,
            compute_gradient,
            self._clock.now,
            StepRecord(plan.shards.count),
            self._meeting,
            injector=self._make_injector(),
            observers=self._observers(),
            note=self._supervision.note,
        )

    def _load_and_compute(self) -> tuple[Load, ComputeGradient]:
        """Return what a step asks of data and model; in a user's code NumPy warns as before."""
        plan, mode = self.plan, self._mode
        dtype, xp = plan.model.layout.dtype, plan.twin.xp
        loader = Loader(plan.source, plan.order, dtype, self.world.size, xp)
        parameters = plan.model.layout.views(mode.parameters)
        gradient = plan.model.layout.views(mode.gradient)
        compute = plan.model.loss_and_gradient
        size = plan.config.data.micro_batch_size
        if size is not None and size < plan.order.batch_size:
            compute = Pieces(plan.model, size, mode.gradient).loss_and_gradient

        def compute_gradient(batch: Batch) -> float:
            loss = compute(parameters, batch, gradient)
            plan.twin.wait()  # or what is under way would count as the exchange's time
            return loss

        if not plan.has_own_code:
            return loader.load, compute_gradient
        as_before = np.errstate(**self._errors)
        return as_before(loader.load), as_before(compute_gradient)

    def _make_checkpointer(self) -> Checkpointer:
        plan = self.plan

        def evaluate(parameters: npt.NDArray[Any]) -> dict[str, float]:
            return self._evaluator.means_of(parameters)

        return Checkpointer(
            self.world,
            plan,
            self._mode,
            self._exchange.update,
            Checkpoints(self.directory.checkpoints),
            self._run_id,
            terms_of(plan.config),
            best=self._best,
            flush_log=self._log.sync,
            evaluate=evaluate,
            tell=self._log.event,
        )

    def _make_meeting(self) -> Meeting:
        gradient = self._mode.gradient
        job = Slurm.from_environ(os.environ) if self.world.is_root else None
        deadline = earliest_deadline(self.plan.config, self._began_s, job)
        return Meeting(
            self.world,
            self._mode,
            self._checkpointer,
            self._stop,
            best=self._best,
            earlier=self._earlier,
            deadline=deadline,
            event=self._log.event,
            note=self._supervision.note,
            gradient_is_finite=lambda: bool(module_of(gradient).isfinite(gradient).all()),
            place=str(self.directory.root),
        )

    def _read_optimizer(self, found: Resumption) -> None:
        checkpoint, old = found.checkpoint, found.old
        if checkpoint is None or old is None:
            return
        new, rank = self.plan.start.position, self.world.rank
        state = self._exchange.update.state
        read = {name: to_host(vector) for name, vector in state.items()}
        self.world.agree(lambda: read_optimizer_into(checkpoint, old, new, rank, read))
        for name, vector in read.items():
            copy_into(state[name], vector)

    def _lose_log(self, reason: str) -> None:
        """Stop or go on, as the run file says, when the log of this rank cannot be written."""
        if self.plan.config.log.on_error == "stop":
            self._meeting.note_trouble(reason)
        else:
            self.world.speak(f"warning: {reason}; training goes on without it (log.on_error)")

    def _tell_start(self) -> None:
        start = self.plan.start
        if start.life:
            detail = {"checkpoint": start.checkpoint, "steps": start.position.steps}
            self._log.event("resume", detail | {"life": start.life})

    def _make_injector(self) -> Injector | None:
        settings = self.plan.config.straggler
        injector = make_injector(settings, self.plan.config.run.seed, self.world.rank)
        if injector is not None:
            detail = {"kind": settings.kind, "delay": injector.mean_delay, "unit": settings.unit}
            self._log.event("straggler", detail)
        return injector

    def _observers(self) -> tuple[Observer, ...]:
        config, plan = self.plan.config, self.plan
        observers: list[Observer] = [self._log]
        if self.world.is_root:
            run, total = config.run, plan.work.total_steps
            first = plan.start.position.steps
            batch_size = plan.order.batch_size
            self._progress = Progress(self._mode, first, total, batch_size, run.progress_every_s)
            observers.append(self._progress)
            self._recorder = self._make_recorder()
            if self._recorder is not None:
                observers.append(self._recorder)
            observers += self._regular_observers(first, total)
        return tuple(observers)

    def _regular_observers(self, first: int, total: int) -> Iterator[Observer]:
        """Yield what looks at the parameters now and then; for rank 0."""
        run, mode, plan = self.plan.config.run, self._mode, self.plan
        if run.evaluate_every:

            def evaluate() -> None:
                self._tell_evaluation(self._evaluator.outcome())

            yield Regularly(mode, run.evaluate_every, first, total, evaluate)
        if run.coherence_every:
            coherence = Coherence.of(mode, plan)
            coherence.note = self._supervision.note

            def measure() -> None:
                self._tell_coherence(coherence.outcome())

            yield Regularly(mode, run.coherence_every, first, total, measure)

    def _make_recorder(self) -> Recorder | None:
        """Return what writes figures for other programs, if any is asked for; for rank 0."""
        config, start, root = self.plan.config, self.plan.start, self.directory.root
        life, steps = start.life, start.position.steps
        makers: list[Callable[[], Sink]] = []
        if config.log.csv:
            makers.append(lambda: CsvSink(root, life))
        if config.log.tensorboard:
            makers.append(lambda: TensorboardSink(root, life, steps))
        if not makers:
            return None
        every_s = config.run.progress_every_s
        return Recorder(
            makers,
            Figures(self._mode, steps, self.plan.order.batch_size, every_s),
            lambda: self._mode.steps_done,
            self.plan.order.num_samples_before,
            lambda: self._earlier.seconds + self._clock.now(),
            self.world.speak,
        )

    def _tell_evaluation(self, outcome: Mapping[str, Any]) -> None:
        self._log.event("evaluation", outcome)
        self._best.look(outcome["steps"], outcome.get(self.plan.model.metric_name))
        for teller in (self._progress, self._recorder):
            if teller is not None:
                teller.tell(outcome)

    def _tell_coherence(self, outcome: Mapping[str, Any]) -> None:
        self._log.event("coherence", outcome)
        if self._progress is not None:
            self._progress.say(coherence_line(outcome))

    def _conclude(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Evaluate the final parameters and check that every rank has the same."""
        world, mode, model = self.world, self._mode, self.plan.model
        final = self._evaluator.parameters
        mode.snapshot_into(final, self._evaluator.versions)
        digest = parameters_sha256(final)
        self._log.event("digest", {"parameters_sha256": digest})
        is_lost = self.plan.config.log.enabled and not self._log.is_writing
        spent_s = self._evaluator.spent_s
        ending = Ending.here(digest, log_is_lost=is_lost, evaluated_s=spent_s)
        self._endings = world.gather_obj(ending)
        if len({ending.digest for ending in self._endings}) > 1:
            message = "the ranks ended with different parameters; this is a bug or a broken MPI"
            raise agreed(MpitrainError(message))
        if self._progress is not None:
            self._progress.finish()
        outcome: dict[str, Any] = {}
        if world.is_root:
            outcome = self._evaluator.outcome()
            self._tell_evaluation(outcome)
        mine = outcome, self._best.seen
        outcome, seen = world.gather_obj(mine, "rank 0 has evaluated", times=EVALUATION_TIMES)[0]
        facts = result_facts(
            self.plan,
            self._meeting.totals,
            outcome,
            seen,
            ranks=world.size,
            digest=digest,
            ended_early=self._meeting.early_stop is not None,
            directory=str(self.directory.root),
        )
        return facts, {k: v.copy() for k, v in model.layout.views(final).items()}

    def _speak_last_words(self, facts: Mapping[str, Any]) -> None:
        meeting, world = self._meeting, self.world
        lines = last_words(
            self.plan,
            facts,
            meeting.totals,
            meeting.parts,
            world.hosts,
            self._endings,
            self.early_stop,
        )
        for line in lines:
            world.speak(line)

    def _open_log(self) -> LogWriter | NullLog:
        exchange, plan, world = self._exchange, self.plan, self.world
        attributes = {
            **log_attributes(world, plan),
            "run_id": self._run_id,
            "window_mechanism": exchange.window_mechanism,
            "progress_remedy": exchange.progress_remedy,
            "device_exchange": exchange.device_exchange,
            "clock_error_s": self._clock.error_s,
        }
        return world.agree(lambda: open_log(world, plan, self.directory, attributes))

    def _announce(self) -> None:
        if self.world.is_root:
            in_job = Slurm.from_environ(os.environ) is not None
            way, logs = self._exchange.device_exchange, self._log.is_writing
            for line in first_words(self.plan, way, in_job=in_job, is_logged=logs):
                self.world.speak(line)
