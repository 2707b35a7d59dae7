"""Decides whether a history keeps the promises, and names the one it breaks.

Each violation begins with the name of its promise:

- I1: nothing starts early.
- I2: nothing is late when nothing stands in its way; intervals keep their beat.
- I3: an attempt is started once, an occurrence claimed once, and nothing starts unclaimed.
- I4: every occurrence has exactly one row; nothing is left open that nobody works on.
- I5: nothing starts after a removal, or a stop, was acknowledged.
- I6: what starts is a definition in force, for an instant at which it was due.
- I7: of what is late, as many start as the policy says.
- I8: runs of a job do not overlap unless its policy lets them, restarts or not.
- I9: attempts are no more than asked for, no closer than asked for, and none follows a success.
- I10: a process ends in its time, and nothing of it lives on.
- I11: what was acknowledged is there after a crash.
- I12: one file changes nothing but its own job.
- I13: a row that is over stays as it is.
- I14: nothing grows without bound.
- I15: when everything is well again, so is the schedule.
- I16: a stop is never worse than kill -9.

A history need not tell everything: promises about what it says nothing of are kept, as far as can be
seen. `stored.history_of` says which ones the database of a real daemon is enough for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final

from simulation import due, stops
from simulation.book import GUARDED, Book
from simulation.history import (
    Acknowledged,
    Ended,
    Found,
    History,
    Installed,
    Key,
    Loaded,
    Overtaken,
    Removed,
    Sampled,
    Settled,
    Started,
    Stopped,
    StoreFailed,
    StoreHealed,
)

from luad.core.model import (
    OPEN_STATES,
    CatchUp,
    EndKind,
    Instant,
    Job,
    OnLost,
    Overlap,
    Run,
    RunState,
)

_OF_RUNS: Final = frozenset({"run", "cancelled"})
_NEVER_AGAIN: Final = frozenset({EndKind.RETURNED, EndKind.CANCELLED})


def violations(history: History) -> list[str]:
    """Return every broken promise of a history."""
    book = Book(history)
    return [text for promise in PROMISES for text in promise(book)]


def facts_of(run: Run) -> tuple[Any, ...]:
    """Return the values that must not change in a row that is over."""
    reason = run.reason and run.reason.value
    return run.state.value, run.attempt, run.scheduled_for, run.ended_at, reason


# --- starts ----------------------------------------------------------------------------------------


def starts_once(book: Book) -> Iterator[str]:
    """I3: an attempt is started once, and only once its claim is durable."""
    counts = Counter((each.run_id, each.attempt) for each in book.starts)
    for key, count in counts.items():
        if count > 1:
            yield f"I3: {key} was started {count} times"
    for start in book.starts:
        if start.run_id not in book.runs:
            yield f"I3: {start} has no row"
    failing = False
    for fact in book.history.log:
        match fact:
            case StoreFailed():
                failing = True
            case StoreHealed() | Stopped():
                failing = False
            case Started() if failing:
                yield f"I3: {fact} was started while nothing could be written"
            case _:
                pass


def none_after_removal(book: Book) -> Iterator[str]:
    """I5: once a removal was acknowledged, nothing of the job starts."""
    removed: dict[str, Removed] = {}
    for fact in book.history.log:
        if isinstance(fact, Removed):
            removed[fact.job_id] = fact
        elif isinstance(fact, Installed):
            removed.pop(fact.job_id, None)  # taken out and put back within a millisecond
        elif isinstance(fact, Started) and (gone := removed.get(fact.job_id)):
            yield f"I5: {fact} comes after the removal of its job at {gone.wall}"


def of_a_live_definition(book: Book) -> Iterator[str]:
    """I6: what is started is a definition that is in force then."""
    for start in book.starts:
        decided = start.steady - start.waited
        known = [each.revision for each in book.in_force(start.job_id, decided, start.within)]
        if known and start.revision not in {*known, ""}:
            yield f"I6: {start} is none of {known}"


def no_overlap(book: Book) -> Iterator[str]:
    """I8: no more runs of a job are alive at the same time than its policy lets.

    A run that was asked for with force is nobody's fault. A job that was ever allowed to run side by side
    is held to the highest of its bounds.
    """
    alive: dict[str, list[tuple[int, int, Started]]] = defaultdict(list)
    for start in book.starts:
        end = book.ends.get((start.run_id, start.attempt))
        until = book.history.steady if end is None else end.steady
        alive[start.job_id].append((start.steady, until, start))
    for job_id, spans in alive.items():
        jobs = [each.job for each in book.definitions[job_id]]
        bound = max((_bound(each) for each in jobs), default=1)
        forced = {start.run_id for _, _, start in spans if start.is_forced}
        spans.sort(key=lambda each: each[:2])
        open_now: list[tuple[int, Started]] = []
        for at, until, start in spans:
            open_now = [each for each in open_now if each[0] > at]
            others = [each for _, each in open_now if each.run_id not in forced]
            same = [each for each in others if each.run_id == start.run_id]
            if same:
                yield f"I8: {same[0]} is alive when {start} starts"
            elif len(others) >= bound and start.run_id not in forced:
                yield f"I8: {others[0]} of {job_id} is alive when {start} starts"
            open_now.append((until, start))


def queue(book: Book) -> Iterator[str]:
    """I8: with `queue` one occurrence waits, and no more. Late ones that all run may be many."""
    if book.steps:
        return
    for job_id, runs in book.runs_of.items():
        jobs = [each.job for each in book.definitions[job_id]]
        if any(each.overlap is not Overlap.QUEUE or each.catch_up is CatchUp.ALL for each in jobs):
            continue
        open_now: list[Run] = []
        for run in sorted(runs, key=lambda each: each.claimed_at):
            if run.trigger not in GUARDED:
                continue
            at = run.claimed_at
            open_now = [each for each in open_now if each.ended_at is None or each.ended_at > at]
            if len(open_now) > 1:
                yield f"I8: {run.id} of {job_id} waits behind {[each.id for each in open_now]}"
            open_now.append(run)


def _bound(job: Job) -> int:
    return job.max_running if job.overlap is Overlap.ALLOW else 1


def retries(book: Book) -> Iterator[str]:
    """I9: attempts come one by one, as many and as far apart as asked for."""
    attempts: dict[str, dict[int, Started]] = defaultdict(dict)
    for start in book.starts:
        attempts[start.run_id][start.attempt] = start
    for run_id, starts in attempts.items():
        for number, start in starts.items():
            if number > 1:
                yield from _retry(book, run_id, start)


def _retry(book: Book, run_id: str, start: Started) -> Iterator[str]:
    before = book.ends.get((run_id, start.attempt - 1))
    if before is None:  # it was claimed, and never started
        return
    was_seen = not any(before.steady <= each <= start.steady for each in book.boots)
    if before.kind in _NEVER_AGAIN and was_seen:
        yield f"I9: {start} follows {before}"
        return
    if not was_seen:
        yield from stops.unasked(book, before, start)
    jobs = [
        *book.in_force(start.job_id, before.steady),
        *(each.job for each in book.definitions[start.job_id] if each.steady >= before.steady),
    ]
    if not jobs:
        return
    most = max(
        max(each.retry.max_attempts, 2 if each.on_lost is OnLost.RETRY else 1) for each in jobs
    )
    if start.attempt > most:
        yield f"I9: {start} is one more than {most}"
    least = min(_backoff_ms(each, start.attempt - 1) for each in jobs)
    waited = start.steady - before.steady
    is_stepped = any(before.steady <= each.steady <= start.steady for each in book.steps)
    if waited < least - due.STEP_MS and not is_stepped:
        yield f"I9: {start} comes {waited} ms after {before}, and not {least}"


def _backoff_ms(job: Job, attempt: int) -> float:
    retry = job.retry
    return min(retry.backoff_ms * retry.multiplier ** (attempt - 1), retry.max_backoff_ms)


def in_its_time(book: Book) -> Iterator[str]:
    """I10: a process is gone after its timeout and its grace, and before its row says so."""
    for start in book.starts:
        jobs = [
            each.job
            for each in book.definitions[start.job_id]
            if start.revision in {each.job.revision, ""}
        ]
        if not jobs:
            continue
        most = max(each.timeout_ms for each in jobs) + book.history.grace_ms
        end = book.ends.get((start.run_id, start.attempt))
        lived = (book.history.steady if end is None else end.steady) - start.steady
        if lived > most and not _stood_still(book, start, end):
            yield f"I10: {start} lived {lived} ms, and may {most}"
    for run_id in sorted(book.history.alive):
        run = book.runs.get(run_id)
        if run is None or run.state not in OPEN_STATES:
            yield f"I10: a process of {run_id} is alive, and its run is over"


def _stood_still(book: Book, start: Started, end: Ended | None) -> bool:
    until = book.history.wall if end is None else end.wall
    return book.is_hindered(start.wall, until)


def nothing_left_open(book: Book) -> Iterator[str]:
    """I4: at the end a run is open only if it runs, waits for its turn, or for its next attempt."""
    if book.up_until < book.history.wall:
        return  # nobody is there to work on anything
    working = {run.job_id for run in book.runs.values() if run.id in book.history.alive}
    retrying = {run.job_id for run in book.runs.values() if run.state is RunState.RETRYING}
    for run in book.runs.values():
        if run.state is RunState.RUNNING and run.id not in book.history.alive:
            yield f"I4: {run.id} is running, and has no process"
        elif run.state is RunState.QUEUED and not (book.history.alive or run.job_id in retrying):
            yield f"I15: {run.id} waits, and nothing runs"
        elif (
            run.state is RunState.RETRYING
            and run.retry_at is not None
            and run.retry_at < book.history.wall - book.on_time_ms
            and run.job_id not in working
        ):
            yield f"I15: {run.id} was to be tried again at {run.retry_at}"


# --- what was said ---------------------------------------------------------------------------------


def durable(book: Book) -> Iterator[str]:
    """I11: what somebody was told is what the next daemon finds."""
    told: dict[Key, tuple[Any, Instant]] = {}
    for fact in book.history.log:
        match fact:
            case Acknowledged(wall, _, key, value):
                told[key] = (value, wall)
            case Overtaken(_, _, key):
                told.pop(key, None)
            case Found(wall, _, values):
                for key, (value, at) in told.items():
                    if key[1] not in _OF_RUNS and values.get(key) != value:
                        yield (
                            f"I11: {key} was acknowledged as {value} at {at}, and is {values.get(key)}"
                        )
            case _:
                pass
    for (name, what), (_, at) in told.items():
        if what == "run" and name not in book.runs:
            yield f"I11: {name} was acknowledged at {at}, and has no row"


def cancelled(book: Book) -> Iterator[str]:
    """I11: no attempt of a run starts once a client was told that it is cancelled."""
    told: set[str] = set()
    for fact in book.history.log:
        if isinstance(fact, Acknowledged) and fact.key[1] == "cancelled":
            told.add(fact.key[0])
        elif isinstance(fact, Started) and fact.run_id in told:
            yield f"I11: {fact} was started although its cancellation was acknowledged"


def isolated(book: Book) -> Iterator[str]:
    """I12: a file that breaks, changes, comes or goes leaves the jobs of all others alone."""
    wanted: dict[str, str] = {}
    for fact in book.history.log:
        if not isinstance(fact, Loaded):
            continue
        for name, revision in fact.wanted.items():
            before, after = fact.before.get(name), fact.after.get(name)
            if before is None or wanted.get(name) != revision or before.revision != revision:
                continue
            is_waiting = before.waits_for is not None and before.waits_for > fact.wall
            if after is None:
                yield f"I12: {name} went with the load at {fact.wall}, and its file had not changed"
            elif after.revision != before.revision or (is_waiting and after != before):
                yield f"I12: {name} was touched by the load at {fact.wall}: {before}, {after}"
        wanted = dict(fact.wanted)


def ledger(book: Book) -> Iterator[str]:
    """I13: a row that is over never changes."""
    rows = {row.run.id: row.run for row in book.history.rows}
    seen: dict[str, tuple[Any, ...]] = {}
    for fact in book.history.log:
        if isinstance(fact, Settled) and seen.setdefault(fact.run_id, fact.facts) != fact.facts:
            yield f"I13: {fact.run_id} was {seen[fact.run_id]}, and then {fact.facts}"
    for run_id, facts in seen.items():
        run = rows.get(run_id)
        if run is not None and facts_of(run) != facts:  # else retention has forgotten it
            yield f"I13: {run_id} was {facts}, and is {facts_of(run)}"


def bounded(book: Book) -> Iterator[str]:
    """I14: nothing is above its limit, nothing grows on and on."""
    samples = [each.values for each in book.history.log if isinstance(each, Sampled)]
    for name, limit in book.history.limits.items():
        values = [each[name] for each in samples if name in each]
        if limit.most is not None and max(values, default=0) > limit.most:
            yield f"I14: {name} was {max(values)}, and may be {limit.most}"
        quarter = len(values) // 4
        if limit.growth is not None and quarter:
            grown = median(values[-quarter:]) - median(values[quarter : 2 * quarter])
            if grown > limit.growth:
                yield f"I14: {name} grew by {grown}, and may by {limit.growth}"


PROMISES: Final[tuple[Callable[[Book], Iterator[str]], ...]] = (
    due.never_early,
    due.in_time,
    due.cadence,
    due.again,
    starts_once,
    due.one_row,
    due.no_silence,
    nothing_left_open,
    none_after_removal,
    of_a_live_definition,
    due.no_phantom,
    due.catch_up,
    no_overlap,
    queue,
    retries,
    in_its_time,
    durable,
    cancelled,
    stops.not_worse_than_a_kill,
    due.resumed,
    due.past,
    isolated,
    ledger,
    bounded,
)
