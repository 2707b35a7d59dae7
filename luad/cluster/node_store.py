"""The store of one node of several, which leaves the work of other nodes alone.

Rule: retention and what is left of dead nodes are the work of one node at a time, the one that holds the lock of chores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from luad.store.columns import to_text
from luad.store.messages import INTERRUPTED, Messages
from luad.store.query_types import Pruned
from luad.store.store import Store
from luad.store.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from luad.clock import Clock
    from luad.core.messaging import Delivery, Message
    from luad.core.model import Instant
    from luad.store.postgresql.node_backend import NodeBackend
    from luad.store.state_folder import StateLock

GONE_MS: Final = 120_000
"""A delivery takes less; and a node that was not seen for so long is gone."""

_NOTE_NODE: Final = text("""
    UPDATE deliveries SET node = :node WHERE message_id = ANY(:ids) AND state = 'sending'
""")
_FAIL_INTERRUPTED: Final = text("""
    UPDATE deliveries SET state = 'failed', ended_at = :now, error = :error
    WHERE state = 'sending' AND (
        (node = :node AND started_at < :began)
        OR (started_at < :now - :gone AND (node IS NULL OR NOT EXISTS (
            SELECT 1 FROM nodes WHERE nodes.name = deliveries.node AND nodes.seen_at > :now - :gone))))
""")
_YOUNG: Final = text("SELECT id FROM messages WHERE kind = 'alert' AND at > :since")


class NodeMessages(Messages):
    """The messages; those that other nodes send are theirs."""

    def __init__(self, backend: NodeBackend, began: Instant) -> None:
        super().__init__(Transactions(backend))
        self._backend = backend
        self._node = to_text(backend.node)
        self._began = began

    async def begin(
        self, wanted: Sequence[Message], channels: Mapping[str, Sequence[str]], now: Instant
    ) -> list[Delivery]:
        """Store *wanted* with a delivery for each channel, and note that this node sends them."""
        begun = await super().begin(wanted, channels, now)
        words = {"node": self._node, "ids": [to_text(each.id) for each in wanted]}
        await self._transactions.write(lambda c: c.execute(_NOTE_NODE, words).rowcount)
        return begun

    async def fail_interrupted(self, now: Instant) -> int:
        """Mark deliveries of nodes that are gone, and of an earlier life of this one, as failed."""
        words: dict[str, Any] = {"node": self._node, "began": self._began, "now": now}
        words |= {"gone": GONE_MS, "error": INTERRUPTED}
        return await self._transactions.write(
            lambda c: c.execute(_FAIL_INTERRUPTED, words).rowcount
        )

    async def undelivered(self) -> list[Message]:
        """Return the alerts that no node has sent, for the node that does the chores; a new one may be on its way."""
        if not await self._backend.holds_chores():
            return []
        found = await super().undelivered()
        if not found:
            return found
        since = max(each.at for each in found) - GONE_MS
        young = await self._transactions.read(lambda c: _young(c, since))
        return [each for each in found if each.id not in young]


def _young(connection: Connection, since: Instant) -> set[str]:
    now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    recent = connection.exec_driver_sql(f"SELECT {now} - {GONE_MS}").scalar_one()
    words = {"since": max(since, int(recent))}
    return set(connection.execute(_YOUNG, words).scalars())


class NodeStore(Store):
    """The store of a node."""

    def __init__(self, lock: StateLock, backend: NodeBackend, *, clock: Clock) -> None:
        super().__init__(lock, backend, clock=clock)
        self._node = backend
        messages = NodeMessages(backend, clock.now().wall)
        self.messages = messages  # type: ignore[misc] # the only store with messages of its own

    async def prune(self, now: Instant, **limits: int) -> Pruned:
        """Do one slice of retention, if this is the node that does the chores."""
        if not await self._node.holds_chores():
            return Pruned(is_done=True)
        return await super().prune(now, **limits)
