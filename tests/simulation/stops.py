"""Promises about stops (I16): what a stop has to end follows the rules of what a kill ends."""

from __future__ import annotations

from collections.abc import Iterator

from simulation.book import Book
from simulation.history import Booted, Draining, Ended, Settled, Started, Stopped

from luad.core.model import (
    EndKind,
    Job,
    OnLost,
    Reason,
    Run,
    RunState,
)
from luad.daemon.recovery import _LOST

_BY_HAND = frozenset({Reason.REQUESTED, Reason.REPLACED})


def not_worse_than_a_kill(book: Book) -> Iterator[str]:
    """I16: what a stop has to end is lost, or tried again where its job asks for it; what never had a
    process waits for the next daemon. A daemon that is killed within its stop leaves that open, and the
    next one cannot know whether there was a process."""
    started = {(start.run_id, start.attempt) for start in book.starts} | book.history.witnessed
    ended_by_a_stop = set(_ended_by_a_stop(book))
    is_left = set(_left_to_the_next(book))
    for run in book.runs.values():
        key = run.id, run.attempt
        if run.state is RunState.CANCELLED and key in ended_by_a_stop:
            if run.reason not in _BY_HAND and not _went_with_its_job(book, run):
                yield f"I16: {run.id} was ended by a stop, and is cancelled: {run.reason}"
        elif run.state is RunState.CANCELLED and run.reason in {Reason.DRAINING, Reason.STOPPED}:
            yield f"I16: {run.id} was cancelled by a stop"
        elif run.state is RunState.LOST and run.reason is Reason.STOPPED:
            is_unknown = run.id in is_left or _is_found_by_the_next(run)
            if book.starts and key not in started and not is_unknown:
                yield f"I16: {run.id} was lost by a stop, and never had a process"
            elif _asks_for_more(book, run):
                yield f"I16: {run.id} was lost by a stop, and its job says `on_lost: retry`"


def _ended_by_a_stop(book: Book) -> Iterator[tuple[str, int]]:
    is_draining = False
    for fact in book.history.log:
        if isinstance(fact, Draining):
            is_draining = True
        elif isinstance(fact, Booted | Stopped):
            is_draining = False
        elif isinstance(fact, Ended) and is_draining and fact.kind is EndKind.CANCELLED:
            yield fact.run_id, fact.attempt


def _is_found_by_the_next(run: Run) -> bool:
    """Whether the daemon after the one that stopped has found the run open: a database tells no stops."""
    return run.ending is not None and run.ending.error == _LOST


def _left_to_the_next(book: Book) -> Iterator[str]:
    """The runs whose end was decided while no stop was going on."""
    is_draining = False
    for fact in book.history.log:
        if isinstance(fact, Draining | Booted):
            is_draining = isinstance(fact, Draining)
        elif isinstance(fact, Settled) and not is_draining:
            yield fact.run_id


def _went_with_its_job(book: Book, run: Run) -> bool:
    """Did it wait for the attempt that its job asks for, until the job was removed."""
    end = book.ends[run.id, run.attempt]
    is_removed = any(
        steady >= end.steady and job is None for steady, job in book.changes[run.job_id]
    )
    is_asked = any(_is_tried_again(job, run) for job in _around(book, run.job_id, end.steady))
    return run.reason is Reason.REMOVED and is_removed and is_asked


def _asks_for_more(book: Book, run: Run) -> bool:
    """Should there have been another attempt, by every definition that was in force at the end."""
    end = book.ends.get((run.id, run.attempt))
    if end is None or any(change is None for _, change in book.changes[run.job_id]):
        return False  # a removed job asks for nothing
    known = _around(book, run.job_id, end.steady)
    return bool(known) and all(_is_tried_again(job, run) for job in known)


def _is_tried_again(job: Job, run: Run) -> bool:
    return job.on_lost is OnLost.RETRY and run.attempt < max(job.retry.max_attempts, 2)


def _around(book: Book, job_id: str, steady: int) -> list[Job]:
    """The definitions that may have been in force when the end was decided."""
    later = [each.job for each in book.definitions[job_id] if each.steady >= steady]
    return [*book.in_force(job_id, steady), *later]


def unasked(book: Book, before: Ended, start: Started) -> Iterator[str]:
    """I16: after an end that a stop or a kill made, an attempt follows only where the job asks for it."""
    if before.kind not in {EndKind.CANCELLED, EndKind.LOST}:
        return
    jobs = _around(book, start.job_id, before.steady)
    if jobs and all(job.on_lost is OnLost.FAIL for job in jobs):
        yield f"I16: {start} follows {before}, and its job says `on_lost: fail`"
