"""The end of a life in a Slurm job: look at what it left, decide, write it down, and requeue."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mpitrain.batch import chain, ledger, queue
from mpitrain.batch.decision import (
    AGAIN,
    DONE,
    FAIL,
    KILLED,
    MOST_ATTEMPTS,
    NEVER,
    STOP,
    After,
    Decision,
    decide,
    is_worth_another_attempt,
)
from mpitrain.config import ENVIRONMENT
from mpitrain.config.text import read_toml
from mpitrain.core.errors import LogError, UserError
from mpitrain.slurm import Slurm
from mpitrain.storage.checkpoints import Checkpoints
from mpitrain.storage.run_directory import RunDirectory


def end_life(
    root: Path,
    *,
    exit_code: int,
    signal: str,
    most_requeues: int,
    may_requeue: bool = True,
    attempt: int = MOST_ATTEMPTS,
) -> int:
    """Decide what this job does after a life of the run in ``root``, and do it.

    Args:
        root: the run directory, which may not be there yet.
        exit_code: of the launcher.
        signal: that the job script got; empty without one.
        most_requeues: as many are allowed, of those that anybody has a say in.
        may_requeue: where the run is to go on, requeue this job; else leave that to another one.
        attempt: how often this start of the job has tried to start the ranks.

    Returns:
        the exit code for the job script; AGAIN when it is to start the ranks again at once.

    Raises:
        UserError: this is no Slurm job.
    """
    job = Slurm.from_environ(os.environ)
    if job is None:
        message = "requeue is for the script of a Slurm job, and this is none"
        raise UserError(message)
    directory = RunDirectory(root)
    record = queue.record_of(job.name_for_slurm) or queue.Record({})
    history = _history(root)
    after = _looked_at(directory, job, record, history, exit_code, signal, most_requeues)
    after = dataclasses.replace(after, may_requeue=may_requeue)
    if is_worth_another_attempt(after, attempt):
        _say(f"the ranks were not started (exit code {exit_code}); once more")
        return AGAIN
    decision = decide(after)
    life = _life(directory)
    _write(root, _entry(job, after, decision, life))
    _say(decision.text)  # now: what follows may end this process too
    if not (decision.goes_on and may_requeue):
        return decision.code
    trouble = "" if after.is_requeued else queue.requeue(job.name_for_slurm)
    if not trouble:
        return 0
    words = f"but Slurm did not requeue job {job.name_for_slurm}: {trouble}; submit it again"
    _write(root, _entry(job, after, decision, life, trouble=words))
    _say(words)
    return decision.code


def _looked_at(
    directory: RunDirectory,
    job: Slurm,
    record: queue.Record,
    history: Sequence[ledger.Entry],
    exit_code: int,
    signal: str,
    most_requeues: int,
) -> After:
    outcome, why = _outcome(directory, job)
    return After(
        outcome=outcome,
        reason=why,
        exit_code=exit_code,
        signal=signal,
        is_preempted=record.is_preempted,
        is_cancelled=record.is_ending and not record.is_over_limit,
        has_lost_node=record.has_lost_node,
        is_requeued=record.num_restarts > job.num_restarts,
        left_s=0.0 if record.is_over_limit else record.left_s(time.time()),
        steps=newest_steps(directory),
        steps_before=chain.newest_steps(history),
        num_idle=chain.num_idle(history),
        num_requeues=chain.num_requeues(history),
        most_requeues=most_requeues,
    )


def check_follows(root: Path, job_id: str) -> None:
    """Check that the run did not give up in the job that this one follows.

    A job that is not to begin writes that down too, for those that follow it.

    Raises:
        UserError: it did; what ended that job would end this one.
    """
    why = chain.gave_up(_history(root), job_id)
    if not why:
        return
    job = Slurm.from_environ(os.environ)
    if job is not None:
        _write(
            root,
            ledger.Entry(
                time=ledger.now_text(),
                job=job.name_for_slurm,
                restarts=job.num_restarts,
                what=ledger.GAVE_UP,
                steps=newest_steps(RunDirectory(root)),
                text=why,
            ),
        )
    raise UserError(why)


def newest_steps(directory: RunDirectory) -> int:
    """Return the steps of the newest checkpoint, -1 where there is none."""
    return max((found.steps for found in Checkpoints(directory.checkpoints).complete()), default=-1)


def _outcome(directory: RunDirectory, job: Slurm) -> tuple[str, str]:
    """Return how the life of this start of the job ended, and what status.json says of it."""
    try:
        facts = read_toml(directory.run_toml).get(ENVIRONMENT, {})
        status = directory.read_status() or {}
    except (UserError, LogError):
        return NEVER, ""
    state, why = str(status.get("status", "")), str(status.get("reason", ""))
    if state == DONE:
        return DONE, why
    mine = job.facts()
    if any(facts.get(name) != mine[name] for name in ("slurm_job", "slurm_restarts")):
        return NEVER, why
    return (state if state in (STOP, FAIL) else KILLED), why


def _history(root: Path) -> list[ledger.Entry]:
    try:
        return ledger.entries(root)
    except LogError as error:
        _say(str(error))
        return []


def _life(directory: RunDirectory) -> int:
    try:
        life = (directory.read_status() or {}).get("life", -1)
    except LogError:
        return -1
    return life if isinstance(life, int) else -1


def _entry(
    job: Slurm, after: After, decision: Decision, life: int, *, trouble: str = ""
) -> ledger.Entry:
    return ledger.Entry(
        time=ledger.now_text(),
        job=job.name_for_slurm,
        restarts=job.num_restarts,
        what=_what(after, decision, trouble),
        cause=decision.cause,
        outcome="" if trouble else after.outcome,
        life=life,
        steps=after.steps,
        text=trouble or decision.text,
    )


def _what(after: After, decision: Decision, trouble: str) -> str:
    if after.outcome == DONE:
        return ledger.ENDED
    if trouble or not decision.goes_on:
        return ledger.GAVE_UP
    return ledger.REQUEUED if after.may_requeue or after.is_requeued else ledger.HANDED_ON


def _write(root: Path, entry: ledger.Entry) -> None:
    """Write it down where there is a place; a run that never began may have none."""
    if not root.is_dir():
        return
    try:
        ledger.append(root, entry)
    except LogError as error:  # the decision holds all the same
        _say(str(error))


def _say(text: str) -> None:
    sys.stderr.write(f"mpitrain: {text}\n")
    sys.stderr.flush()
