"""Queries of jobs and single runs, each from one snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    literal_column,
    select,
    true,
)

from luad.core.events import Restored
from luad.core.lifecycle import BAD_STATES, NEVER_RAN
from luad.core.model import OPEN_STATES, EndKind, Reason, RunState
from luad.errors import ConflictError, NotFoundError
from luad.store import job_rows
from luad.store.columns import read_error, read_run
from luad.store.query_types import Attempt, RecentRun, Revision, RunFilter, RunRow
from luad.store.run_pages import page
from luad.store.tables import attempts, jobs, meta, revisions, runs

_OPEN: Final = sorted(state.value for state in OPEN_STATES)
_AT_ONCE: Final = 500  # parameters in one statement
_newest: Final = runs.alias("newest")


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
        if run.attempt > 1 or each.end_kind is not None  # else it only names the worker
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

    The query finds row numbers in SQLite's index, so that each row costs one read of the table; PostgreSQL has none.
    """
    key: ColumnElement[Any] = _newest.c.id
    own_key: ColumnElement[Any] = runs.c.id
    if connection.dialect.name == "sqlite":
        key, own_key = literal_column("newest.rowid"), literal_column("runs.rowid")
    within: Select[Any] = (
        select(key)
        .where(_newest.c.job_id == jobs.c.job_id, condition)
        .order_by(_newest.c.claimed_at.desc(), _newest.c.id.desc())
        .limit(limit)
        .with_hint(_newest, "INDEXED BY runs_by_job", "sqlite")
        .correlate(jobs)
    )
    query: Select[Any] = select(
        runs.c.job_id, runs.c.id, runs.c.state, runs.c.started_at, runs.c.ended_at, runs.c.reason
    ).select_from(jobs.join(runs, own_key.in_(within)))
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
