"""Removed jobs, found by their revisions and their history.

Rule: never returns an installed job. The revisions and the history of a job outlive it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, exists, select

from luad.core.installed import JobStatus
from luad.core.model import Creation, Origin, RunState
from luad.store.query_types import GoneJob
from luad.store.tables import jobs, revisions, runs

_IS_GONE: Final = ~exists().where(jobs.c.job_id == revisions.c.job_id)
_PREFIX: Final = "job_"


def find_gone(connection: Connection, name: str) -> GoneJob | None:
    """Return the removed job of that id, or the newest one of that name."""
    return (
        _newest(connection, revisions.c.job_id == name)
        or _by_prefix(connection, name)
        or _newest(connection, revisions.c.name == name)
    )


def earlier_id(connection: Connection, name: str, job_id: str) -> str | None:
    """Return the id of the newest removed job of that name, other than *job_id*."""
    is_other = (revisions.c.name == name) & (revisions.c.job_id != job_id)
    query = select(revisions.c.job_id).where(is_other, _IS_GONE)
    return connection.execute(query.order_by(revisions.c.job_id.desc()).limit(1)).scalar()


def _by_prefix(connection: Connection, prefix: str) -> GoneJob | None:
    """Return the removed job whose id begins with *prefix*, if there is only one."""
    if not prefix.lower().startswith(_PREFIX) or len(prefix) == len(_PREFIX):
        return None
    whole = _PREFIX + prefix[len(_PREFIX) :].upper()
    begins = (revisions.c.job_id >= whole) & (revisions.c.job_id < whole + "\U0010ffff")
    ids = select(revisions.c.job_id).where(begins, _IS_GONE).distinct().limit(2)
    found = connection.execute(ids).scalars().all()
    return _newest(connection, revisions.c.job_id == found[0]) if len(found) == 1 else None


def _newest(connection: Connection, condition: ColumnElement[bool]) -> GoneJob | None:
    # Ids sort by time, so the index knows the newest job of a name.
    newest = (revisions.c.job_id.desc(), revisions.c.last_installed_at.desc())
    query = select(revisions).where(condition, _IS_GONE).order_by(*newest).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _read(connection, row)


def _read(connection: Connection, row: Any) -> GoneJob:
    facts = (row.job_id, row.name, row.revision, row.definition_json, row.first_seen_at)
    if row.gone_json is None:
        return GoneJob(*facts, *_guess(connection, row))
    match json.loads(row.gone_json):
        case {"status": str(status), "origin": origin, "creation": creation}:
            return GoneJob(
                *facts,
                JobStatus(status),
                row.gone_at,
                Origin(*origin) if origin else None,
                Creation(*creation) if creation else None,
            )
    raise ValueError("this is not a record of a removed job")


def _guess(connection: Connection, row: Any) -> tuple[JobStatus, None, None, Creation | None]:
    """Return the likely status of a job that an older luad removed.

    A `once` whose last run succeeded is completed; every other job is deleted.
    """
    made = None
    if row.created_by_run is not None:
        made = Creation(row.first_seen_at, "", row.created_by_run)
    last = (
        select(runs.c.state)
        .where(runs.c.job_id == row.job_id)
        .order_by(runs.c.claimed_at.desc(), runs.c.id.desc())
        .limit(1)
    )
    is_once = json.loads(row.definition_json).get("schedule", {}).get("type") == "once"
    if is_once and connection.execute(last).scalar() == RunState.SUCCEEDED.value:
        return JobStatus.COMPLETED, None, None, made or Creation(row.first_seen_at)
    return JobStatus.DELETED, None, None, made
