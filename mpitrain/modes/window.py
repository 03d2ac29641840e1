"""Bounded-staleness and asynchronous training over the parameter window.

One step of one rank:

    start   wait until the rule lets this clock start; draw a ticket
    read    fetch every shard: one consistent snapshot each, with its version
    (the trainer computes the gradient on what was read)
    write   in each shard's write section: staleness from the versions, compensation, optimiser,
            factor, add; then advance the clock

Who writes: every rank, any shard, one at a time per shard. What orders it: a rank's updates are
flushed on every shard before its clock moves, and a rank reads the clocks before it reads shards.
So whoever starts at clock c under bound s finds, in everything it reads then, every update of
every rank with clock <= c - s - 1 (Ho et al. 2013). What is not guaranteed: that the shards of
one read are of one moment, nor which newer updates are in them. That is the staleness; it is
known exactly afterwards, because the write section shows the version it applies to.

Any rank may call a meeting; everybody comes at its next step boundary, those that wait for the
bound and those that have no work left included. A ticket is drawn only behind the boundary, so
that at a meeting every ticket drawn is a step done.

Ranks walk the shards from different starting points, so that they queue less.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mpitrain.comm.clocks import Board
from mpitrain.comm.waiting import Patience
from mpitrain.comm.window import ParameterWindow
from mpitrain.comm.world import World
from mpitrain.consistency.liveness import Liveness
from mpitrain.consistency.rules import Rule
from mpitrain.consistency.staleness import Staleness
from mpitrain.consistency.work import Work
from mpitrain.core.errors import MpitrainError, StallError, agreed
from mpitrain.core.position import Position
from mpitrain.devices.copy_times import CopyWatch
from mpitrain.modes.record import StepRecord
from mpitrain.modes.route import Route
from mpitrain.modes.update import Update

LOOK_EVERY_S = 1.0  # at the clocks of the others, for ranks that stand still
LOOKS = 8  # within the limit, at least


class Windowed:
    """One rank's part in training over the window.

    Attributes:
        parameters: (n,), host or device, what this rank read last.
        gradient: (n,), beside the parameters, the model writes here.
        steps_done: steps finished by all ranks together, as of the last look.
        clock: steps finished by this rank in this era.
        wants_meeting: asked at every boundary and while waiting; cheap.
    """

    def __init__(
        self,
        world: World,
        window: ParameterWindow,
        rule: Rule,
        work: Work,
        update: Update,
        position: Position,
        *,
        patience: Patience,
        route: Route,
    ) -> None:
        """Train on ``window`` under ``rule``.

        Args:
            world: the ranks.
            window: holds the parameters.
            rule: who may start when.
            work: tickets of this run.
            update: this rank's optimiser.
            position: where the ranks start.
            patience: paces the wait for slower ranks.
            route: between the window and the update.
        """
        self.parameters = update.parameters
        self.gradient = update.gradient
        self.steps_done = position.steps
        self.clock = int(position.clocks[world.rank])
        self.wants_meeting: Callable[[], bool] = lambda: False
        self._start = position
        self._is_finished = False
        self._has_called = False
        self._calls_met = 0
        self._world = world
        self._window = window
        self._board = Board(window.words, world.rank, world.size)
        self._rule = rule
        self._work = work
        self._update = update
        self._patience = patience
        self._staleness = Staleness(window.shards.weights())
        self._factors = np.ones(window.shards.count)
        first = world.rank * window.shards.count // world.size
        count = window.shards.count
        self._walk = [(first + step) % count for step in range(count)]
        self._route = route
        self._slowest = 0
        self._liveness = Liveness(world.size, patience.limit_s)
        self._look_every_s = min(LOOK_EVERY_S, patience.limit_s / LOOKS)
        self._next_look_s = 0.0

    @property
    def is_over(self) -> bool:
        """Whether no rank has work left, as of the last look."""
        return bool(self._board.is_finished.all())

    @property
    def calls(self) -> int:
        """Meetings asked for, as of the last look."""
        return self._board.calls

    def put(self, parameters: npt.NDArray[Any]) -> None:
        """Set the parameters to start from; every rank gives the same.

        Collective: yes.
        """
        shards, start, rank = self._window.shards, self._start, self._world.rank
        for shard in shards.owned_by(rank):
            self._window.start_from(shard, parameters[shards.slice(shard)], start.version)
        self._board.set_out(self.clock, start.drawn if self._world.is_root else 0)
        self._world.meet("the parameters to start from are in the window")

    def start(self, record: StepRecord) -> bool:
        """Wait until this rank may start its next step; False where all ranks are to meet first.

        Raises:
            StallError: a slower rank did not move within the patience's limit.

        Collective: no.
        """
        began_s = time.perf_counter()
        self._patience.wait_until(self._may_go_on, self._describe_slowest, self._has_moved)
        record.wait_s = time.perf_counter() - began_s
        if self._is_called or self.is_over:
            return False
        ticket = self._take_ticket()
        if ticket is None:
            return self.start(record)  # wait for the others
        record.clock = self.clock
        record.lead = self.clock - self._slowest
        record.ticket = ticket
        return True

    def read(self, record: StepRecord) -> None:
        """Fetch every shard into ``parameters``, with its version.

        Collective: no.
        """
        began_s = time.perf_counter()
        for shard in self._walk:
            record.version_read[shard] = self._route.read(shard)
        if self._update.predicts:
            for shard in self._walk:
                self._update.predict_shard(shard)
        record.read_s = time.perf_counter() - began_s

    def write(self, record: StepRecord) -> bool:
        """Apply this step's update to every shard and advance the clock.

        Returns whether it was applied: not when the loss or the gradient is not finite.

        Collective: no.
        """
        began_s = time.perf_counter()
        is_good = self._update.begin(record, record.num_samples, record.ticket)
        if not (is_good and math.isfinite(record.loss)):
            return False
        if not self._update.needs_present:  # keep sections short
            self._update.compute()
        self._route.send(self._walk)
        for shard in self._walk:
            self._route.await_change(shard)
            version = self._window.begin_write(shard)
            self._prepare(shard, int(record.version_read[shard]), version)
            self._route.add(shard)
            record.version_written[shard] = self._window.end_write(shard, version)
        self._board.advance()
        self.clock += 1
        self.steps_done += 1  # more may have been done by others meanwhile
        record.note_staleness(self._staleness, self._factors)
        record.update_norm = self._update.norm()
        record.write_s = time.perf_counter() - began_s
        return True

    def snapshot_into(self, out: npt.NDArray[Any], versions: npt.NDArray[np.int64]) -> None:
        """Copy the present parameters and their versions.

        Collective: no.
        """
        self._board.refresh()
        # all of these are in what is read next
        self.steps_done = self._start.era_steps + int(self._board.clocks.sum())
        for shard in self._walk:
            part = out[self._window.shards.slice(shard)]
            versions[shard] = self._window.read_into(shard, part)

    def position(self) -> Position:
        """Return where all ranks stand; they are at rest.

        Raises:
            MpitrainError: a shard's version is not the number of updates since the start.

        Collective: no; every rank gets the same.
        """
        self._board.refresh()
        start, clocks = self._start, self._board.clocks
        wanted = start.version + int(clocks.sum() - start.clocks.sum())
        for shard in range(self._window.shards.count):
            version = self._window.version(shard)
            if version != wanted:
                message = (
                    f"shard {shard} has version {version} after {wanted} updates: "
                    "updates were lost or doubled; this is a bug or a broken MPI"
                )
                raise agreed(MpitrainError(message))
        return start.moved(clocks, wanted, self._work.num_taken(self._board.tickets_drawn))

    def watch_copies(self, watch: CopyWatch) -> None:
        """See Mode. Collective: no."""
        self._route.watch(watch)

    def go_on(self, calls: int) -> None:
        """Go on after a meeting.

        Args:
            calls: those that the meeting answered.

        Collective: no.
        """
        self._calls_met = calls
        self._has_called = False

    def close(self) -> None:
        """Close the window; a second call does nothing.

        Collective: yes.
        """
        self._route.close()
        self._window.close()

    @property
    def _is_called(self) -> bool:
        return self._board.calls > self._calls_met

    def _may_go_on(self) -> bool:
        """Look at the board; tell whether there is something to do but wait."""
        self._slowest = self._board.refresh()
        self.steps_done = self._start.era_steps + int(self._board.clocks.sum())
        self._look_for_silent_ranks()
        if not self._has_called and self.wants_meeting():
            self._board.call()
            self._has_called = True
        if self._is_called or self._is_finished:
            return self._is_called or self.is_over
        is_left = self._work.is_left(self.clock, self._board.tickets_drawn)
        return not is_left or self._rule.may_start(self.clock, self._slowest)

    def _look_for_silent_ranks(self) -> None:
        """Fail when a rank has stood still for too long though it had work and might go on.

        Without a bound nobody waits for such a rank, so nobody else would notice.
        """
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + self._look_every_s
        board, slowest = self._board, self._slowest
        may_start = [self._rule.may_start(clock, slowest) for clock in board.clocks.tolist()]
        late = self._liveness.look(board.clocks, board.is_finished, now_s, np.array(may_start))
        others = [rank for rank in late if rank != self._world.rank]
        if others:
            names = ", ".join(map(self._world.named, others))
            message = f"{names} took no step for {self._patience.limit_s:g} s (mode.limit_s)"
            raise StallError(message)

    def _has_moved(self) -> bool:
        """Tell whether patience starts anew: for a rank that only waits for the others' end."""
        return self._is_finished and self._board.has_moved

    def _take_ticket(self) -> int | None:
        ticket = None
        if self._work.is_left(self.clock, self._board.tickets_drawn):
            ticket = self._work.take(self.clock, self._world.rank, self._board.draw_ticket)
        if ticket is None:
            self._board.finish()
            self._is_finished = True
        return ticket

    def _describe_slowest(self) -> str:
        world = self._world
        names = ", ".join(world.named(p) for p in self._board.slowest_ranks().tolist())
        return f"rank {world.rank} waits at clock {self.clock} for {names} at clock {self._slowest}"

    def _prepare(self, shard: int, version_read: int, version_present: int) -> None:
        """Finish the change of one shard, inside its write section."""
        tau = self._staleness.of_write(shard, version_read, version_present)
        present = self._route.present(shard) if self._update.needs_present else None
        self._factors[shard] = self._update.finish_shard(shard, tau, present)
