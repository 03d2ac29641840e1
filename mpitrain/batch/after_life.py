"""The end of a life in a Slurm job: look at what it left, decide, write it down, and requeue."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from mpitrain.batch import chain, ledger, queue
from mpitrain.batch.decision import (
    AGAIN,
    DONE,
    MOST_ATTEMPTS,
    After,
    Decision,
    decide,
    is_worth_another_attempt,
)
from mpitrain.batch.remains import life_of, newest_steps, outcome_of
from mpitrain.core.errors import LogError, UserError
from mpitrain.slurm import Slurm
from mpitrain.storage.run_directory import RunDirectory

TERM = "TERM"  # what a job script gets from Slurm alone, at its end
ASK_AGAIN_S = (1.0, 2.0, 0.0)  # pauses after questions that Slurm did not answer


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
    after = _looked_at(
        directory,
        job,
        exit_code=exit_code,
        signal=signal,
        most_requeues=most_requeues,
        may_requeue=may_requeue,
    )
    if is_worth_another_attempt(after, attempt):
        _say(f"the ranks were not started (exit code {exit_code}); once more")
        return AGAIN
    return _carry_out(directory, job, after)


def _carry_out(directory: RunDirectory, job: Slurm, after: After) -> int:
    """Write down what is decided, and do it; return the exit code for the job script."""
    root, life, decision = directory.root, life_of(directory), decide(after)
    if decision.goes_on:  # a life that began nothing made none
        _make(root)
    unwritten = _write(root, _entry(job, after, decision, life))
    is_ours = decision.goes_on and after.may_requeue and not after.is_requeued
    if unwritten and is_ours:
        _say(f"not requeued ({decision.cause}): lives that nobody can count might never end")
        return decision.code
    _say(decision.text)  # now: what follows may end this process too
    if not is_ours:
        return 0 if after.is_requeued else decision.code
    trouble = _requeue(job)
    if not trouble:
        return 0
    words = f"but Slurm did not requeue job {job.name_for_slurm}: {trouble}; submit it again"
    _write(root, _entry(job, after, decision, life, trouble=words))
    _say(words)
    return decision.code


def _record(job: Slurm) -> queue.Record:
    """Return what Slurm says of this job, an empty record where it does not answer in time."""
    for pause_s in ASK_AGAIN_S:
        record, trouble = queue.look_up(job.name_for_slurm)
        if record is not None:
            return record
        time.sleep(pause_s)
    _say(f"Slurm does not tell how job {job.name_for_slurm} stands: {trouble or 'no such job'}")
    return queue.Record({})


def _requeue(job: Slurm) -> str:
    """Put the job back into the queue; return why not, nothing where Slurm came first."""
    trouble = queue.requeue(job.name_for_slurm)
    record = queue.record_of(job.name_for_slurm) if trouble else None
    is_back = record is not None and record.num_restarts > job.num_restarts
    return "" if is_back else trouble


def _looked_at(
    directory: RunDirectory,
    job: Slurm,
    *,
    exit_code: int,
    signal: str,
    most_requeues: int,
    may_requeue: bool,
) -> After:
    record, history = _record(job), _history(directory.root)
    is_ended = record.is_ending and not record.is_over_limit
    is_silent_end = not record.fields and signal == TERM  # better stopped than back after scancel
    outcome, why = outcome_of(directory, job, exit_code=exit_code, signal=signal)
    return After(
        outcome=outcome,
        reason=why,
        exit_code=exit_code,
        signal=signal,
        is_preempted=record.is_preempted,
        is_cancelled=is_ended or is_silent_end,
        has_lost_node=record.has_lost_node,
        is_requeued=record.num_restarts > job.num_restarts,
        left_s=0.0 if record.is_over_limit else record.left_s(time.time()),
        steps=newest_steps(directory),
        steps_before=chain.newest_steps(history),
        has_failed_before=chain.has_failed(history),
        num_idle=chain.num_idle(history),
        num_requeues=chain.num_requeues(history),
        most_requeues=most_requeues,
        may_requeue=may_requeue,
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


def _history(root: Path) -> list[ledger.Entry]:
    try:
        return ledger.entries(root)
    except LogError as error:
        _say(str(error))
        return []


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


def _make(root: Path) -> None:
    with suppress(OSError):  # said when something is written there
        root.mkdir(parents=True, exist_ok=True)


def _write(root: Path, entry: ledger.Entry) -> str:
    """Write it down; return why not, and say so unless there is no place: no life began."""
    try:
        ledger.append(root, entry)
    except LogError as error:
        if root.is_dir():
            _say(str(error))
        return str(error)
    return ""


def _say(text: str) -> None:
    sys.stderr.write(f"mpitrain: {text}\n")
    sys.stderr.flush()
