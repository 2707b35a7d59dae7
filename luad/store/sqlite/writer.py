"""The one writer: a thread, a connection, and everything that waits in one commit.

What waits when the thread is free goes into a single transaction (group commit): a disk that
takes milliseconds for each commit still takes thousands of batches a second. What is urgent (claims, outcomes)
goes first, and is durable when it returns; what is not (log lines, retention) follows in bounded
portions and may be lost to a power failure, never to a crash.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
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
"""How much that is not urgent goes into one transaction, in the weight of `submit`."""


@dataclass(slots=True)
class _Task:
    work: Callable[[Connection], Any]
    is_urgent: bool
    weight: int
    future: Future[Any] = field(default_factory=Future)


class Writer:
    """Runs pieces of work in transactions of *engine*, one after the other, in its own thread.

    *before_commit* is called in every urgent transaction, *after_commit* after each one,
    *on_corrupt* when damage is met; none of them may raise.
    `last_error` is the last failure, empty once a transaction has worked again; `uncheckpointed_kib` is
    about how many KiB were written since somebody set it back to 0.
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
        """Have *work* done in a transaction; the future ends when that is committed.

        Work that nobody waits for any more is done all the same.
        """
        task = _Task(work, is_urgent, weight)
        task.future.set_running_or_notify_cancel()
        with self._gate:
            if self._is_closed:
                raise StoreUnavailableError(f"{self.path} is closed")
            self._queue.put(task)
        return task.future

    def is_same_file(self) -> bool:
        """False once the database's file was deleted or replaced. Raises OSError when its folder
        may not be looked into."""
        return identity_of(self.path) == self._identity

    def close(self) -> None:
        """Do what waits, then stop. Idempotent."""
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
        """Take everything that waits, and wait if nothing does."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, its caller has to hear it
            if len(tasks) == 1:
                tasks[0].future.set_exception(error)
                return
            for task in tasks:  # one of them is wrong: it must not spoil the others
                self._commit([task], is_urgent=is_urgent)
        else:
            self.last_error = ""
            for task, result in zip(tasks, results, strict=True):
                task.future.set_result(result)
            self._after_commit()

    def _transact(self, tasks: list[_Task], *, is_urgent: bool) -> list[Any]:
        with world_failures(self.path):
            if not self.is_same_file():
                raise StoreReplacedError(
                    f"{self.path} was deleted or replaced while luad had it open",
                    hint="restart luad; it makes a fresh database if there is none",
                )
            connection, driver = self._connected(is_full_sync=is_urgent)
            before = driver.total_changes
            with connection.begin():
                results = [task.work(connection) for task in tasks]
                if is_urgent:
                    self._before_commit(connection)
            # A row costs a page or two, log text what it weighs.
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
        # After an I/O error a connection knows less of its file than a new one would.
        self._disconnect()
        # On a full disk the log of writes cannot grow, but once it is moved into the database its
        # own room serves again.
        if isinstance(error, StoreFullError):
            checkpoint(self.path, "TRUNCATE")

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None
