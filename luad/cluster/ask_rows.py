"""The statements of an asker: its row in the inbox, and the reply.

Rule: every function is one or two statements in the transaction of its caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from luad.cluster.inbox import InboxKind, body_of
from luad.cluster.pg_rows import INBOX_CHANNEL
from luad.core.requests import CancelRequested, CreateRequested, RetryRequested
from luad.core.shards import shard_of
from luad.store.columns import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from luad.core.requests import Request

_INSERT: Final = text("""
    INSERT INTO inbox (shard, kind, request_id, asker, body_json, at)
    VALUES (:shard, :kind, :request_id, :asker, :body, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    ON CONFLICT (request_id) DO NOTHING
""")
_NOTIFY: Final = text("SELECT pg_notify(:channel, :words)")
_OF_JOB: Final = text("SELECT shard FROM jobs WHERE job_id = :key LIMIT 1")
_OF_RUN: Final = text("SELECT shard FROM runs WHERE id = :key")
_WITHDRAW: Final = text(
    "DELETE FROM inbox WHERE request_id = :request_id AND failed_at IS NULL RETURNING seq"
)
_TAKE_REPLIES: Final = text("""
    DELETE FROM replies WHERE asker = :asker AND request_id = ANY(:waiting) RETURNING request_id, body_json
""")
_HAS_OWNER: Final = text("""
    SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = (CAST(:space AS bigint) & 4294967295)::oid AND l.objid = CAST(:shard AS oid)
""")


def insert(connection: Connection, event: Request, asker: str) -> int:
    """Add the row of *event*, unless it is there already; return its shard, whose owner is woken."""
    shard = _shard_of(connection, event)
    words = {
        "shard": shard,
        "kind": InboxKind.REQUEST.value,
        "request_id": to_text(event.request_id),
        "asker": to_text(asker),
        "body": body_of(event),
    }
    connection.execute(_INSERT, words)
    connection.execute(_NOTIFY, {"channel": INBOX_CHANNEL, "words": str(shard)})
    return shard


def _shard_of(connection: Connection, event: Request) -> int:
    """Return the shard of a request; one for something that does not exist goes where its name would be."""
    match event:
        case CreateRequested(jobs=jobs):
            return shard_of(jobs[0].wanted.job.name if jobs else "")
        case RetryRequested(run=run):
            return shard_of(run.job_name)
        case CancelRequested(run_id=run_id):
            found = connection.execute(_OF_RUN, {"key": to_text(run_id)}).scalar()
            return shard_of("") if found is None else int(found)
        case _:
            name = event.job_name
            found = connection.execute(_OF_JOB, {"key": to_text(name)}).scalar()
            return shard_of(name) if found is None else int(found)


def withdraw(connection: Connection, request_id: str) -> bool:
    """Delete the row of a request; False if an owner has taken it."""
    found = connection.execute(_WITHDRAW, {"request_id": to_text(request_id)})
    return found.first() is not None


def take_replies(connection: Connection, asker: str, waiting: Sequence[str]) -> dict[str, str]:
    """Delete and return the replies to the requests that *asker* waits for, by request id."""
    words = {"asker": to_text(asker), "waiting": [to_text(each) for each in waiting]}
    return {row.request_id: row.body_json for row in connection.execute(_TAKE_REPLIES, words)}


def has_owner(connection: Connection, shard: int, space: int) -> bool:
    """Return whether a session holds the lock of *shard*."""
    return bool(connection.execute(_HAS_OWNER, {"shard": shard, "space": space}).scalar())
