"""The PostgreSQL backend of one node of several.

Rule: what engines decide is written on the session of the node (`luad.cluster`), never here. This writes what belongs to
no shard: users, tokens, messages, the trail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, TypeVar

from luad.store.backend import Backend
from luad.store.postgresql.connect import CHORES, Link
from luad.store.postgresql.opening import prepare_store
from luad.store.postgresql.readers import Readers
from luad.store.postgresql.session import LockKind
from luad.store.postgresql.shared import LinkQueue

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from luad.config.settings.store_target import Target
    from luad.store.migration_progress import Report

T = TypeVar("T")

DURABLE: Final = CHORES | {"synchronous_commit": "on"}


class NodeBackend(Backend):
    """The store of *target* for the node named *node*. *lock_space*: the first number of its locks.

    Without *does_chores* it leaves retention and the mail of nodes that are gone to others.
    Raises StoreTooNewError, StoreUnavailableError.
    """

    def __init__(
        self, target: Target, node: str, report: Report, *, does_chores: bool = True
    ) -> None:
        self.where = target.shown
        self.target: Final = target
        self.node: Final = node
        self._does_chores = does_chores
        self.lock_space: Final = prepare_store(target, node, report)
        self._size = 0
        self.did_chores = False
        self._readers = Readers(target, node)
        self.threads = self._readers.threads

    def begin(self, before_commit: Callable[[Connection], None]) -> None:
        """Start the threads; *before_commit* is not called, for the turns of shards say when they were seen."""
        del before_commit
        self._urgent = self._queue("people", DURABLE)
        self._later = self._queue("chores", CHORES)
        self._later.submit(self._look, is_urgent=False)

    def _queue(self, what: str, settings: dict[str, str]) -> LinkQueue:
        link = Link(self.target, f"luad {self.node} {what}", settings)
        link.open()
        return LinkQueue(link)

    def submit(
        self, work: Callable[[Connection], T], *, is_urgent: bool = True, weight: int = 0
    ) -> Future[T]:
        """Queue *work*; chores have a connection of their own."""
        queue = self._urgent if is_urgent else self._later
        return queue.submit(work, is_urgent=is_urgent, weight=weight)

    async def holds_chores(self) -> bool:
        """Return whether this node does the chores; it takes the lock if it is free, until its connection ends."""
        if not self._does_chores:
            return False
        query = "SELECT pg_try_advisory_lock(%s, hashtext('chores'))"
        words = (self.lock_space + LockKind.OTHER,)
        future = self._later.submit(
            lambda c: bool(c.exec_driver_sql(query, words).scalar()), is_urgent=False
        )
        self.did_chores = await asyncio.wrap_future(future)
        return self.did_chores

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Return a connection that reads one snapshot."""
        return self._readers.snapshot()

    def check_identity(self) -> bool:
        """Return True: the locks of the session say whose shards are whose."""
        return True

    def size_bytes(self) -> int:
        """Return the size of the database, as of the opening or the last pass of retention."""
        return self._size

    @property
    def last_error(self) -> str:
        """The error of the last failed urgent write."""
        return self._urgent.last_error

    async def before_bulk(self) -> None:
        """Begin at once: the session does not wait for bulk writes."""

    async def after_bulk(self, pages: int, *, is_done: bool) -> None:
        """Look at the size; autovacuum tidies up."""
        del pages
        if is_done:
            self._later.submit(self._look, is_urgent=False)

    def close(self) -> None:
        """Do the waiting writes, and close the connections."""
        self._urgent.close()
        self._later.close()
        self._readers.close()

    def _look(self, connection: Connection) -> None:
        query = "SELECT pg_database_size(current_database())"
        self._size = int(connection.exec_driver_sql(query).scalar_one())
