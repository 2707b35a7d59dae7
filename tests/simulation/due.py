"""Promises about occurrences: each one gets its row, the right one, and in time (I1, I2, I4, I6, I7, I15)."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from simulation.almanac import next_due
from simulation.book import GUARDED, STEP_MS, Book, Period
from simulation.history import (
    Booted,
    Draining,
    Fact,
    Installed,
    Slept,
    Started,
    Stepped,
    Stopped,
    StoreFailed,
)

from luad.core.model import (
    CATCH_UP_CAP,
    MINUTE,
    CatchUp,
    Cron,
    Instant,
    Interval,
    Job,
    Once,
    Reason,
    Run,
    RunState,
    Trigger,
)
from luad.store.query_types import RunRow

_COUNTED = 50
"""Rows that stand for more are not counted again."""

_SHOWN = 2
_LEAST_WINDOW_MS = 1_000


def never_early(book: Book) -> Iterator[str]:
    """I1: nothing is claimed before its time, and nothing that was claimed is started before it.

    Unless the clock goes back between the two.
    """
    for run in book.runs.values():
        is_early = run.claimed_at < run.fire_at or run.fire_at < run.scheduled_for
        if is_early and run.trigger in GUARDED:
            yield f"I1: {run.id} of {run.job_name} was claimed before its time: {run}"
    if book.steps_back or book.has_drifted:
        return
    for start in book.starts:
        started = book.runs.get(start.run_id)
        if started is not None and started.trigger in GUARDED and start.wall < started.fire_at:
            yield f"I1: {started.id} of {started.job_name} was started before its time: {start}"


def in_time(book: Book) -> Iterator[str]:
    """I2 and I15: what nothing stands in the way of has its row at once.

    I15 is the same, some time after everything is well again, and knows no excuse.
    """
    slack = book.history.on_time_ms
    if slack is None:
        return
    well_at = None if book.healed is None else book.healed.wall + book.history.recovery_ms
    for name, job_id, due, at in _handled(book):
        if at - due <= slack or _is_born_late(book, job_id, due):
            continue
        if well_at is not None and due >= well_at and not book.steps_back:
            yield f"I15: {name} of {due} had its row at {at}, though all was well from {well_at} on"
        elif not book.is_hindered(due, at):
            yield f"I2: {name} of {due} had its row at {at}, and nothing had stood in the way"


def _handled(book: Book) -> Iterator[tuple[str, str, Instant, Instant]]:
    """A decision, the instant for which it was made, and its own instant."""
    for run in book.runs.values():
        if run.trigger in GUARDED:
            yield run.id, run.job_id, run.fire_at, run.claimed_at
    for job_id, rows in book.skips_of.items():
        jitter = _longest_jitter(book, job_id)
        for row in rows:
            if row.run.reason is not Reason.PAUSED:  # such a row grows; nobody knows when it did
                yield row.run.id, job_id, row.run.scheduled_for + jitter, row.run.claimed_at


def _longest_jitter(book: Book, job_id: str) -> int:
    """Of all its definitions: one may follow another within an occurrence's delay."""
    return max((each.job.jitter_ms for each in book.definitions[job_id]), default=0)


def _is_born_late(book: Book, job_id: str, due: Instant) -> bool:
    """Was it asked for when its time had passed already."""
    return any(
        isinstance(each.job.schedule, Once) and due <= each.wall + each.job.jitter_ms
        for each in book.definitions[job_id]
    )


def cadence(book: Book) -> Iterator[str]:
    """I2, for intervals: whatever is done to the wall clock, they keep their beat by the steady one."""
    if not book.steps:
        return
    starts = {
        start.run_id: start
        for start in book.starts
        if start.attempt == 1 and start.run_id in book.runs
    }
    for (_, every_ms, *_), beats in _beats(book, starts).items():
        beats.sort(key=lambda each: each[0])
        for (one_at, one, _), (other_at, other, run) in pairwise(beats):
            off = (other - one) % every_ms
            if min(off, every_ms - off) > STEP_MS + len(book.steps) and not _rests(
                book, one_at, other_at
            ):
                yield f"I2: {run.id} of {run.job_name} is {off} ms off the beat of its interval"


def _beats(
    book: Book, starts: Mapping[str, Started]
) -> dict[tuple[str, int, int, Instant], list[tuple[int, int, Run]]]:
    """The runs that started as soon as they were due, by the grid they follow: when they did, and for
    when, by the steady clock. A job that was switched off and on again follows the grid it had."""
    grids: dict[tuple[str, int, int, Instant], list[tuple[int, int, Run]]] = defaultdict(list)
    for period in book.all_periods():
        schedule = period.job.schedule
        if not isinstance(schedule, Interval) or schedule.every_ms < 5 * STEP_MS:
            continue
        until = book.history.steady + 1 if period.until_steady is None else period.until_steady
        beats = grids[period.job_id, schedule.every_ms, period.grid_steady, period.grid_at]
        for run in book.runs_of[period.job_id]:
            start = starts.get(run.id)
            if (
                start is not None
                and run.trigger in GUARDED
                and start.wall == run.claimed_at
                and period.steady < start.steady < until
            ):
                beats.append((start.steady, run.scheduled_for - (start.wall - start.steady), run))
    return grids


def _rests(book: Book, since: int, until: int) -> bool:
    """Was the daemon down meanwhile: nobody follows the clock then."""
    return any(since <= each <= until for each in book.boots)


def again(book: Book) -> Iterator[str]:
    """I2, for cron lines: a clock that is set back silences nobody until it is again where it was.

    What comes again runs again, unless its instant has a row of its own already; a row that stood for
    a whole span of instants is none.
    """
    log = book.history.log
    index = max((i for i, each in enumerate(log) if _is_back(each)), default=None)
    if index is None or not _is_up(log[:index]):
        return
    step = log[index]
    assert isinstance(step, Stepped)
    until = min(step.wall - step.by, _calm_until(book, log[index + 1 :]))
    for period in book.all_periods():
        job = period.job
        if not (
            isinstance(job.schedule, Cron)
            and job.enabled
            and period.until is None
            and period.steady < step.steady
        ):
            continue
        rows = book.skips_of[period.job_id]
        if any(
            row.run.reason is Reason.PAUSED and row.run.scheduled_for > step.wall for row in rows
        ):
            continue  # a pause has no more to tell
        own = {run.scheduled_for for run in book.runs_of[period.job_id] if run.trigger in GUARDED}
        own |= {row.run.scheduled_for for row in rows}
        at, end = step.wall, until - book.on_time_ms - _longest_jitter(book, period.job_id)
        while (due := next_due(job.schedule, period.grid_at, at)) is not None and due <= end:
            at = due
            spans = [row for row in rows if _first(row) <= due <= row.run.scheduled_for]
            if due not in own and len(spans) < 2:
                yield f"I2: {due} came again for {job.name} after {step}, and has no row of its own"
                break


def _is_back(fact: Fact) -> bool:
    return isinstance(fact, Stepped) and fact.by <= -STEP_MS


def _is_up(log: Sequence[Fact]) -> bool:
    latest = [each for each in log if isinstance(each, Booted | Stopped | Draining)]
    return bool(latest) and isinstance(latest[-1], Booted)


def _calm_until(book: Book, log: Sequence[Fact]) -> Instant:
    """When, by the wall, something stands in the daemon's way for the first time."""
    for fact in log:
        match fact:
            case Stepped():
                return fact.wall - fact.by
            case Slept():
                return fact.wall - fact.ms
            case Stopped() | Draining() | StoreFailed():
                return fact.wall
            case _:
                pass
    return book.history.wall


def one_row(book: Book) -> Iterator[str]:
    """I4: no occurrence is named by two rows; rows of one job do not overlap.

    Unless the later one is for a `once` that was asked for when its instant had passed: an earlier
    definition may have skipped a span with that instant in it. After a step back of the clock instants
    come a second time; then only claims are compared.
    """
    for job_id, runs in book.runs_of.items():
        claimed: set[Instant] = set()
        for run in runs:
            if run.trigger in GUARDED:
                if run.scheduled_for in claimed:
                    yield f"I3: {run.scheduled_for} of {run.job_name} was claimed twice: {run.id}"
                claimed.add(run.scheduled_for)
        if not book.steps_back:
            yield from _no_two(book, job_id, runs)


def _no_two(book: Book, job_id: str, runs: list[Run]) -> Iterator[str]:
    once = {
        each.job.revision
        for each in book.definitions[job_id]
        if isinstance(each.job.schedule, Once)
    }
    spans: dict[str, list[tuple[Instant, Instant, str]]] = defaultdict(list)
    for run in runs:
        if run.trigger in GUARDED:
            key = run.revision if run.revision in once else ""
            spans[key].append((run.scheduled_for, run.scheduled_for, run.id))
    for row in book.skips_of[job_id]:
        key = row.run.revision if row.run.revision in once else ""
        spans[key].append((_first(row), row.run.scheduled_for, row.run.id))
    for rows in spans.values():
        rows.sort()
        for (_, last, one), (first, _, other) in pairwise(rows):
            if first <= last:
                yield f"I4: {one} and {other} of {job_id} both cover {first}"


def _first(row: RunRow) -> Instant:
    first = row.first_scheduled_for
    return row.run.scheduled_for if first is None else first


def no_silence(book: Book) -> Iterator[str]:
    """I4: every occurrence of every definition, while it was in force, is covered by a row."""
    for job_id, periods in book.periods.items():
        points = {run.scheduled_for for run in book.runs_of[job_id] if run.trigger in GUARDED}
        spans = []
        for row in book.skips_of[job_id]:
            if _first(row) == row.run.scheduled_for:
                points.add(row.run.scheduled_for)
            else:
                spans.append((_first(row), row.run.scheduled_for))
        spans.sort()
        for period in periods:
            if period.job.enabled and not (
                isinstance(period.job.schedule, Interval) and book.is_stepped(period)
            ):
                yield from _silent(book, period, points, spans)


def _silent(
    book: Book, period: Period, points: set[Instant], spans: list[tuple[Instant, Instant]]
) -> Iterator[str]:
    job = period.job
    until = period.until
    if until is None:
        end = book.up_until - book.on_time_ms - _longest_jitter(book, period.job_id)
        until = book.history.handled_until.get(period.job_id, end)
    at, shown = period.after, 0
    while shown < _SHOWN:
        due = next_due(job.schedule, period.grid_at, at)
        if due is None or due > until:
            return
        at = due
        if due in points:
            continue
        place = bisect_right(spans, (due, 2**63))
        covered = max((last for _, last in spans[max(0, place - 3) : place]), default=due - 1)
        if covered >= due:
            at = covered
            continue
        if any(first <= due <= last for first, last in spans[:place]):
            continue
        shown += 1
        yield f"I4: {job.name} ({period.job_id}) has no row for {due}: {job.schedule}"


def no_phantom(book: Book) -> Iterator[str]:
    """I6: what was claimed, and what was skipped, was due by a definition of its job, and not before that
    came: an edit looks at nothing that was."""
    for job_id, periods in book.periods.items():
        if job_id in book.history.uncertain or any(
            isinstance(each.job.schedule, Interval) and book.is_stepped(each) for each in periods
        ):
            continue  # the grid moves with the clock; `cadence` looks after it
        known: set[Instant] = set()
        asked = [
            (run.id, run.scheduled_for, True)
            for run in book.runs_of[job_id]
            if run.trigger in GUARDED
        ]
        for row in book.skips_of[job_id]:
            asked += [(row.run.id, at, False) for at in {_first(row), row.run.scheduled_for}]
        for name, at, is_run in asked:
            if at not in known and not any(
                next_due(each.job.schedule, each.grid_at, at - 1) == at
                and (book.steps_back or at > (each.runs_after if is_run else each.after))
                for each in periods
            ):
                yield f"I6: {name} is for {at}, when nothing of {job_id} was due"
            known.add(at)
        if not book.steps_back:
            yield from _miscounted(book, job_id, periods)


def _miscounted(book: Book, job_id: str, periods: list[Period]) -> Iterator[str]:
    for row in book.skips_of[job_id]:
        if row.is_count_capped or row.count > _COUNTED or len(periods) > 1:
            continue
        period, count, at = periods[0], 0, _first(row) - 1
        while at < row.run.scheduled_for and count <= row.count:
            due = next_due(period.job.schedule, period.grid_at, at)
            if due is None:
                break
            at, count = due, count + 1
        if count != row.count:
            yield f"I4: {row.run.id} stands for {row.count}, and there were {count}: {row}"


# --- the past --------------------------------------------------------------------------------------


def past(book: Book) -> Iterator[str]:
    """I7: a `once` that was asked for too late is missed because it was past, and nothing else is."""
    if book.steps or book.has_drifted:
        return
    for job_id, rows in book.skips_of.items():
        for row in rows:
            at = row.run.scheduled_for
            asked = [
                each
                for each in book.definitions[job_id]
                if isinstance(each.job.schedule, Once) and each.job.schedule.execute_at == at
            ]
            if row.run.reason is Reason.PAST and not any(each.wall >= at for each in asked):
                yield f"I7: {row.run.id} is past, and nothing asked for {at} afterwards: {row}"
            is_missed = row.run.state is RunState.MISSED and row.run.reason is not Reason.PAST
            if is_missed and asked and all(_was_too_late(each, at) for each in asked):
                yield f"I7: {row.run.id} was past when it was asked for, and says {row.run.reason}"


def _was_too_late(asked: Installed, at: Instant) -> bool:
    window = max(asked.job.catch_up_window_ms, _LEAST_WINDOW_MS) + asked.job.jitter_ms
    return asked.wall - at > window


# --- resumed ---------------------------------------------------------------------------------------


def resumed(book: Book) -> Iterator[str]:
    """I3, I6 and I7: a resume that catches up starts each skipped occurrence once, and no other ones.

    The row of the pause stays the only row of its occurrences: these runs stand beside it.
    """
    for job_id, runs in book.runs_of.items():
        resumes: dict[Instant, list[Run]] = defaultdict(list)
        for run in runs:
            if run.trigger is Trigger.RESUME:
                resumes[run.claimed_at].append(run)
        spans = [
            (_first(row), row.run.scheduled_for)
            for row in book.skips_of[job_id]
            if row.run.reason is Reason.PAUSED
        ]
        for at, batch in resumes.items():
            if len(batch) > CATCH_UP_CAP:
                yield f"I7: {len(batch)} runs of {job_id} were claimed by the resume at {at}"
            known: set[Instant] = set()
            for run in batch:
                due_at = run.scheduled_for
                if due_at in known:
                    yield f"I3: {due_at} of {job_id} has two runs of the resume at {at}: {run.id}"
                known.add(due_at)
                if not book.steps and not any(first <= due_at <= last for first, last in spans):
                    yield f"I6: {run.id} was resumed for {due_at}, which no pause has skipped"


# --- catch-up --------------------------------------------------------------------------------------


def catch_up(book: Book) -> Iterator[str]:
    """I7: of what is late, as many start as the policy says: none, the latest, or all up to a cap."""
    for job_id, definitions in book.definitions.items():
        jobs = [each.job for each in definitions]
        if not jobs or job_id in book.history.uncertain:
            continue
        batches: dict[Instant, list[Run]] = defaultdict(list)
        for run in book.runs_of[job_id]:
            if run.trigger in GUARDED:
                batches[run.claimed_at].append(run)
        window = max(*(each.catch_up_window_ms for each in jobs), _LEAST_WINDOW_MS)
        is_all = any(each.catch_up is CatchUp.ALL for each in jobs)
        # Each step back may bring the very millisecond of a batch once more.
        most = (CATCH_UP_CAP if is_all else 1) + sum(step.by < 0 for step in book.steps)
        for at, runs in batches.items():
            if len(runs) > most and not _is_edited_at(definitions, at):
                yield f"I7: {len(runs)} runs of {job_id} were claimed at {at}, by {jobs[-1].catch_up}"
            for run in runs:
                if at - run.fire_at > window:
                    yield f"I7: {run.id} was claimed {at - run.fire_at} ms late, beyond {window}"
                if _all_say(jobs, CatchUp.NONE) and at - run.fire_at > MINUTE:
                    yield f"I7: {run.id} was claimed late, and its job catches up with nothing"
        yield from _skips_are_right(book, job_id, jobs, batches)


def _is_edited_at(definitions: list[Installed], at: Instant) -> bool:
    return any(each.wall == at for each in definitions)


def _all_say(jobs: list[Job], policy: CatchUp) -> bool:
    return all(each.catch_up is policy for each in jobs)


def _skips_are_right(
    book: Book, job_id: str, jobs: list[Job], batches: dict[Instant, list[Run]]
) -> Iterator[str]:
    least = min(max(each.catch_up_window_ms, _LEAST_WINDOW_MS) for each in jobs)
    if any(each.catch_up is CatchUp.NONE for each in jobs):
        least = min(least, MINUTE)
    decided = {
        row.run.claimed_at: row.run.scheduled_for
        for row in book.skips_of[job_id]
        if row.run.reason is Reason.OVERLAP
    }
    for row in book.skips_of[job_id]:
        at, last = row.run.claimed_at, row.run.scheduled_for
        later = [each.scheduled_for for each in batches.get(at, [])]
        if at in decided:
            later.append(decided[at])
        is_alone = row.run.reason is Reason.COALESCED and max(later, default=last) <= last
        if is_alone and not book.steps_back:  # else the latest may have had its row already
            yield f"I7: {row.run.id} was coalesced into nothing: {row}"
        if (
            row.run.state is RunState.MISSED
            and not any(each.catch_up is CatchUp.NONE for each in jobs)
            and at - last <= least
            and not _is_edited_at(book.definitions[job_id], at)
        ):
            yield f"I7: {row.run.id} was missed though only {at - last} ms late: {row}"
