"""The writer of the embedded store: transactions of one connection, in its own thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from luad.errors import StoreUnavailableError
from luad.store.sqlite.connect import checkpoint
from luad.store.sqlite.faults import (
    StoreCorruptError,
    StoreFullError,
    StoreReplacedError,
    world_failures,
)
from luad.store.state_folder import identity_of
from luad.store.work_queue import Task, WorkQueue


class Writer(WorkQueue):
    """Runs work in transactions of *engine*, one after the other, in its own thread.

    It calls *before_commit* in each urgent transaction, *after_commit* after each transaction, and *on_corrupt* if
    the database is damaged; none of them may raise. `uncheckpointed_kib` is about the number of KiB written since the
    owner set it to 0.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine,
        *,
        before_commit: Callable[[Connection], None],
        after_commit: Callable[[], None],
        on_corrupt: Callable[[], None],
    ) -> None:
        super().__init__(str(path))
        self.path = path
        self.uncheckpointed_kib = 0
        self._identity = identity_of(path)
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._on_corrupt = on_corrupt
        self._engine = engine
        self._connection: Connection | None = None
        self._is_full_sync = True
        self.start()

    def is_same_file(self) -> bool:
        """Return False once the database's file was deleted or replaced.

        Raises OSError if luad may not read its folder.
        """
        return identity_of(self.path) == self._identity

    def transact(self, tasks: list[Task], *, is_urgent: bool) -> list[object]:
        """Do *tasks* in one transaction of the connection."""
        with world_failures(self.path):
            if not self.is_same_file():
                raise StoreReplacedError(
                    f"{self.path} was deleted or replaced while luad had it open",
                    hint="restart luad; it creates a new database if none exists",
                )
            connection, driver = self._connected(is_full_sync=is_urgent)
            before = driver.total_changes
            with _transaction(connection, driver):
                results = [task.work(connection) for task in tasks]
                if is_urgent:
                    self._before_commit(connection)
            # A row costs a page or two, log text its own size.
            text = sum(task.weight for task in tasks) // 1024
            self.uncheckpointed_kib += 8 * (driver.total_changes - before) + text
        return results

    def _connected(self, *, is_full_sync: bool) -> tuple[Connection, sqlite3.Connection]:
        if self._connection is None:
            self._connection = self._engine.connect()
            self._is_full_sync = True
        driver = self._connection.connection.driver_connection
        assert driver is not None
        if is_full_sync is not self._is_full_sync:
            driver.execute(f"PRAGMA synchronous = {'FULL' if is_full_sync else 'NORMAL'}")
            self._is_full_sync = is_full_sync
        return self._connection, driver

    def failed(self, error: StoreUnavailableError) -> None:
        """Mark a damaged database, make room on a full disk, and connect again the next time."""
        if isinstance(error, StoreCorruptError):
            self._on_corrupt()
        # After an I/O error, a new connection is more reliable.
        self.disconnect()
        # On a full disk, the WAL cannot grow; after a checkpoint, its own space is free again.
        if isinstance(error, StoreFullError):
            checkpoint(self.path, "TRUNCATE")

    def committed(self) -> None:
        """Tell the owner."""
        self._after_commit()

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None


@contextmanager
def _transaction(connection: Connection, driver: sqlite3.Connection) -> Iterator[None]:
    """Commit the work within, or roll it back.

    The driver begins it: SQLAlchemy's beginning and end cost more than a row. If a statement of Core follows,
    SQLAlchemy joins the transaction that it finds.
    """
    driver.execute("BEGIN IMMEDIATE")
    try:
        yield
        if connection.in_transaction():
            connection.commit()
        else:
            driver.commit()
    except BaseException:
        with suppress(SQLAlchemyError, sqlite3.Error):
            connection.rollback()
        with suppress(sqlite3.Error):
            driver.rollback()
        raise
