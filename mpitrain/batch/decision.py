"""What a job does after a life of its run: end, go on in the same job again, or give up.

Pure. Exit codes are not trusted, for launchers and Slurm make their own: what counts is what the
life left in the run directory. A life that leaves a newer checkpoint than the one before has got
somewhere, and what ended it does not matter; a few that get nowhere in a row end the chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from mpitrain.core.errors import FAILED, STOPPED, USER_MISTAKE

DONE, STOP, FAIL, KILLED, NEVER = "done", "stopped", "failed", "killed", "never began"
TIME_LIMIT, PREEMPTION, SIGNAL, LIFE_LIMIT = "time limit", "preemption", "signal", "run.limit_s"
LOST, CANCELLED, MISTAKE = "a lost rank or node", "cancelled", "mistake"
REQUEUE = "Slurm's requeue"  # by scontrol, or because a node was lost
COUNTED = (TIME_LIMIT, SIGNAL, LIFE_LIMIT)
"""What counts towards the largest number of requeues; nobody has a say in the others."""
NO_FAULT = (PREEMPTION, REQUEUE)
"""Slurm ends lives so for others' sake; that they got nowhere tells nothing of the run."""
NEAR_S = 600.0  # a signal that comes so long before the limit comes because of it
MOST_IDLE = 3
MOST_ATTEMPTS = 3
AGAIN = 75  # exit code; EX_TEMPFAIL of sysexits.h


@dataclass(frozen=True, kw_only=True)
class After:
    """What is known after a life.

    Attributes:
        outcome: of the life: DONE, STOP, FAIL, KILLED (it left no word) or NEVER (began).
        reason: what status.json says of it.
        exit_code: of the launcher.
        signal: that the job script got, for example "USR1"; empty without one.
        is_preempted: a job of higher rank takes the nodes.
        is_cancelled: somebody ended the job.
        has_lost_node: one of the job's nodes went down.
        is_requeued: Slurm has put it back into the queue already.
        left_s: until the job's time limit; None without one.
        steps: of the newest checkpoint, -1 where there is none.
        steps_before: of the newest checkpoint when the life before ended, -1 likewise.
        has_failed_before: so did the life before.
        num_idle: lives in a row before this one that got nowhere.
        num_requeues: of the causes that count.
        most_requeues: as many of these are allowed.
        may_requeue: this job is the one to go on; else one that was submitted to follow it is.
    """

    outcome: str
    reason: str = ""
    exit_code: int = 0
    signal: str = ""
    is_preempted: bool = False
    is_cancelled: bool = False
    has_lost_node: bool = False
    is_requeued: bool = False
    left_s: float | None = None
    steps: int = -1
    steps_before: int = -1
    has_failed_before: bool = False
    num_idle: int = 0
    num_requeues: int = 0
    most_requeues: int = 0
    may_requeue: bool = True

    @property
    def is_idle(self) -> bool:
        """Whether this life got nowhere."""
        return self.steps <= self.steps_before


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do.

    Attributes:
        goes_on: the run is to go on: in this job, put back into the queue, or in another one.
        cause: why the life ended.
        code: exit code of the job where it is not put back.
        text: for people.
    """

    goes_on: bool
    cause: str
    code: int
    text: str


def decide(after: After) -> Decision:
    """Decide what a job does after a life of its run."""
    cause = cause_of(after)
    if after.outcome == DONE:
        return Decision(goes_on=False, cause=cause, code=0, text="the run is done")
    code = STOPPED if after.outcome == STOP else FAILED
    why_not = reason_to_end(after, cause)
    if cause == MISTAKE:
        code = USER_MISTAKE
    place = f"step {after.steps}" if after.steps >= 0 else "the beginning"
    if why_not:
        text = f"not requeued ({cause}): {why_not}; the run is at {place}"
        return Decision(goes_on=False, cause=cause, code=code, text=text)
    if after.may_requeue or after.is_requeued:
        text = f"requeued ({cause}); goes on from {place}"
    else:
        text = f"ended ({cause}); another job may go on from {place}"
    return Decision(goes_on=True, cause=cause, code=code, text=text)


def is_worth_another_attempt(after: After, attempt: int) -> bool:
    """Tell whether the ranks may be started again at once, in the same allocation.

    A launcher may fail before any rank runs; PMIx does on a node that still has the files of a step
    of the same number, from before its power was cut. The next step has another number.

    Args:
        after: what is known after the last attempt.
        attempt: its number, from 1.
    """
    is_lost = cause_of(after) == LOST and not after.has_lost_node  # that ends the job as well
    return is_lost and after.outcome == NEVER and attempt < MOST_ATTEMPTS


def cause_of(after: After) -> str:
    """Return why a life ended."""
    if after.outcome == DONE:
        return DONE
    if after.is_preempted:
        return PREEMPTION
    if after.is_requeued:
        return REQUEUE
    if after.is_cancelled:
        return CANCELLED
    if after.has_lost_node:
        return LOST
    if after.outcome == NEVER and after.exit_code == USER_MISTAKE:
        return MISTAKE
    if after.outcome == FAIL:
        return FAIL
    said = after.reason if after.outcome == STOP else ""
    if "Slurm's limit" in said:
        return TIME_LIMIT
    if after.signal or "(signal " in said:
        is_near = after.left_s is not None and after.left_s <= NEAR_S
        return TIME_LIMIT if is_near else SIGNAL
    return LIFE_LIMIT if after.outcome == STOP else LOST


def reason_to_end(after: After, cause: str) -> str:
    """Return why the job must not go on; nothing where it may."""
    if after.is_requeued:  # nobody asks
        return ""
    if cause == CANCELLED:
        return "somebody ended the job"
    if cause == MISTAKE:
        return "the run cannot begin: see 'mpitrain: error' in the job's output"
    if cause == FAIL and after.is_idle and after.has_failed_before:
        return f"it would fail again ({after.reason})"
    if after.is_idle and cause not in NO_FAULT and after.num_idle + 1 >= MOST_IDLE:
        return f"{after.num_idle + 1} lives in a row left no newer checkpoint"
    if after.may_requeue and cause in COUNTED and after.num_requeues >= after.most_requeues:
        return f"{after.num_requeues} requeues were allowed and made"
    return ""
