"""The audit trail: requests for changes with their actors, with a limit for each actor.

An actor cannot push out rows of another actor, or its own rows of the last 24 hours. Rows above the limit are
counted in one row of that actor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, delete, func, select, tuple_
from sqlalchemy.dialects.sqlite import insert

from luad.core.model import DAY, JSON, Instant
from luad.store.access_tables import audit, audit_jobs
from luad.store.columns import to_int, to_json, to_text
from luad.store.query_budget import QueryBudget

MOST_OF_AN_ACTOR: Final = 10_000
"""The largest number of rows of one actor: some 4 MB."""

_REMOVED_AT_ONCE: Final = 100
_LOOKED_AT: Final = 100
"""Rows that a search looks at before it looks at its budget."""

_note = insert(audit).on_conflict_do_nothing()
_link = insert(audit_jobs).on_conflict_do_nothing()

Place = tuple[Instant, str]
"""The instant and the id of a row."""


def actor_of(entry: Mapping[str, JSON]) -> str:
    """Return the name of the actor of *entry*: its token, or its user id."""
    return str(entry.get("actor") or f"uid {entry.get('uid', -1)}")


class Trail:
    """Writes rows, and counts those of each actor; only for the writer's thread."""

    def __init__(self, most: int = MOST_OF_AN_ACTOR) -> None:
        self.most = most
        self._counts: dict[str, int] = {}

    def note(
        self,
        connection: Connection,
        at: Instant,
        row_id: str,
        entry: Mapping[str, JSON],
        job_ids: Sequence[str] = (),
    ) -> None:
        """Write a row that the activity of *job_ids* shows, or only count it if the actor is at the limit."""
        actor = actor_of(entry)
        count = self._counts.get(actor)
        if count is None:
            count = self._count(connection, actor)
        if count >= self.most:
            count -= self._remove_old(connection, actor, at)
        if count < self.most:
            row = {"id": to_text(row_id), "at": to_int(at), "entry_json": to_json(entry)}
            is_new = connection.execute(_note, row | {"actor": to_text(actor)}).rowcount
            count += is_new
            if is_new and job_ids:
                connection.execute(_link, [_link_row(row, each) for each in job_ids])
        else:
            _count_one(connection, actor, at, entry)
        self._counts[actor] = count

    def forget(self) -> None:
        """Drop the counts, because rows were removed."""
        self._counts.clear()

    @staticmethod
    def _count(connection: Connection, actor: str) -> int:
        query = select(func.count()).where(audit.c.actor == to_text(actor))
        return int(connection.execute(query).scalar_one())

    @staticmethod
    def _remove_old(connection: Connection, actor: str, at: Instant) -> int:
        old = (
            select(audit.c.id)
            .where((audit.c.actor == to_text(actor)) & (audit.c.at < at - DAY))
            .order_by(audit.c.at)
            .limit(_REMOVED_AT_ONCE)
        )
        return connection.execute(delete(audit).where(audit.c.id.in_(old))).rowcount


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """A filter for entries of the audit trail; an empty field excludes nothing.

    *job_id*: the entries about one job; *since*: inclusive; *statuses*: ranges of HTTP statuses, each from its
    first to before its second number.
    """

    job_id: str | None = None
    actor: str | None = None
    since: Instant | None = None
    statuses: frozenset[tuple[int, int]] = frozenset()

    def fits(self, entry: Mapping[str, JSON]) -> bool:
        """Return whether an entry passes the parts of the filter that no index decides."""
        if self.actor is not None and actor_of(entry) != self.actor:
            return False
        status = entry.get("status")
        if not self.statuses or not isinstance(status, int):
            return not self.statuses
        return any(low <= status < high for low, high in self.statuses)


EVERY_ENTRY: Final = AuditFilter()


class AuditEntry(NamedTuple):
    """An entry of the audit trail."""

    at: Instant
    id: str
    entry: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of the audit trail. *end*: the place after which the next page begins; None at the end.

    *is_complete*: False if the time for the search was over.
    """

    entries: list[AuditEntry]
    end: Place | None = None
    is_complete: bool = True


def page(
    connection: Connection,
    wanted: AuditFilter,
    limit: int,
    before: Place | None,
    budget: QueryBudget,
) -> AuditPage:
    """Return up to *limit* entries after the place *before*, newest first, as far as *budget* permits."""
    found: list[AuditEntry] = []
    rows = connection.execute(_walk(wanted, before)).yield_per(_LOOKED_AT)
    for number, row in enumerate(rows, 1):
        entry: Mapping[str, JSON] = json.loads(row.entry_json)
        if wanted.fits(entry):
            found.append(AuditEntry(row.at, row.id, entry))
        if len(found) > limit:
            rows.close()
            return AuditPage(found[:limit], found[limit - 1][:2])
        if number % _LOOKED_AT == 0 and budget.is_over():
            rows.close()
            return AuditPage(found, (row.at, row.id), is_complete=False)
    return AuditPage(found)


def _walk(wanted: AuditFilter, before: Place | None) -> Select[Any]:
    """Return the rows of the index that excludes the most, newest first."""
    of_job = wanted.job_id is not None
    at, row_id = (audit_jobs.c.at, audit_jobs.c.audit_id) if of_job else (audit.c.at, audit.c.id)
    query = select(audit).order_by(at.desc(), row_id.desc())
    if wanted.job_id is not None:
        query = query.join(audit_jobs, audit_jobs.c.audit_id == audit.c.id)
        query = query.where(audit_jobs.c.job_id == to_text(wanted.job_id))
    elif wanted.actor is not None:
        query = query.where(audit.c.actor == to_text(wanted.actor))
    if wanted.since is not None:
        query = query.where(at >= to_int(wanted.since))
    if before is not None:
        query = query.where(at <= before[0], tuple_(at, row_id) < tuple_(*before))
    return query


def _link_row(row: Mapping[str, object], job_id: str) -> dict[str, object]:
    return {"audit_id": row["id"], "job_id": to_text(job_id), "at": row["at"]}


def _count_one(connection: Connection, actor: str, at: Instant, entry: Mapping[str, JSON]) -> None:
    """Count a row above the limit; the row of the counter has no actor, so it does not count itself."""
    row_id = f"not_kept_{blake2b(actor.encode(), digest_size=8).hexdigest()}"
    known = connection.execute(select(audit.c.entry_json).where(audit.c.id == row_id)).scalar()
    count = int(json.loads(known)["not_kept"]) if known else 0
    kept = {key: entry[key] for key in ("via", "actor", "uid") if key in entry}
    row: dict[str, object] = {
        "id": row_id,
        "at": to_int(at),
        "entry_json": to_json({**kept, "not_kept": count + 1}),
    }
    change = insert(audit).values(row)
    connection.execute(change.on_conflict_do_update(index_elements=["id"], set_=row))
