"""The session of a node: the one connection that writes records, and that holds the node's locks.

Rule: a session that is gone can write nothing, and PostgreSQL frees its locks. After any error of the database the
session is closed, and the node forgets what it decided.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from sqlalchemy import Connection

from luad.config.settings.store_target import Target
from luad.store.postgresql.connect import SESSION, WRITE, Driver, Link
from luad.store.postgresql.deadline import DEADLINE_MS
from luad.store.postgresql.faults import SharedBackendError

IDLE_S: Final = 10
"""The seconds after which the server ends a session that says nothing."""

_MARKER: Final = "; SELECT current_setting('luad.session', true)"
# The views show the halves of a lock as unsigned numbers, and the locks of all databases.
_HELD: Final = """
    FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = (%s::bigint & 4294967295)::oid
"""
_WHO: Final = """
    SELECT coalesce(host(a.client_addr), 'a local socket'), a.application_name
    FROM pg_stat_activity a WHERE a.pid IN
"""


class LockKind(IntEnum):
    """The kinds of locks; the first number of a lock is the store's own plus the kind."""

    SHARD = 0
    NAME = 1
    WILLING = 2
    SITE = 3
    OTHER = 4


class Session(Link):
    """One connection that writes and holds locks. *lock_space*: the first number of its locks (`meta.lock_space`)."""

    def __init__(
        self,
        target: Target,
        *,
        node: str,
        lock_space: int,
        settings: Mapping[str, str] = SESSION,
    ) -> None:
        self._marker: Final = secrets.token_hex(16)
        super().__init__(target, f"luad {node}", {**settings, "luad.session": self._marker})
        self._lock_space: Final = lock_space

    @contextmanager
    def transaction(
        self, begin: str = WRITE, *, limit_ms: int = DEADLINE_MS, idle_s: int = IDLE_S
    ) -> Iterator[Connection]:
        """Commit the work within, as `Link` does.

        *idle_s*: how long the server lets the transaction wait for its next statement.
        """
        more = 1_000 * (idle_s - IDLE_S)
        with super().transaction(begin, limit_ms=limit_ms + more) as connection:
            if idle_s != IDLE_S:
                name = "idle_in_transaction_session_timeout"
                self.ask("SELECT set_config(%s, %s, true)", (name, f"{idle_s}s"))
            yield connection

    @property
    def marker(self) -> str:
        """The text that `luad.session` has in this session, and in no other."""
        return self._marker

    def begin(self, driver: Driver, begin: str) -> None:
        """Begin a transaction, and look at the marker: another text means that the connection is shared."""
        cursor = driver.execute(begin + _MARKER)
        cursor.nextset()
        row = cursor.fetchone()
        if row is None or row[0] != self._marker:
            raise SharedBackendError(
                f"{self.where}: a pooler has given the connection of this node to another client",
                hint="connect directly, or let the pooler give each client a connection for its whole session",
            )

    # --- locks ---

    def try_lock(self, kind: LockKind, key: int | str) -> bool:
        """Take a lock for as long as the session lives; return False if another session holds it."""
        query = f"SELECT pg_try_advisory_lock(%s, {_second(key)})"
        return self.ask(query, (self._lock_space + kind, key)) == (True,)

    def unlock(self, kind: LockKind, key: int | str) -> None:
        """Give back a lock that `try_lock` took."""
        self.ask(f"SELECT pg_advisory_unlock(%s, {_second(key)})", (self._lock_space + kind, key))

    def own_shards(self) -> frozenset[int]:
        """Return the shards whose locks this session holds."""
        query = f"SELECT array_agg(l.objid::bigint) {_HELD} AND l.pid = pg_backend_pid()"
        row = self.ask(query, (self._lock_space + LockKind.SHARD,))
        return frozenset(row[0] or ()) if row else frozenset()

    def holder(self, kind: LockKind, key: int | str) -> str | None:
        """Return who holds a lock, as `ADDRESS (NAME)`; None if it is free."""
        second = f"({_second(key)}::bigint & 4294967295)::oid"
        query = f"{_WHO} (SELECT l.pid {_HELD} AND l.objid = {second}) LIMIT 1"
        row = self.ask(query, (self._lock_space + kind, key))
        return None if row is None else f"{row[0]} ({row[1]})"


def _second(key: int | str) -> str:
    return "%s::int" if isinstance(key, int) else "hashtext(%s)"
