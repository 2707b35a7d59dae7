"""The ended rows of the history in short, kept between two questions.

Rule: the row of a run that has ended does not change in the columns that are kept, so it is read once. The index
says which rows there are, so a removed row is not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from luad.core.model import OPEN_STATES, Reason, RunState
from luad.store import queries
from luad.store.query_types import RecentRun
from luad.store.tables import jobs, runs

MOST: Final = 4_096
"""Rows that are kept, about 300 bytes each: those of two pages of jobs."""

MANY: Final = 4
"""Where one row of so many is unknown, one question reads all rows: a row by its id costs twice as much."""

_AT_ONCE: Final = 500  # parameters in one statement
_newest: Final = runs.alias("newest")


class KeptRows:
    """The rows that were asked for last, at most `MOST`; several threads may ask."""

    def __init__(self) -> None:
        self._known: dict[str, RecentRun] = {}  # replaced as a whole, because other threads read it

    def recent_runs(
        self, connection: Connection, job_ids: Sequence[str], limit: int
    ) -> dict[str, tuple[RecentRun, ...]]:
        """Return the last rows of each job, oldest first; a job without rows has no entry."""
        if len(job_ids) * limit > MOST:
            return queries.recent_runs(connection, job_ids, limit)
        known = self._known
        ids_by_job = dict(_newest_ids(connection, job_ids, limit))
        asked = [row_id for ids in ids_by_job.values() for row_id in ids]
        unknown = [row_id for row_id in asked if row_id not in known]
        if MANY * len(unknown) >= len(asked):
            strips = queries.recent_runs(connection, job_ids, limit)
        else:
            found = known | _read(connection, unknown)
            strips = {
                job_id: tuple(found[row_id] for row_id in ids) for job_id, ids in ids_by_job.items()
            }
        kept = {row.id: row for strip in strips.values() for row in strip if _has_ended(row)}
        others = (pair for pair in known.items() if pair[0] not in kept)
        self._known = kept | dict(islice(others, MOST - len(kept)))
        return strips


def _has_ended(row: RecentRun) -> bool:
    return row.state not in OPEN_STATES


def _newest_ids(
    connection: Connection, job_ids: Iterable[str], limit: int
) -> Iterator[tuple[str, list[str]]]:
    """Yield the ids of the last rows of each job, oldest first; only the index is read."""
    ids = (
        select(_newest.c.id)
        .where(_newest.c.job_id == jobs.c.job_id)
        .order_by(_newest.c.claimed_at.desc(), _newest.c.id.desc())
        .limit(limit)
        .with_hint(_newest, "INDEXED BY runs_by_job", "sqlite")
        .correlate(jobs)
        .subquery()
    )
    joined = select(func.aggregate_strings(ids.c.id, ",")).scalar_subquery()
    query: Select[Any] = select(jobs.c.job_id, joined)
    for part in _parts(job_ids):
        for job_id, text in connection.execute(query.where(jobs.c.job_id.in_(part))).all():
            if text:
                yield job_id, sorted(text.split(","))


def _read(connection: Connection, ids: Iterable[str]) -> dict[str, RecentRun]:
    found: dict[str, RecentRun] = {}
    query = select(runs.c.id, runs.c.state, runs.c.started_at, runs.c.ended_at, runs.c.reason)
    for part in _parts(ids):
        rows = connection.execute(query.where(runs.c.id.in_(part))).all()
        for row_id, state, started_at, ended_at, reason in rows:
            why = None if reason is None else Reason(reason)
            found[row_id] = RecentRun(row_id, RunState(state), started_at, ended_at, why)
    return found


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
