"""The PostgreSQL backend of one node that owns all shards.

Rule: a second node is refused by the locks. A lost session is opened again only for the same owner, so no other
node has decided anything in between.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from sqlalchemy import Connection, select

from luad.clock import elapsed_ms
from luad.config.settings.store_target import Target
from luad.errors import AlreadyRunningError, StoreUnavailableError
from luad.store.backend import Backend
from luad.store.migration_progress import Report
from luad.store.postgresql.connect import CHORES, Link
from luad.store.postgresql.opening import NAME_WAIT_MS, prepare_store, take_name
from luad.store.postgresql.readers import Readers
from luad.store.postgresql.session import LockKind, Session
from luad.store.sqlite.faults import StoreReplacedError
from luad.store.tables import meta
from luad.store.work_queue import Task, WorkQueue

T = TypeVar("T")

PULSE_S: Final = 2.0
"""The server ends a session that says nothing for 10 s."""

LEAST_PAUSE_MS: Final = 500
MOST_PAUSE_MS: Final = 5_000
_OWNER: Final = "owner"


class LinkQueue(WorkQueue):
    """Runs work in transactions of *link*, which it opens again after a failure."""

    def __init__(self, link: Link) -> None:
        super().__init__(link.where)
        self.link: Final = link
        self._pause_ms = 0
        self._next_try_at = 0
        self.start()

    def transact(self, tasks: list[Task], *, is_urgent: bool) -> list[object]:
        """Do *tasks* in one transaction."""
        if not self.link.is_open:
            self._reopen_in_time()
        with self.link.transaction() as connection:
            results = [task.work(connection) for task in tasks]
            if is_urgent:
                self.before_commit(connection)
        return results

    def _reopen_in_time(self) -> None:
        """Connect, but only some time after the last attempt that failed: 0.5 s, and up to 5 s."""
        if elapsed_ms() < self._next_try_at:
            raise StoreUnavailableError(self.last_error)
        try:
            self.reopen()
        except StoreUnavailableError:
            self._pause_ms = min(MOST_PAUSE_MS, 2 * self._pause_ms or LEAST_PAUSE_MS)
            self._next_try_at = elapsed_ms() + self._pause_ms
            raise
        self._pause_ms = 0

    def reopen(self) -> None:
        """Connect again."""
        self.link.open()

    def before_commit(self, connection: Connection) -> None:
        """Add to an urgent transaction what the owner wants in it."""

    def is_worth_singly(self) -> bool:
        """Return True: the database does not say whose row it has refused."""
        return True

    def failed(self, error: StoreUnavailableError) -> None:
        """Do nothing: the link is closed, and the next work opens it again."""

    def committed(self) -> None:
        """Do nothing: a pulse notices what there is to notice."""

    def disconnect(self) -> None:
        """Close the connection."""
        self.link.close()


class SessionQueue(LinkQueue):
    """The urgent work, on the session that holds the locks of the only node."""

    def __init__(
        self, session: Session, node: str, owner: str, before_commit: Callable[[Connection], None]
    ) -> None:
        self._session: Final = session
        self._node: Final = node
        self._owner: Final = owner
        self._before_commit = before_commit
        self.is_replaced = False
        super().__init__(session)

    def reopen(self) -> None:
        """Connect and take the locks again, unless another node has been the owner since."""
        self._refuse_replaced()
        self._session.open()
        try:
            self._take_again()
        except BaseException:
            self._session.close()
            raise

    def _take_again(self) -> None:
        session = self._session
        if not session.try_lock(LockKind.NAME, self._node) or not take_all(session):
            raise StoreUnavailableError(f"{self.where}: another session still holds the locks")
        with session.transaction() as connection:
            query = select(meta.c.value).where(meta.c.key == _OWNER)
            self.is_replaced = connection.execute(query).scalar() != self._owner
        self._refuse_replaced()

    def before_commit(self, connection: Connection) -> None:
        """Add to an urgent transaction what the store wants in it."""
        self._before_commit(connection)

    def _refuse_replaced(self) -> None:
        if self.is_replaced:
            raise StoreReplacedError(
                f"another node has owned {self.where} since; this one decides nothing more",
                hint="stop one of the two nodes, and restart the other",
            )


class Shared(Backend):
    """The store of *target* for the node named *node*, the only one. *report* gets the log lines of a migration.

    Raises AlreadyRunningError, StoreTooNewError, StoreUnavailableError.
    """

    def __init__(
        self, target: Target, node: str, report: Report, *, wait_ms: int = NAME_WAIT_MS
    ) -> None:
        self.where = target.shown
        self._target = target
        self._node = node
        self._owner = secrets.token_hex(16)
        self._size = 0
        self._session = self._open_session(prepare_store(target, node, report), wait_ms)
        self._readers = Readers(target, node)
        self.threads = self._readers.threads
        self._closing = threading.Event()

    def _open_session(self, lock_space: int, wait_ms: int) -> Session:
        session = Session(self._target, node=self._node, lock_space=lock_space)
        session.open()
        try:
            take_name(session, self._node, wait_ms)
            _be_the_only_one(session)
            with session.transaction() as connection:
                _set_owner(connection, self._owner)
                self._look(connection)
        except BaseException:
            session.close()
            raise
        return session

    def begin(self, before_commit: Callable[[Connection], None]) -> None:
        """Start the threads of the session and of the chores, and the pulse."""
        self._urgent = SessionQueue(self._session, self._node, self._owner, before_commit)
        chores = Link(self._target, f"luad {self._node} chores", CHORES)
        self._later = LinkQueue(chores)
        self._pulse = threading.Thread(target=self._beat, name="luad-store-pulse", daemon=True)
        self._pulse.start()

    def submit(
        self, work: Callable[[Connection], T], *, is_urgent: bool = True, weight: int = 0
    ) -> Future[T]:
        """Queue *work* on the session; work that is not urgent on a connection of its own."""
        queue = self._urgent if is_urgent else self._later
        return queue.submit(work, is_urgent=is_urgent, weight=weight)

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Return a connection that reads one snapshot."""
        return self._readers.snapshot()

    def check_identity(self) -> bool:
        """Return False once another node has owned the store."""
        return not self._urgent.is_replaced

    def size_bytes(self) -> int:
        """Return the size of the database, as of the last bulk write or opening."""
        return self._size

    @property
    def last_error(self) -> str:
        """The error of the last failed write of the session."""
        return self._urgent.last_error

    async def before_bulk(self) -> None:
        """Begin at once: the session does not wait for bulk writes."""

    async def after_bulk(self, pages: int, *, is_done: bool) -> None:
        """Do nothing: autovacuum tidies up."""

    def close(self) -> None:
        """Do the waiting writes, and close the connections."""
        self._closing.set()
        self._pulse.join()
        self._urgent.close()
        self._later.close()
        self._readers.close()

    def _beat(self) -> None:
        """Keep the session alive, and notice its end while nothing else is written."""
        while not self._closing.wait(PULSE_S):
            self._urgent.submit(self._look)

    def _look(self, connection: Connection) -> None:
        query = "SELECT pg_database_size(current_database())"
        self._size = int(connection.exec_driver_sql(query).scalar_one())


def _be_the_only_one(session: Session) -> None:
    if not take_all(session):
        holder = session.holder(LockKind.SHARD, 0) or "another connection"
        raise AlreadyRunningError(
            f"another node runs on {session.where}: {holder}",
            hint="stop it first; one node at a time may run on this store",
        )


def take_all(session: Session) -> bool:
    """Take the locks of all shards, or none; return whether it did."""
    row = session.ask("SELECT value::int FROM meta WHERE key = 'shards'")
    count = 0 if row is None else int(row[0])
    for shard in range(count):
        if not session.try_lock(LockKind.SHARD, shard):
            for taken in range(shard):
                session.unlock(LockKind.SHARD, taken)
            return False
    return True


def _set_owner(connection: Connection, owner: str) -> None:
    query = (
        "INSERT INTO meta (key, value) VALUES ('owner', %s)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    )
    connection.exec_driver_sql(query, (owner,))
