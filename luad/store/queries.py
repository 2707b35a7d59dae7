"""Queries of the history, each from one snapshot.

Pages are bounded walks along an index: the cost of a page depends on its length, not on the number of rows.
For a filter with several values, each value is a walk of its own, and the walks are merged.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    text,
    true,
    tuple_,
)

from luad.core.events import Restored
from luad.core.lifecycle import BAD_STATES, NEVER_RAN
from luad.core.messaging import DeliveryState
from luad.core.model import OPEN_STATES, EndKind, Reason, RunState, Trigger
from luad.cursors import make_cursor, read_row_cursor
from luad.errors import ConflictError, NotFoundError
from luad.store import job_rows
from luad.store.columns import read_error, read_run
from luad.store.query_types import Attempt, RecentRun, Revision, RunFilter, RunRow
from luad.store.tables import attempts, deliveries, jobs, messages, meta, revisions, runs

_OPEN: Final = sorted(state.value for state in OPEN_STATES)
_AT_ONCE: Final = 500  # parameters in one statement
_WALKS: Final = 32  # above this number of walks, a sort is cheaper
_NEWEST: Final = (runs.c.claimed_at.desc(), runs.c.id.desc())
_newest: Final = runs.alias("newest")
_LONG: Final = {
    "metadata": ("metadata_json",),
    "result": ("result_json",),
    "error": ("error_type", "error_message"),
    "traceback": ("error_traceback",),
}
"""Columns that may be long, by the member of a run that they hold."""

_failed_to_send: Final = (
    select(messages.c.run_id)
    .join(deliveries, deliveries.c.message_id == messages.c.id)
    .where(messages.c.run_id.is_not(None), deliveries.c.state == DeliveryState.FAILED.value)
)


# --- start-up ----------------------------------------------------------------------------------


_installed: Final = select(*job_rows.COLUMNS).order_by(jobs.c.name)
_waiting: Final = select(runs).where(runs.c.state.in_(_OPEN)).order_by(runs.c.claimed_at, runs.c.id)
_pinned: Final = (
    select(runs.c.id, revisions.c.revision, revisions.c.definition_json)
    .join(
        revisions,
        and_(revisions.c.job_id == runs.c.job_id, revisions.c.revision == runs.c.revision),
    )
    .where(runs.c.state.in_(_OPEN), runs.c.is_pinned)
)
_last_seen: Final = select(meta.c.value).where(meta.c.key == "last_seen")


def restored(connection: Connection) -> Restored:
    """Return everything that start-up needs. Raises ValueError for an invalid row."""
    installed = connection.execute(_installed)
    waiting = connection.execute(_waiting)
    seen = connection.execute(_last_seen).scalar()
    return Restored(
        jobs=tuple(map(job_rows.read_job, installed)),
        open_runs=tuple(read_run(row).run for row in waiting),
        last_seen=None if seen is None else int(seen),
        pinned=tuple(map(tuple, connection.execute(_pinned))),
    )


# --- pages -------------------------------------------------------------------------------------


def page(
    connection: Connection,
    wanted: RunFilter,
    limit: int,
    cursor: str | None,
    offset: int = 0,
    without: Collection[str] = (),
) -> tuple[list[RunRow], str | None]:
    """Return up to *limit* rows, newest first, and the cursor of the next page, if there is one.

    It does not read the columns *without*, keys of `_LONG`. It skips *offset* rows first. Raises UsageError for a text that is not a cursor.
    """
    assert limit > 0
    last = offset + limit
    filters = _filters(wanted, cursor)
    found: list[Any] = []
    for index, walk in _walks(connection, wanted):
        query = select(*_columns(without)).select_from(runs).where(walk, *filters)
        query = query.order_by(*_NEWEST).limit(last + 1)
        if index:
            query = query.with_hint(runs, f"INDEXED BY {index}", "sqlite")
        found += connection.execute(query)
    found.sort(key=lambda row: (row.claimed_at, row.id), reverse=True)
    rows = [read_run(row) for row in found[offset:last]]
    return rows, make_cursor((rows[-1].run.claimed_at, rows[-1].run.id)) if len(
        found
    ) > last else None


def _columns(without: Collection[str]) -> list[ColumnElement[Any]]:
    left_out = {name for key in without for name in _LONG[key]}
    return [null().label(each.name) if each.name in left_out else each for each in runs.c]


def count_rows(connection: Connection, wanted: RunFilter, most: int) -> int:
    """Return the number of rows that match *wanted*, but at most *most*."""
    filters, count = _filters(wanted, None), 0
    for index, walk in _walks(connection, wanted):
        query = select(runs.c.id).where(walk, *filters).limit(most - count)
        if index:
            query = query.with_hint(runs, f"INDEXED BY {index}", "sqlite")
        found = connection.execute(select(func.count()).select_from(query.subquery()))
        count += int(found.scalar_one())
        if count >= most:
            break
    return count


def _filters(wanted: RunFilter, cursor: str | None) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    if wanted.statuses:
        filters.append(runs.c.state.in_(sorted(wanted.statuses)))
    if wanted.triggers:
        filters.append(runs.c.trigger.in_(sorted(wanted.triggers)))
    if wanted.since is not None:
        filters.append(runs.c.claimed_at >= wanted.since)
    if wanted.until is not None:
        filters.append(runs.c.claimed_at < wanted.until)
    if wanted.user is not None:
        filters.append(runs.c.user_id == wanted.user)
    if wanted.q is not None:
        filters.append(
            or_(
                runs.c.job_name.contains(wanted.q, autoescape=True),
                runs.c.error_type.contains(wanted.q, autoescape=True),
                runs.c.error_message.contains(wanted.q, autoescape=True),
            )
        )
    if wanted.has_arrived is not None:
        filters.append(_arrival(has_arrived=wanted.has_arrived))
    if cursor is not None:
        at, row_id = read_row_cursor(cursor)
        # The first condition enters the index; the second one decides between equal instants.
        place = tuple_(runs.c.claimed_at, runs.c.id) < tuple_(at, row_id)
        filters += [runs.c.claimed_at <= at, place]
    return filters


def _arrival(*, has_arrived: bool) -> ColumnElement[bool]:
    sent = exists().where(messages.c.run_id == runs.c.id)
    lost = exists().where(
        messages.c.run_id == runs.c.id,
        deliveries.c.message_id == messages.c.id,
        deliveries.c.state == DeliveryState.FAILED.value,
    )
    return and_(sent, ~lost) if has_arrived else lost


def _walks(connection: Connection, wanted: RunFilter) -> list[tuple[str, ColumnElement[bool]]]:
    """Return walks that together cover all rows of *wanted*: the index and condition of each."""
    if wanted.job is not None or wanted.job_id is not None:
        ids = _job_ids(connection, wanted)
        if len(ids) > _WALKS:
            return [("", runs.c.job_id.in_(ids))]
        return [("runs_by_job", runs.c.job_id == each) for each in ids]
    if wanted.triggers and Trigger.SCHEDULE not in wanted.triggers:
        rare = text("trigger <> 'schedule'")  # word for word the index's own condition
        return [
            ("runs_by_rare_trigger", and_(runs.c.trigger == each.value, rare))
            for each in sorted(wanted.triggers)
        ]
    if wanted.user is not None:
        there = text("user_id IS NOT NULL")  # word for word the index's own condition
        return [("runs_by_user", and_(runs.c.user_id == wanted.user, there))]
    if wanted.has_arrived is False:
        # Few messages fail: finding them costs less than checking the messages of every run.
        return [("", runs.c.id.in_(_failed_to_send))]
    if wanted.statuses:
        return [("runs_by_state", runs.c.state == each.value) for each in sorted(wanted.statuses)]
    return [("runs_by_time", literal_column("1") == literal_column("1"))]


def _job_ids(connection: Connection, wanted: RunFilter) -> list[str]:
    if wanted.job is None:
        assert wanted.job_id is not None
        return [wanted.job_id]
    query = select(revisions.c.job_id).where(revisions.c.name == wanted.job).distinct()
    ids = list(connection.execute(query).scalars())
    return ids if wanted.job_id is None else [each for each in ids if each == wanted.job_id]


# --- single runs -------------------------------------------------------------------------------


def find_run(connection: Connection, name: str, job: str | None) -> RunRow:
    """Return the run of *name*: an id, the beginning of only one id, `@last` or `@last-failed`.

    Raises NotFoundError without such a run, and ConflictError (`ambiguous`) with several.
    """
    if name in {"@last", "@last-failed"}:
        states = BAD_STATES if name == "@last-failed" else frozenset(RunState) - NEVER_RAN
        rows, _ = page(connection, RunFilter(job=job, statuses=states), 1, None)
        if rows:
            return rows[0]
        whose = f" of {job}" if job else ""
        is_any = name == "@last"
        raise NotFoundError(
            f"no run{whose} exists yet" if is_any else f"no run{whose} has failed yet",
            hint="luad history lists them",
        )
    for each in dict.fromkeys((name, _canonical(name))):
        found = _beginning_with(connection, each)
        if found:
            return found
    raise NotFoundError(f"no run has the id {name}", hint="luad history lists them")


def _canonical(name: str) -> str:
    prefix, mark, rest = name.partition("_")
    return f"{prefix.lower()}{mark}{rest.upper()}" if mark else f"run_{name.upper()}"


def _beginning_with(connection: Connection, prefix: str) -> RunRow | None:
    exact = connection.execute(select(runs).where(runs.c.id == prefix)).one_or_none()
    if exact is not None:
        return read_run(exact)
    if not prefix.removeprefix("run_"):
        return None
    query = (
        select(runs)
        .where(runs.c.id >= prefix, runs.c.id < prefix + "\U0010ffff")
        .order_by(runs.c.id)
        .limit(4)
    )
    rows = connection.execute(query).all()
    if len(rows) > 1:
        some = ", ".join(row.id for row in rows[:3])
        raise ConflictError(
            f"the ids of several runs begin with {prefix}: {some}",
            hint="write more of the id",
            code="ambiguous",
        )
    return read_run(rows[0]) if rows else None


def attempts_of(connection: Connection, row: RunRow) -> list[Attempt]:
    """Return the attempts of a run, the first one first."""
    run = row.run
    query = select(attempts).where(attempts.c.run_id == run.id).order_by(attempts.c.attempt)
    found = [
        Attempt(
            run.id,
            each.attempt,
            each.started_at,
            each.ended_at,
            each.pid,
            None if each.end_kind is None else EndKind(each.end_kind),
            each.exit_code,
            each.signal,
            read_error(each),
        )
        for each in connection.execute(query)
    ]
    if run.attempt > 1 or found or (run.started_at is None and run.ending is None):
        return found
    ending = run.ending
    only = Attempt(
        run.id, 1, run.started_at, run.ended_at, run.identity.pid if run.identity else None
    )
    if ending is None:
        return [only]
    return [
        Attempt(
            run.id,
            1,
            run.started_at,
            ending.at,
            only.pid,
            ending.kind,
            ending.exit_code,
            ending.signal,
            ending.error,
        )
    ]


# --- jobs --------------------------------------------------------------------------------------


def recent_runs(
    connection: Connection, job_ids: Iterable[str], limit: int
) -> dict[str, tuple[RecentRun, ...]]:
    """Return the last rows of each job, oldest first; a job without rows has no entry."""
    strips: dict[str, list[RecentRun]] = {}
    for job_id, cell in _newest_of(connection, job_ids, limit, true()):
        strips.setdefault(job_id, []).append(cell)
    return {job_id: tuple(sorted(strip)) for job_id, strip in strips.items()}


def last_runs(connection: Connection, job_ids: Iterable[str]) -> dict[str, RecentRun]:
    """Return the newest run of each job, without skipped and missed rows."""
    return dict(_newest_of(connection, job_ids, 1, _newest.c.state.not_in(sorted(NEVER_RAN))))


def _newest_of(
    connection: Connection, job_ids: Iterable[str], limit: int, condition: ColumnElement[bool]
) -> Iterator[tuple[str, RecentRun]]:
    """Yield the newest rows of each job, in no order.

    The query finds row numbers in the index, so that each row costs one read of the table.
    """
    within: Select[Any] = (
        select(literal_column("newest.rowid"))
        .where(_newest.c.job_id == jobs.c.job_id, condition)
        .order_by(_newest.c.claimed_at.desc(), _newest.c.id.desc())
        .limit(limit)
        .with_hint(_newest, "INDEXED BY runs_by_job", "sqlite")
        .correlate(jobs)
    )
    query: Select[Any] = select(
        runs.c.job_id, runs.c.id, runs.c.state, runs.c.started_at, runs.c.ended_at, runs.c.reason
    ).select_from(jobs.join(runs, literal_column("runs.rowid").in_(within)))
    for part in _parts(job_ids):
        rows = connection.execute(query.where(jobs.c.job_id.in_(part))).all()
        for job_id, row_id, state, started_at, ended_at, reason in rows:
            why = None if reason is None else Reason(reason)
            yield job_id, RecentRun(row_id, RunState(state), started_at, ended_at, why)


def revisions_of(connection: Connection, job_id: str) -> list[Revision]:
    """Return the revisions of a job, the latest installed first."""
    query = (
        select(revisions)
        .where(revisions.c.job_id == job_id)
        .order_by(revisions.c.last_installed_at.desc(), revisions.c.first_seen_at.desc())
    )
    return [
        Revision(
            row.job_id,
            row.revision,
            row.name,
            json.loads(row.definition_json),
            row.first_seen_at,
            row.last_installed_at,
        )
        for row in connection.execute(query)
    ]


# --- numbers -----------------------------------------------------------------------------------


def counts(connection: Connection) -> dict[RunState, int]:
    """Return the number of rows in each state, with 0 for states without rows."""
    query = select(runs.c.state, func.count()).group_by(runs.c.state)
    found = {RunState(state): number for state, number in connection.execute(query)}
    return {state: found.get(state, 0) for state in RunState}


def run_count(connection: Connection) -> int:
    """Return how many rows there are, in all states."""
    return connection.execute(select(func.count()).select_from(runs)).scalar_one()


def _parts(ids: Iterable[str]) -> Iterable[Sequence[str]]:
    rest = iter(ids)
    while part := list(islice(rest, _AT_ONCE)):
        yield part


def created_jobs(connection: Connection, run_id: str) -> list[str]:
    """Return the sorted names of the jobs that a run created."""
    query = select(revisions.c.name).where(revisions.c.created_by_run == run_id).distinct()
    return sorted(connection.execute(query).scalars())
