"""The ranks of one job: our own communicator, and meetings that name who is late.

The caller's communicator is duplicated, so our messages never meet theirs. Blocking collectives
spin and cannot say whom they wait for; ``meet`` is a barrier that polls, gives the core away, and
after ``warn_s`` names the late rank. Whatever blocking collective follows it at once is short.

How a meeting knows who is late: every rank sends a token to its right neighbour and receives one
from its left. Of the ranks that have arrived, one has a left neighbour that has not: it speaks.
Tokens come from a stated source; receives from any source hang on several MPICH versions.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import numpy as np
from mpi4py import MPI

from mpitrain.comm.waiting import Patience
from mpitrain.core.console import tell
from mpitrain.core.cores import own_cores
from mpitrain.core.errors import FAILED, USER_MISTAKE, ClosedError, MpitrainError, UserError, agreed

T = TypeVar("T")
TOKEN_TAG = 1
LAST_WORDS_S = 0.2  # for the launcher to pass on what was written: an abort may overtake it
START_UP_WARN_S = 30.0
START_UP_LIMIT_S = 600.0
THREAD_LEVELS = {
    MPI.THREAD_SINGLE: "single",
    MPI.THREAD_FUNNELED: "funneled",
    MPI.THREAD_SERIALIZED: "serialized",
    MPI.THREAD_MULTIPLE: "multiple",
}


class World:
    """The ranks, seen from one of them.

    Attributes:
        comm: our duplicate of the caller's communicator.
        rank: this rank.
        size: number of ranks.
        host: name of this rank's host.
        cores: that this rank may run on, "0-3,8"; empty where the system does not say.
        hosts: name of every rank's host, by rank.
        local_rank: number of this rank among those that share memory with it, its node's.
        local_size: number of those.
        patience: paces meetings; the trainer replaces it by the run file's.
        last_seen: tells in a few words where a rank was last seen; the trainer replaces it.
    """

    def __init__(self, comm: MPI.Intracomm | None = None) -> None:
        """Duplicate ``comm`` (default: all ranks) and learn who runs where.

        Collective: yes.
        """
        comm = MPI.COMM_WORLD if comm is None else comm
        self.rank = comm.Get_rank()
        self.size = comm.Get_size()
        self.last_seen: Callable[[int], str] = lambda _rank: ""
        self.patience = Patience(warn_s=START_UP_WARN_S, limit_s=START_UP_LIMIT_S, speak=self.speak)
        ours, request = comm.Idup()
        self.patience.wait_until(
            request.Test, lambda: f"rank {self.rank} waits for other ranks to start training"
        )
        self._comm: MPI.Intracomm | None = ours
        self._sent = np.zeros(1, np.int64)
        self._received = np.zeros(1, np.int64)
        self.host = socket.gethostname()
        self.cores = own_cores()
        self.hosts: list[str] = self.comm.allgather(self.host)
        self.local_rank, self.local_size = _place_on_node(self.comm)

    @property
    def comm(self) -> MPI.Intracomm:
        """Our communicator.

        Raises:
            ClosedError: after close.
        """
        if self._comm is None:
            message = "the communicator is already closed"
            raise ClosedError(message)
        return self._comm

    @property
    def is_root(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0

    @property
    def library(self) -> str:
        """Name and version of the MPI library that was really loaded."""
        first = MPI.Get_library_version().replace("\0", "").partition("\n")[0]
        return " ".join(first.partition(",")[0].split())

    @property
    def thread_level(self) -> str:
        """Thread level MPI was started with, for example "multiple"."""
        return THREAD_LEVELS[MPI.Query_thread()]

    def meet(self, purpose: str, *, times: float = 1.0) -> None:
        """Wait until every rank is here.

        Args:
            purpose: what follows, for the message: "waiting for rank 3, until <purpose>".
            times: multiplies the patience, where a rank may rightly take longer than a step.

        Raises:
            StallError: a rank did not come within the patience's limit.

        Collective: yes.
        """
        if self.size == 1:
            return
        right, left = (self.rank + 1) % self.size, (self.rank - 1) % self.size
        token = self.comm.Irecv([self._received, 1, MPI.INT64_T], left, TOKEN_TAG)
        sent = self.comm.Isend([self._sent, 1, MPI.INT64_T], right, TOKEN_TAG)
        barrier = self.comm.Ibarrier()
        self.wait_for(barrier, token, purpose, times=times)
        MPI.Request.Waitall([token, sent])

    def wait_for(
        self, collective: MPI.Request, token: MPI.Request, purpose: str, *, times: float = 1.0
    ) -> None:
        """Poll ``collective`` to its end; ``token`` is what the left neighbour sends on arrival.

        Raises:
            StallError: it did not end within the patience's limit.

        Collective: yes.
        """

        def describe() -> str:
            if token.Get_status():
                return f"rank {self.rank} waits for other ranks, until {purpose}"
            late = (self.rank - 1) % self.size
            return f"rank {self.rank} waits for {self.named(late)}, until {purpose}"

        def speak(line: str) -> None:
            if not token.Get_status():  # only who sees the late rank speaks
                self.speak(line)

        patience = Patience(
            warn_s=self.patience.warn_s, limit_s=self.patience.limit_s * times, speak=speak
        )
        patience.wait_until(collective.Test, describe)

    def from_root(self, make: Callable[[], T]) -> T:
        """Run ``make`` on rank 0 and return its (pickled) result on every rank.

        Raises:
            UserError: on every rank, when ``make`` raised one.

        Collective: yes.
        """
        outcome: tuple[T | None, str | None] = (None, None)
        if self.is_root:
            try:
                outcome = (make(), None)
            except UserError as error:
                outcome = (None, str(error))
        self.meet("rank 0 has decided")
        result, mistake = self.comm.bcast(outcome, root=0)
        if mistake is not None:
            raise agreed(UserError(mistake))
        return cast("T", result)

    def agree(self, make: Callable[[], T]) -> T:
        """Run ``make`` on every rank; a user mistake on any becomes one on all.

        Returns:
            this rank's own result.

        Raises:
            UserError: on every rank, with the message of the lowest rank that had one.

        Collective: yes.
        """
        result: T | None = None
        mistake: str | None = None
        try:
            result = make()
        except UserError as error:
            mistake = str(error)
        self.meet("all ranks have checked their input")
        mistakes = [text for text in self.comm.allgather(mistake) if text is not None]
        if mistakes:
            raise agreed(UserError(mistakes[0]))
        return cast("T", result)

    def gather_obj(
        self, item: T, purpose: str = "values are gathered", *, times: float = 1.0
    ) -> list[T]:
        """Return every rank's ``item``, by rank, on every rank (pickled: not inside a step).

        Args:
            item: anything small.
            purpose: see ``meet``.
            times: see ``meet``.

        Collective: yes.
        """
        self.meet(purpose, times=times)
        return self.comm.allgather(item)

    def check_equal(self, facts: dict[str, str]) -> None:
        """Check that every rank has the same ``facts``.

        Raises:
            UserError: on every rank, naming the first fact that differs and a rank that differs.

        Collective: yes.
        """
        everyone = self.gather_obj(facts, "the ranks compare what they are to train")
        for rank, theirs in enumerate(everyone):
            for name, value in theirs.items():
                if value != everyone[0][name]:
                    message = (
                        f"{name} must be the same on every rank, "
                        f"but ranks 0 and {rank} have different ones"
                    )
                    raise agreed(UserError(message))

    def named(self, rank: int) -> str:
        """Return rank, host and, where it is known, what the rank was last seen doing."""
        seen = self.last_seen(rank)
        return f"rank {rank} on {self.hosts[rank]}" + (f" ({seen})" if seen else "")

    def speak(self, line: str) -> None:
        """Write one line for people; any rank may."""
        tell(f"mpitrain: {line}\n")

    def close(self) -> None:
        """Free our communicator; a second call does nothing.

        Collective: yes.
        """
        if self._comm is not None:
            self.meet("all ranks are done")
            self._comm.Free()
            self._comm = None

    def abort(self, code: int = 1) -> None:
        """End every rank of the job with exit code ``code``, when its last words are through.

        Does not return.

        Collective: no.
        """
        time.sleep(LAST_WORDS_S)
        MPI.COMM_WORLD.Abort(code)
        os._exit(code)  # Abort does not return; if it did, never go on alone


def _place_on_node(comm: MPI.Intracomm) -> tuple[int, int]:
    """Return this rank's number on its node, and how many there are. Collective: yes."""
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    place = node.Get_rank(), node.Get_size()
    node.Free()
    return place


@contextmanager
def all_stop_when_one_fails(world: World) -> Iterator[None]:
    """End the whole job when this rank raises, after printing its traceback.

    Without it the other ranks would wait for ever in a lock, a collective or the bounded wait.
    Errors that every rank raises at the same place pass. With one rank everything passes.
    """
    try:
        yield
    except BaseException as error:
        if world.size == 1 or (isinstance(error, MpitrainError) and error.is_agreed):
            raise
        tell(_last_words(world, error))
        world.abort(USER_MISTAKE if isinstance(error, UserError) else FAILED)


def _last_words(world: World, error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "mpitrain: interrupted\n" if world.is_root else ""
    who = f"rank {world.rank} of {world.size} on {world.host}"
    if isinstance(error, MpitrainError):  # says by itself what is wrong
        return f"mpitrain: error: {who}: {error}\n"
    text = "".join(traceback.format_exception(error))
    return f"mpitrain: error: {who} failed, all ranks stop\n{text}"
