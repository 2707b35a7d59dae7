"""The audit trail: requests for changes with their actors, with a limit for each actor.

An actor cannot push out rows of another actor, or its own rows of the last 24 hours. Rows above the limit are
counted in one row of that actor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from luad.core.model import DAY, JSON, Instant
from luad.store.columns import to_int, to_json, to_text
from luad.store.tables import audit

MOST_OF_AN_ACTOR: Final = 10_000
"""The largest number of rows of one actor: some 4 MB."""

_REMOVED_AT_ONCE: Final = 100
_note = insert(audit).on_conflict_do_nothing()


def actor_of(entry: Mapping[str, JSON]) -> str:
    """Return the name of the actor of *entry*: its token, or its user id."""
    return str(entry.get("actor") or f"uid {entry.get('uid', -1)}")


class Trail:
    """Writes rows, and counts those of each actor; only for the writer's thread."""

    def __init__(self, most: int = MOST_OF_AN_ACTOR) -> None:
        self.most = most
        self._counts: dict[str, int] = {}

    def note(
        self, connection: Connection, at: Instant, row_id: str, entry: Mapping[str, JSON]
    ) -> None:
        """Write a row, or only count it if the actor is at the limit."""
        actor = actor_of(entry)
        count = self._counts.get(actor)
        if count is None:
            count = self._count(connection, actor)
        if count >= self.most:
            count -= self._remove_old(connection, actor, at)
        if count < self.most:
            row = {"id": to_text(row_id), "at": to_int(at), "entry_json": to_json(entry)}
            count += connection.execute(_note, row | {"actor": to_text(actor)}).rowcount
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


def page(
    connection: Connection, limit: int, before: tuple[Instant, str] | None
) -> list[tuple[Instant, str, Mapping[str, JSON]]]:
    """Return rows, newest first: instant, id and entry."""
    query = select(audit).order_by(audit.c.at.desc(), audit.c.id.desc()).limit(limit)
    if before is not None:
        at, row_id = before
        query = query.where((audit.c.at < at) | ((audit.c.at == at) & (audit.c.id < row_id)))
    return [(row.at, row.id, json.loads(row.entry_json)) for row in connection.execute(query)]


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
