"""The writer: a thread with the only connection that writes, and with group commit.

When the thread is free, all waiting work goes into one transaction: even a disk that takes milliseconds for a
commit then takes thousands of batches a second. Urgent work (claims, outcomes) goes first, and is durable when
its future ends. Other work (log lines, retention) follows in bounded portions; a power failure may lose it, a
crash does not.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

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

T = TypeVar("T")

PORTION: Final = 256 * 1024
"""The largest weight (see `submit`) of work that is not urgent in one transaction."""


@dataclass(slots=True)
class _Task:
    work: Callable[[Connection], Any]
    is_urgent: bool
    weight: int
    future: Future[Any] = field(default_factory=Future)


class Writer:
    """Runs work in transactions of *engine*, one after the other, in its own thread.

    It calls *before_commit* in each urgent transaction, *after_commit* after each transaction, and *on_corrupt* if
    the database is damaged; none of them may raise. `last_error` is the last failure, empty once a transaction has
    succeeded again. `uncheckpointed_kib` is about the number of KiB written since the owner set it to 0.
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
        self.path = path
        self.last_error = ""
        self.uncheckpointed_kib = 0
        self._identity = identity_of(path)
        self._before_commit = before_commit
        self._after_commit = after_commit
        self._on_corrupt = on_corrupt
        self._engine = engine
        self._connection: Connection | None = None
        self._is_full_sync = True
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._later: deque[_Task] = deque()
        self._gate = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="luad-store-writer", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[Connection], T], *, is_urgent: bool = True, weight: int = 0
    ) -> Future[T]:
        """Queue *work* for a transaction; the future ends once that is committed.

        The writer does the work even if the caller stops waiting.
        """
        task = _Task(work, is_urgent, weight)
        task.future.set_running_or_notify_cancel()
        with self._gate:
            if self._is_closed:
                raise StoreUnavailableError(f"{self.path} is closed")
            self._queue.put(task)
        return task.future

    def is_same_file(self) -> bool:
        """Return False once the database's file was deleted or replaced.

        Raises OSError if luad may not read its folder.
        """
        return identity_of(self.path) == self._identity

    def close(self) -> None:
        """Do the waiting work, then stop. Idempotent."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    # --- the thread ---

    def _run(self) -> None:
        is_open = True
        while is_open or self._later:
            urgent, is_open = self._take(is_open=is_open)
            if urgent:
                self._commit(urgent, is_urgent=True)
            portion = self._portion()
            if portion:
                self._commit(portion, is_urgent=False)
        self._disconnect()

    def _take(self, *, is_open: bool) -> tuple[list[_Task], bool]:
        """Take all waiting work; wait if there is none."""
        urgent: list[_Task] = []
        may_wait = is_open and not self._later
        while True:
            try:
                task = self._queue.get(block=may_wait)
            except Empty:
                return urgent, is_open
            may_wait = False
            if task is None:
                is_open = False
            elif task.is_urgent:
                urgent.append(task)
            else:
                self._later.append(task)

    def _portion(self) -> list[_Task]:
        portion: list[_Task] = []
        weight = 0
        while self._later and (not portion or weight + self._later[0].weight <= PORTION):
            task = self._later.popleft()
            weight += task.weight
            portion.append(task)
        return portion

    def _commit(self, tasks: list[_Task], *, is_urgent: bool) -> None:
        try:
            results = self._transact(tasks, is_urgent=is_urgent)
        except StoreUnavailableError as error:
            self._failed(error)
            for task in tasks:
                task.future.set_exception(error)
        except Exception as error:  # noqa: BLE001 - the caller gets every error
            if len(tasks) == 1:
                tasks[0].future.set_exception(error)
                return
            for task in tasks:  # one is wrong, and must not fail the others
                self._commit([task], is_urgent=is_urgent)
        else:
            self.last_error = ""
            for task, result in zip(tasks, results, strict=True):
                task.future.set_result(result)
            self._after_commit()

    def _transact(self, tasks: list[_Task], *, is_urgent: bool) -> list[object]:
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

    def _failed(self, error: StoreUnavailableError) -> None:
        self.last_error = error.message
        if isinstance(error, StoreCorruptError):
            self._on_corrupt()
        # After an I/O error, a new connection is more reliable.
        self._disconnect()
        # On a full disk, the WAL cannot grow; after a checkpoint, its own space is free again.
        if isinstance(error, StoreFullError):
            checkpoint(self.path, "TRUNCATE")

    def _disconnect(self) -> None:
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
