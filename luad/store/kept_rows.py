"""The ended rows of the history in short, kept between two questions.

Rule: the row of a run that has ended does not change in the columns that are kept, so it is read once. The index
says which rows there are, so a removed row is not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from luad.core.model import OPEN_STATES, Reason, RunState
from luad.json_text import encode_text
from luad.store import queries
from luad.store.query_types import RecentRun
from luad.store.tables import jobs, runs

MOST: Final = 4_096
"""Rows that are kept, about 300 bytes each: those of two pages of jobs."""

_AT_ONCE: Final = 500  # parameters in one statement
_newest: Final = runs.alias("newest")

Strip = tuple[RecentRun, ...]


class KeptRows:
    """The ended rows of the jobs that were asked for last, at most `MOST`; several threads may ask."""

    def __init__(self) -> None:
        self._known: dict[str, Strip] = {}  # replaced as a whole, because other threads read it

    def recent_runs(
        self, connection: Connection, job_ids: Sequence[str], limit: int
    ) -> dict[str, Strip]:
        """Return the last rows of each job, oldest first; a job without rows has no entry."""
        if len(job_ids) * limit > MOST:
            return queries.recent_runs(connection, job_ids, limit)
        known = self._known
        new = [job_id for job_id in job_ids if job_id not in known]
        strips = queries.recent_runs(connection, new, limit)  # whose ids would tell nothing
        strips |= _completed(connection, [each for each in job_ids if each in known], known, limit)
        ended = {job_id: tuple(filter(_has_ended, strip)) for job_id, strip in strips.items()}
        self._known = _up_to_most({job_id: rows for job_id, rows in ended.items() if rows}, known)
        return strips


def _completed(
    connection: Connection, job_ids: Sequence[str], known: Mapping[str, Strip], limit: int
) -> dict[str, Strip]:
    """Return the last rows of jobs of which some are known; only the others are read."""
    rows = {row.id: row for job_id in job_ids for row in known[job_id]}
    ids_by_job = dict(_newest_ids(connection, job_ids, limit))
    rows |= _read(
        connection, [each for ids in ids_by_job.values() for each in ids if each not in rows]
    )
    return {job_id: tuple(rows[each] for each in ids) for job_id, ids in ids_by_job.items()}


def _up_to_most(fresh: Mapping[str, Strip], known: Mapping[str, Strip]) -> dict[str, Strip]:
    """Return *fresh*, and of *known* what there is room for beside it."""
    kept, room = dict(fresh), MOST - sum(map(len, fresh.values()))
    for job_id, rows in known.items():
        if job_id not in kept and len(rows) <= room:
            kept[job_id] = rows
            room -= len(rows)
    return kept


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


def _read(connection: Connection, ids: Sequence[str]) -> dict[str, RecentRun]:
    found: dict[str, RecentRun] = {}
    for query in _questions(connection, ids):
        for row_id, state, started_at, ended_at, reason in connection.execute(query).all():
            why = None if reason is None else Reason(reason)
            found[row_id] = RecentRun(row_id, RunState(state), started_at, ended_at, why)
    return found


def _questions(connection: Connection, ids: Sequence[str]) -> Iterator[Select[Any]]:
    """Yield the questions that together answer with all rows that have one of *ids*."""
    query = select(runs.c.id, runs.c.state, runs.c.started_at, runs.c.ended_at, runs.c.reason)
    if ids and connection.dialect.name == "sqlite":
        # A join with a list costs 11 steps a row; one with a set of parameters costs 17.
        wanted = func.json_each(encode_text(ids)).table_valued("value", name="wanted")
        yield query.select_from(wanted).join(runs, runs.c.id == wanted.c.value)
        return
    for part in _parts(ids):
        yield query.where(runs.c.id.in_(part))


def _parts(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
