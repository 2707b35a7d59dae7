"""The nodes and workers of a store, read from its rows and locks.

Rule: it reads, in one snapshot. A node has the shards whose locks its session holds; its rows alone prove nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from luad.core.shards import SHARDS
from luad.store.postgresql.session import LockKind
from luad.store.query_types import Cluster, ClusterLoad, ClusterNode, ClusterWorker, NodeStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

_NODES: Final = text("""
    WITH held AS (
        SELECT pid, classid::bigint AS kind, objid::bigint AS number FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 2
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT nodes.name, nodes.version, nodes.files_digest, nodes.offset_ms, nodes.seen_at,
        nodes.files_digest = (SELECT digest FROM sites WHERE sites.name = nodes.site) AS is_in_force,
        own.pid IS NOT NULL AS is_connected,
        EXISTS (SELECT 1 FROM held WHERE held.pid = own.pid AND kind = CAST(:willing AS bigint) & 4294967295) AS is_willing,
        (SELECT count(*) FROM held WHERE held.pid = own.pid AND kind = CAST(:shard AS bigint) & 4294967295) AS shards
    FROM nodes LEFT JOIN held AS own
      ON own.kind = CAST(:name AS bigint) & 4294967295 AND own.number = hashtext(nodes.name)::bigint & 4294967295
    ORDER BY nodes.name
""")
_WORKERS: Final = text("""
    SELECT life, name, node, queues_json, version, started_at, seen_at, code_digest FROM workers ORDER BY name, started_at
""")
_INBOX: Final = text("""
    SELECT count(*) FILTER (WHERE failed_at IS NULL), count(*) FILTER (WHERE failed_at IS NOT NULL),
        coalesce((extract(epoch FROM clock_timestamp()) * 1000)::bigint - min(at) FILTER (WHERE failed_at IS NULL), 0)
    FROM inbox
""")
_WAITING: Final = text("""
    SELECT runs.queue, count(*) AS waiting FROM runs LEFT JOIN attempts
      ON attempts.run_id = runs.id AND attempts.attempt = runs.attempt
    WHERE runs.state = 'running' AND runs.queue IS NOT NULL AND attempts.worker IS NULL
    GROUP BY 1 ORDER BY 1
""")
_CODE: Final = text("SELECT value FROM meta WHERE key = 'code_digest'")
_NOW: Final = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")


def read_cluster(connection: Connection, lock_space: int) -> Cluster:
    """Return the nodes and workers that the store knows, in order of names."""
    locks = {"shard": LockKind.SHARD, "name": LockKind.NAME, "willing": LockKind.WILLING}
    words = {word: lock_space + kind for word, kind in locks.items()}
    nodes = tuple(_node(row) for row in connection.execute(_NODES, words))
    workers = tuple(
        ClusterWorker(
            row.life,
            row.name,
            row.node,
            tuple(json.loads(row.queues_json)),
            row.version,
            row.started_at,
            row.seen_at,
            row.code_digest,
        )
        for row in connection.execute(_WORKERS)
    )
    now = int(connection.execute(_NOW).scalar_one())
    code_digest = connection.execute(_CODE).scalar()
    return Cluster(now, SHARDS, nodes, workers, code_digest=code_digest)


def read_load(connection: Connection, lost_after_ms: int) -> ClusterLoad:
    """Return what waits for nodes and workers."""
    rows, failed, oldest_ms = connection.execute(_INBOX).one()
    waiting = {row.queue: row.waiting for row in connection.execute(_WAITING)}
    return ClusterLoad(rows, failed, max(0, oldest_ms), waiting, lost_after_ms)


def _node(row: Row[tuple[object, ...]]) -> ClusterNode:
    return ClusterNode(
        row.name,
        row.version,
        _status(row),
        row.shards,
        row.files_digest,
        row.offset_ms,
        row.seen_at,
    )


def _status(row: Row[tuple[object, ...]]) -> NodeStatus:
    if not row.is_connected:
        return NodeStatus.GONE
    if row.is_willing:
        return NodeStatus.ACTIVE
    if row.files_digest is None:
        return NodeStatus.STARTING
    return NodeStatus.DRAINING if row.is_in_force else NodeStatus.BEHIND
