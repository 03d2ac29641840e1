"""Where this rank is, for the others and for afterwards; and a watch over steps that never end."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial

from mpitrain.comm.world import World
from mpitrain.core.phases import COMPUTE, END
from mpitrain.launch_note import note_run_directory
from mpitrain.plan import Plan
from mpitrain.running.bookkeeping import write_failure
from mpitrain.storage.last_seen import LastSeen, last_seen_path, place_and_age, read_last_seen
from mpitrain.storage.run_directory import RunDirectory
from mpitrain.watch import WATCHED, Watch


class Supervision:
    """Says what this rank is doing, and ends the job when it does one thing for too long."""

    def __init__(self, world: World, plan: Plan, directory: RunDirectory) -> None:
        """Begin to write where this rank is; from now on ``world.last_seen`` reads the others.

        Collective: yes.
        """
        self._world, self._plan, self._directory = world, plan, directory
        self._watch: Watch | None = None
        self._seen: LastSeen | None = None
        life = plan.start.life
        folder = directory.life_directory(life)
        with suppress(OSError):  # a log that cannot be written says so itself
            folder.mkdir(parents=True, exist_ok=True)
            path = last_seen_path(folder, world.rank)
            self._seen = LastSeen(path, world.rank, world.host, life)
        world.meet("all ranks say where they are")
        if world.is_root:
            note_run_directory(os.environ, directory.root, folder, life)

        def text(rank: int) -> str:
            found = read_last_seen(last_seen_path(folder, rank))
            return "" if found is None else place_and_age(found)

        world.last_seen = text

    def note(self, phase: int, clock: int) -> None:
        """Say that a phase begins."""
        if self._seen is not None:
            self._seen.note(phase, clock)

    def watch(self) -> None:
        """Watch the steps of this rank, where it is not alone.

        In synchronous training the write phase waits for others, who have their own patience.
        """
        world, mode, seen = self._world, self._plan.config.mode, self._seen
        if world.size > 1 and seen is not None:
            watched = (COMPUTE,) if mode.kind == "bsp" else WATCHED
            who = f"rank {world.rank} of {world.size} on {world.host}"
            place = partial(getattr, seen, "place")
            self._watch = Watch(who, place, mode.limit_s, self._end, watched=watched)

    def end(self) -> None:
        """Say that this rank has come to its end; nothing is watched or noted after it."""
        self.close()
        if self._seen is not None:
            self._seen.note(END, self._seen.place[1])
            self._seen.close()

    def close(self) -> None:
        """End the watch; a second call does nothing."""
        if self._watch is not None:
            self._watch.close()

    def _end(self, line: str) -> None:
        write_failure(self._directory, self._plan.start.life, line)
        self._world.abort()
