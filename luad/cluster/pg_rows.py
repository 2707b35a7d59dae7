"""The statements of nodes on PostgreSQL: pulses, the inbox, replies, shards.

Rule: every function is one or two statements in the transaction of its caller.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from luad.cluster.inbox import InboxKind, InboxRow, body_of, reply_body
from luad.cluster.session import Pulse
from luad.core.shards import SHARDS
from luad.store.columns import to_text
from luad.store.postgresql.session import LockKind

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from luad.cluster.inbox import Report
    from luad.core.events import Reply
    from luad.core.model import Instant

INBOX_CHANNEL: Final = "luad_inbox"
REPLIES_CHANNEL: Final = "luad_replies"
CHANGES_CHANNEL: Final = "luad_changes"
"""A notice without words: jobs or runs of some shard have changed."""

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


@dataclass(slots=True)
class Identity:
    """The facts that a node writes about itself with each pulse; they may change."""

    name: str
    version: str
    schema: str
    site: str | None = None
    files_digest: str | None = None
    offset_ms: int | None = None


# The views show the halves of a lock as unsigned numbers, and the locks of all databases.
# One statement is one round trip, and its own transaction.
PULSE: Final = f"""
    WITH held AS (
        SELECT l.classid::bigint AS kind, l.objid::bigint AS number FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ), mine AS (
        INSERT INTO nodes (name, version, schema, site, files_digest, offset_ms, started_at, seen_at)
        VALUES (%s, %s, %s, %s, %s, %s, {_NOW}, {_NOW})
        ON CONFLICT (name) DO UPDATE SET version = excluded.version, schema = excluded.schema,
            site = excluded.site, files_digest = excluded.files_digest, offset_ms = excluded.offset_ms, seen_at = excluded.seen_at
    ), oldest AS (
        SELECT shard, at FROM inbox WHERE failed_at IS NULL ORDER BY seq LIMIT 1
    )
    SELECT {_NOW},
        ARRAY(SELECT number FROM held WHERE kind = %s::bigint & 4294967295),
        (SELECT count(*) FROM held WHERE kind = %s::bigint & 4294967295),
        (SELECT shard FROM oldest), (SELECT {_NOW} - at FROM oldest),
        current_setting('luad.session', true)
"""  # noqa: S608 - our own words
IN_FORCE: Final = "SELECT digest FROM sites WHERE name = %s"
_LEAVE: Final = text("DELETE FROM nodes WHERE name = :name")
_TAKE_ROWS: Final = text("""
    DELETE FROM inbox WHERE seq IN (
        SELECT seq FROM inbox WHERE shard = ANY(:shards) AND failed_at IS NULL ORDER BY seq LIMIT :most
    ) RETURNING seq, shard, kind, body_json, request_id, asker
""")
_SET_ASIDE: Final = text(f"""
    INSERT INTO inbox (seq, shard, kind, body_json, request_id, asker, at, failed_at, error)
    OVERRIDING SYSTEM VALUE
    VALUES (:seq, :shard, :kind, :body_json, :request_id, :asker, {_NOW}, {_NOW}, :error)
    ON CONFLICT (seq) DO UPDATE SET failed_at = excluded.failed_at, error = excluded.error
""")  # noqa: S608 - our own words
_KNOWN_KEYS: Final = text("SELECT key FROM answers WHERE key = ANY(:keys)")
_SEE: Final = text("UPDATE shards SET seen_at = :now, owner = :owner WHERE shard = ANY(:shards)")
_SEE_AND_TELL: Final = text(f"""
    WITH seen AS (UPDATE shards SET seen_at = :now, owner = :owner WHERE shard = ANY(:shards) RETURNING 1)
    SELECT pg_notify('{CHANGES_CHANNEL}', '') FROM (SELECT count(*) FROM seen) AS done
""")  # noqa: S608 - our own words
_INSERT: Final = text(f"""
    INSERT INTO inbox (shard, kind, body_json, request_id, asker, at)
    SELECT shard, kind, body_json, request_id, asker, {_NOW}
    FROM json_to_recordset(:rows) AS r(shard int, kind text, body_json text, request_id text, asker text)
    ON CONFLICT (request_id) DO NOTHING
""")  # noqa: S608 - our own words
_REPLY: Final = text(f"""
    INSERT INTO replies (request_id, asker, body_json, at) VALUES (:request_id, :asker, :body_json, {_NOW})
    ON CONFLICT DO NOTHING
""")  # noqa: S608 - our own words
_NOTIFY: Final = text("SELECT pg_notify(:channel, :words)")


def pulse_words(identity: Identity, lock_space: int) -> tuple[object, ...]:
    """Return the parameters of `PULSE`."""
    return (
        to_text(identity.name),
        identity.version,
        identity.schema,
        identity.site,
        identity.files_digest,
        identity.offset_ms,
        lock_space + LockKind.SHARD,
        lock_space + LockKind.WILLING,
    )


def read_pulse(row: Sequence[Any]) -> Pulse:
    """Return what the node decides its moves by."""
    wall, held, willing, shard, age_ms = row[:5]
    free = frozenset(range(SHARDS)).difference(held)
    return Pulse(wall, free, willing, None if shard is None else (shard, age_ms))


def leave(connection: Connection, name: str) -> None:
    """Delete the row of a node that stops in order."""
    connection.execute(_LEAVE, {"name": to_text(name)})


def take_rows(connection: Connection, shards: Sequence[int], most: int) -> list[InboxRow]:
    """Delete the oldest rows of *shards*, at most *most*, and return them in order."""
    found = connection.execute(_TAKE_ROWS, {"shards": list(shards), "most": most})
    return sorted((InboxRow(*row) for row in found), key=lambda row: row.seq)


def known_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Return those of *keys* that are in `answers`."""
    found = connection.execute(_KNOWN_KEYS, {"keys": [to_text(key) for key in keys]}).scalars()
    return set(found)


def set_aside(connection: Connection, rows: Iterable[tuple[InboxRow, str]]) -> None:
    """Keep rows that no engine can take, with their errors."""
    for row, error in rows:
        values = {
            "seq": row.seq,
            "shard": row.shard,
            "kind": row.kind,
            "body_json": row.body_json,
            "request_id": row.request_id,
            "asker": row.asker,
            "error": to_text(error),
        }
        connection.execute(_SET_ASIDE, values)


def see(
    connection: Connection,
    shards: Collection[int],
    owner: str,
    now: Instant,
    *,
    is_changed: bool = False,
) -> None:
    """Note until when the shards were decided for, and by which node; tell all nodes when they are *is_changed*."""
    statement = _SEE_AND_TELL if is_changed else _SEE
    connection.execute(statement, {"shards": list(shards), "owner": to_text(owner), "now": now})


def insert_reports(connection: Connection, reports: Sequence[tuple[int, Report]]) -> None:
    """Add reports to the inbox, each with its shard, and wake the owners."""
    rows = [
        {"shard": shard, "kind": InboxKind.REPORT.value, "body_json": body_of(report)}
        for shard, report in reports
    ]
    _insert(connection, rows)


def _insert(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    connection.execute(_INSERT, {"rows": json.dumps(rows)})
    shards = ",".join(sorted({str(row["shard"]) for row in rows}))
    connection.execute(_NOTIFY, {"channel": INBOX_CHANNEL, "words": shards})


def insert_replies(connection: Connection, replies: Sequence[tuple[str, Reply]]) -> None:
    """Store replies, each with the node that waits for it, and wake those nodes."""
    rows = [
        {
            "request_id": to_text(each.request_id),
            "asker": to_text(asker),
            "body_json": reply_body(each),
        }
        for asker, each in replies
    ]
    connection.execute(_REPLY, rows)
    for asker in sorted({asker for asker, _ in replies}):
        connection.execute(_NOTIFY, {"channel": REPLIES_CHANNEL, "words": to_text(asker)})
