"""Numbers about the history: of the last runs of a job, and of all runs since an instant.

Rule: each counts at most the rows that its caller names, or those that a budget permits, the newest first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    column,
    func,
    literal_column,
    select,
    true,
    values,
)

from luad.core.lifecycle import BAD_STATES
from luad.core.model import HOUR, Instant, RunState
from luad.store.kept_hours import KeptHours
from luad.store.query_budget import QueryBudget
from luad.store.run_filters import NEWEST
from luad.store.tables import runs

USUAL: Final = 0.95
"""The part of the successful runs that are not longer than the usual longest duration."""

ROWS_OF_AN_HOUR: Final = 10
"""With fewer, it costs less to group the rows than to count each hour."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The number of rows in each state."""

    counts: Counter[RunState] = field(default_factory=Counter)

    @property
    def success_rate(self) -> float | None:
        """The share of the runs that succeeded among those that succeeded or failed; None without any."""
        good = self.counts[RunState.SUCCEEDED]
        all_ended = good + sum(self.counts[state] for state in BAD_STATES)
        return good / all_ended if all_ended else None


@dataclass(frozen=True, slots=True)
class JobStats:
    """Numbers about the last rows of a job. *since*: the instant of the oldest one.

    Durations in ms: *p50_ms* and *p95_ms* of those that succeeded, *longest_ms* of all that ended.
    """

    outcomes: Outcomes
    since: Instant | None = None
    p50_ms: int | None = None
    p95_ms: int | None = None
    longest_ms: int | None = None
    mean_start_delay_ms: int | None = None


class Group(StrEnum):
    """The rows of statistics."""

    STATUS = "status"
    HOUR = "hour"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class HistoryStats:
    """Numbers about all rows from *since* until now; *covered_since*: those that were counted.

    *groups*: by the start of an hour, or by name and id of a job.
    """

    since: Instant
    covered_since: Instant
    total: Outcomes
    groups: dict[Instant | tuple[str, str], Outcomes]

    @property
    def is_complete(self) -> bool:
        """True if all rows were counted."""
        return self.covered_since <= self.since


def of_job(connection: Connection, job_id: str, count: int) -> JobStats:
    """Return the numbers about the last *count* rows of a job."""
    query = (
        select(runs.c.state, runs.c.claimed_at, runs.c.fire_at, runs.c.started_at, runs.c.ended_at)
        .where(runs.c.job_id == job_id)
        .with_hint(runs, "INDEXED BY runs_by_job", "sqlite")
        .order_by(*NEWEST)
        .limit(count)
    )
    rows = connection.execute(query).all()
    started = [row for row in rows if row.started_at is not None]
    took = {row: row.ended_at - row.started_at for row in started if row.ended_at is not None}
    good = sorted(ms for row, ms in took.items() if row.state == RunState.SUCCEEDED.value)
    delays = [max(0, row.started_at - row.fire_at) for row in started]
    return JobStats(
        Outcomes(Counter(RunState(row.state) for row in rows)),
        rows[-1].claimed_at if rows else None,
        _quantile(good, 0.5),
        _quantile(good, USUAL),
        max(took.values(), default=None),
        round(sum(delays) / len(delays)) if delays else None,
    )


def _quantile(ordered: list[int], part: float) -> int | None:
    """Return the value at *part* of a sorted list, by the nearest rank; None for an empty one."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None


def of_history(
    connection: Connection,
    since: Instant,
    now: Instant,
    group: Group,
    budget: QueryBudget,
    kept: KeptHours,
) -> HistoryStats:
    """Return the numbers about all rows from *since* on, counted from *now* back within *budget*."""
    if group is Group.JOB:
        return _by_job(connection, since, now, budget)
    is_by_hour = group is Group.HOUR
    known = kept.since(since, now)
    counted: dict[Instant, Counter[RunState]] = {}  # by hour, or by the start of a portion
    end = _before_kept(now + 1, known)
    while end > since:
        floor = max((hour + HOUR for hour in known if hour < end), default=since)
        start = max(since, floor, _start_of(connection, end, budget.portion))
        for hour, state, count in _count(
            connection, start, end, budget.portion, is_by_hour=is_by_hour
        ):
            counted.setdefault(hour, Counter())[state] += count
        end = _before_kept(start, known)
        if budget.is_over():
            break
    found = {hour: counts for hour, counts in (known | counted).items() if hour > end - HOUR}
    total = Outcomes(sum(found.values(), Counter[RunState]()))
    if not is_by_hour:
        return HistoryStats(since, end, total, {})
    whole = range(-(-end // HOUR) * HOUR, now, HOUR)
    kept.keep({hour: counted.get(hour, Counter()) for hour in whole if hour not in known}, now)
    return HistoryStats(
        since, end, total, {hour: Outcomes(counts) for hour, counts in found.items() if counts}
    )


def _before_kept(end: Instant, known: Mapping[Instant, object]) -> Instant:
    """Return the start of the kept hours that end at *end*; *end* itself without any."""
    while end - HOUR in known:
        end -= HOUR
    return end


def _by_job(
    connection: Connection, since: Instant, now: Instant, budget: QueryBudget
) -> HistoryStats:
    total, groups = Outcomes(), dict[Instant | tuple[str, str], Outcomes]()
    end = now + 1
    while True:
        start = max(since, _start_of(connection, end, budget.portion))
        for key, state, count in _count_by_job(connection, start, end):
            total.counts[state] += count
            groups.setdefault(key, Outcomes()).counts[state] += count
        end = start
        if start <= since or budget.is_over():
            return HistoryStats(since, start, total, groups)


def _start_of(connection: Connection, end: Instant, portion: int) -> Instant:
    """Return the instant of the row that is *portion* rows before *end*; a negative one if none is."""
    query = (
        select(runs.c.claimed_at)
        .where(runs.c.claimed_at < end)
        .with_hint(runs, "INDEXED BY runs_by_time", "sqlite")
        .order_by(*NEWEST)
        .limit(1)
        .offset(portion)
    )
    at = connection.execute(query).scalar()
    return -1 if at is None else at


def _count_by_job(
    connection: Connection, start: Instant, end: Instant
) -> list[tuple[tuple[str, str], RunState, int]]:
    """Return the name and id of a job, the state and the number of the rows from *start* until before *end*."""
    by_job = (runs.c.job_name, runs.c.job_id, runs.c.state)
    query = select(*by_job, func.count()).where(_between(start, end)).group_by(*by_job)
    rows = connection.execute(query.with_hint(runs, "INDEXED BY runs_by_time", "sqlite"))
    return [((name, job_id), RunState(state), count) for name, job_id, state, count in rows]


def _count(
    connection: Connection, start: Instant, end: Instant, portion: int, *, is_by_hour: bool
) -> list[tuple[Instant, RunState, int]]:
    """Return the hour, or *start*, the state and the number of the rows from *start* until before *end*."""
    first = start // HOUR * HOUR
    if not is_by_hour:
        query = _counts_of([(start, start, end)])
    elif (end - first) // HOUR * ROWS_OF_AN_HOUR <= portion:
        hours = range(first, end, HOUR)
        query = _counts_of([(each, max(each, start), min(each + HOUR, end)) for each in hours])
    else:
        query = _groups_of(start, end)
    rows = connection.execute(query)
    return [(hour, RunState(state), count) for hour, state, count in rows if count]


def _counts_of(spans: Sequence[tuple[Instant, Instant, Instant]]) -> Select[Any]:
    """Return the question for name, state and number of each of *spans*: name, first instant and end.

    It costs 3 steps a row, because it reads nothing but ranges of the index of states.
    """
    names = [column(name, BigInteger) for name in ("name", "since", "until")]
    span = values(*names, name="span").data(spans).cte()
    given = [(state.value,) for state in RunState]
    state = values(column("state", Text), name="state").data(given).cte()
    number = (
        select(func.count())
        .where(
            runs.c.state == state.c.state,
            runs.c.claimed_at >= span.c.since,
            runs.c.claimed_at < span.c.until,
        )
        .with_hint(runs, "INDEXED BY runs_by_state", "sqlite")
        .correlate(span, state)
        .scalar_subquery()
    )
    return select(span.c.name, state.c.state, number).join_from(span, state, true())


def _groups_of(start: Instant, end: Instant) -> Select[Any]:
    """Return the question for hour, state and number, which costs 17 steps a row, but none an hour."""
    hour = (runs.c.claimed_at // literal_column(str(HOUR), BigInteger) * HOUR).label("hour")
    of_states = (runs.c.state.in_([state.value for state in RunState]), _between(start, end))
    query = select(hour, runs.c.state, func.count()).where(*of_states).group_by(runs.c.state, hour)
    return query.with_hint(runs, "INDEXED BY runs_by_state", "sqlite")


def _between(start: Instant, end: Instant) -> ColumnElement[bool]:
    return (runs.c.claimed_at >= start) & (runs.c.claimed_at < end)
