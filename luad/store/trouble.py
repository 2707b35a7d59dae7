"""The jobs, runs and messages that need a look, found along indexes of what went wrong.

Rule: a question costs what it finds: at most `MOST` rows of each kind, and `WALK` rows of the history of each job.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, Select, func, select, text

from luad.core.installed import Acknowledgement
from luad.core.lifecycle import BAD_STATES
from luad.core.model import DAY, MINUTE, Instant, RunState
from luad.core.names import PAUSED_BY_LUAD, is_over_for_a_day
from luad.store.access_tables import acknowledgements
from luad.store.job_rows import read_alert
from luad.store.query_budget import QueryBudget
from luad.store.run_filters import NEWEST
from luad.store.run_stats import of_job
from luad.store.tables import deliveries, jobs, messages, runs

MOST: Final = 200
WALK: Final = 50
WITHIN: Final = DAY
"""How far back a missed occurrence or a failed delivery needs a look."""

LATE_MS: Final = MINUTE
LEAST_GOOD: Final = 5
"""Successful runs from which a usual duration is known."""

SLOW_FACTOR: Final = 2
LEAST_SLOW_MS: Final = MINUTE


class Kind(StrEnum):
    """The kinds of trouble, in the order in which they are shown."""

    DAEMON = "daemon"
    QUEUE = "queue"
    FAILING = "failing"
    PAUSED_BY_FAILURES = "paused_by_failures"
    MISSED = "missed"
    LATE = "late"
    SLOW = "slow"
    FILE = "file"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that needs a look. *key*: with the kind, its identity; *count*: failures, occurrences or channels.

    *usual_ms* of a slow run: its usual and its usual longest duration. *total*: the channels of a message.
    """

    kind: Kind
    key: str
    since: Instant | None = None
    text: str = ""
    count: int = 1
    job: str | None = None
    job_id: str | None = None
    run_id: str | None = None
    user: str | None = None
    usual_ms: tuple[int, int] | None = None
    total: int | None = None
    acknowledged: Acknowledgement | None = None

    @property
    def id(self) -> str:
        """The id, which stays the same as long as the trouble lasts."""
        return f"{self.kind}.{self.key}"


class Found(NamedTuple):
    """The trouble that was found, and whether that is all of it."""

    troubles: list[Trouble]
    is_complete: bool


def find(connection: Connection, now: Instant, budget: QueryBudget) -> Found:
    """Return what needs a look at *now*, each kind in order, as far as *budget* permits."""
    found: list[Trouble] = []
    is_complete = True
    for kind in (_of_jobs, _missed, _late, _slow, _undelivered):
        before = len(found)
        for trouble in kind(connection, now):
            found.append(trouble)
            if budget.is_over():
                return Found(found, is_complete=False)
        is_complete = is_complete and len(found) - before < MOST
    return Found(found, is_complete)


def acknowledged(connection: Connection, now: Instant) -> dict[str, Acknowledgement]:
    """Return what was acknowledged besides jobs, by the id of the trouble."""
    rows = connection.execute(
        select(acknowledgements).order_by(acknowledgements.c.at.desc()).limit(1_000)
    )
    known = {row.id: Acknowledgement(row.at, row.author, row.note, row.until) for row in rows}
    return {key: each for key, each in known.items() if each.counts_at(now)}


# --- jobs --------------------------------------------------------------------------------------


_FAILING: Final = (
    select(jobs)
    .where(text("consecutive_failures > 0"))  # word for word the index's own condition
    .with_hint(jobs, "INDEXED BY jobs_failing", "sqlite")
    .order_by(jobs.c.job_id)
    .limit(MOST)
)
_PAUSED: Final = (
    select(jobs)
    .where(text("paused_at IS NOT NULL"), jobs.c.pause_author == PAUSED_BY_LUAD)
    .with_hint(jobs, "INDEXED BY jobs_paused", "sqlite")
    .order_by(jobs.c.job_id)
    .limit(MOST)
)


def _of_jobs(connection: Connection, now: Instant) -> Iterator[Trouble]:
    """Yield the jobs that fail, and those that luad has paused because they failed."""
    paused = connection.execute(_PAUSED).all()
    ids = {row.job_id for row in paused}
    failing = [row for row in connection.execute(_FAILING) if row.job_id not in ids]
    for kind, rows in ((Kind.FAILING, failing), (Kind.PAUSED_BY_FAILURES, paused)):
        for row in rows:
            if not is_over_for_a_day(row.over_at, now):
                yield _trouble_of(connection, kind, row, now)


def _trouble_of(connection: Connection, kind: Kind, row: Row[Any], now: Instant) -> Trouble:
    bad = _failures(connection, row.job_id)
    newest = bad[0] if bad else None
    words = _words(connection, newest)
    return Trouble(
        kind,
        row.job_id,
        since=bad[-1].claimed_at if bad else row.paused_at,
        text=row.pause_reason if kind is Kind.PAUSED_BY_FAILURES and row.pause_reason else words,
        count=row.consecutive_failures or len(bad),
        job=row.name,
        job_id=row.job_id,
        run_id=newest.id if newest else None,
        acknowledged=_acknowledgement(row.alert_json, now),
    )


def _acknowledgement(alert_json: str | None, now: Instant) -> Acknowledgement | None:
    known = None if alert_json is None else read_alert(alert_json).acknowledged
    return known if known is not None and known.counts_at(now) else None


def _newest_of(job_id: str) -> Select[Any]:
    query = select(runs.c.id, runs.c.claimed_at, runs.c.state).where(runs.c.job_id == job_id)
    query = query.with_hint(runs, "INDEXED BY runs_by_job", "sqlite")
    return query.order_by(*NEWEST).limit(WALK)


def _failures(connection: Connection, job_id: str) -> list[Row[Any]]:
    """Return the failed runs since the last success, newest first, of the last `WALK` rows."""
    found: list[Row[Any]] = []
    for row in connection.execute(_newest_of(job_id)).all():
        if row.state == RunState.SUCCEEDED.value:
            break
        if RunState(row.state) in BAD_STATES:
            found.append(row)
    return found


def _words(connection: Connection, row: Row[Any] | None) -> str:
    """Return the error of a run; its state without one."""
    if row is None:
        return ""
    query = select(runs.c.error_type, func.substr(runs.c.error_message, 1, 300).label("message"))
    error = connection.execute(query.where(runs.c.id == row.id)).one()
    if error.error_type is None:
        return str(row.state).replace("_", " ")
    return f"{error.error_type}: {error.message or ''}".rstrip(": ")


# --- occurrences and runs ------------------------------------------------------------------------


def _in_state(state: RunState, *, is_newest_first: bool) -> Select[Any]:
    order = NEWEST if is_newest_first else (runs.c.claimed_at, runs.c.id)
    query = select(runs).where(runs.c.state == state.value).order_by(*order)
    return query.with_hint(runs, "INDEXED BY runs_by_state", "sqlite").limit(MOST)


def _missed(connection: Connection, now: Instant) -> Iterator[Trouble]:
    """Yield the jobs that missed occurrences of the last day and have not succeeded since."""
    query = _in_state(RunState.MISSED, is_newest_first=True)
    by_job: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query.where(runs.c.claimed_at >= now - WITHIN)):
        by_job.setdefault(row.job_id, []).append(row)
    for job_id, rows in by_job.items():
        job = connection.execute(select(jobs.c.alert_json).where(jobs.c.job_id == job_id)).first()
        if job is None or _has_succeeded_since(connection, job_id, rows[0].claimed_at):
            continue
        yield Trouble(
            Kind.MISSED,
            job_id,
            since=min(row.skip_first or row.scheduled_for for row in rows),
            text=rows[0].reason or "",
            count=sum(row.skip_count or 1 for row in rows),
            job=rows[0].job_name,
            job_id=job_id,
            run_id=rows[0].id,
            acknowledged=_acknowledgement(job.alert_json, now),
        )


def _has_succeeded_since(connection: Connection, job_id: str, at: Instant) -> bool:
    rows = connection.execute(_newest_of(job_id))
    return any(row.claimed_at >= at and row.state == RunState.SUCCEEDED.value for row in rows)


def _late(connection: Connection, now: Instant) -> Iterator[Trouble]:
    """Yield the jobs with runs that have waited for their start for more than a minute."""
    query = _in_state(RunState.QUEUED, is_newest_first=False).where(
        runs.c.claimed_at <= now - LATE_MS
    )
    by_job: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        by_job.setdefault(row.job_id, []).append(row)
    for job_id, rows in by_job.items():
        first = rows[0]
        yield Trouble(
            Kind.LATE,
            first.id,
            first.claimed_at,
            count=len(rows),
            job=first.job_name,
            job_id=job_id,
            run_id=first.id,
        )


def _slow(connection: Connection, now: Instant) -> Iterator[Trouble]:
    """Yield the runs that take far longer than runs of their job usually do."""
    for row in connection.execute(_in_state(RunState.RUNNING, is_newest_first=False)).all():
        took = now - (now if row.started_at is None else row.started_at)
        if took < LEAST_SLOW_MS:
            continue
        usual = of_job(connection, row.job_id, WALK)
        good = usual.outcomes.counts[RunState.SUCCEEDED]
        if usual.p50_ms is None or usual.p95_ms is None or good < LEAST_GOOD:
            continue
        if took > SLOW_FACTOR * usual.p95_ms:
            yield Trouble(
                Kind.SLOW,
                row.id,
                row.started_at,
                job=row.job_name,
                job_id=row.job_id,
                run_id=row.id,
                usual_ms=(usual.p50_ms, usual.p95_ms),
            )


# --- messages ------------------------------------------------------------------------------------


def _undelivered(connection: Connection, now: Instant) -> Iterator[Trouble]:
    """Yield the messages of the last day that a channel has not delivered."""
    query = (
        select(deliveries.c.message_id, deliveries.c.channel, deliveries.c.error, messages)
        .join(messages, messages.c.id == deliveries.c.message_id)
        .where(text("state = 'failed'"), deliveries.c.started_at >= now - WITHIN)
        .with_hint(deliveries, "INDEXED BY deliveries_failed", "sqlite")
        .order_by(deliveries.c.started_at.desc(), deliveries.c.message_id.desc())
        .limit(MOST)
    )
    by_message: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        by_message.setdefault(row.message_id, []).append(row)
    for message_id, rows in by_message.items():
        of_it = select(func.count()).where(deliveries.c.message_id == message_id)
        yield Trouble(
            Kind.DELIVERY,
            message_id,
            since=rows[0].at,
            text=", ".join(f"{row.channel}: {row.error}" for row in rows)[:300],
            count=len(rows),
            total=connection.execute(of_it).scalar_one(),
            job=rows[0].job_name,
            run_id=rows[0].run_id,
            user=rows[0].user_id,
        )
