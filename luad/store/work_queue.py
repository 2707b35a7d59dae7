"""Work for the database, done in transactions by one thread, with group commit.

When the thread is free, all waiting work goes into one transaction: even a disk that takes milliseconds for a
commit then takes thousands of batches a second. Urgent work (claims, outcomes) goes first, and is durable when
its future ends. Other work (log lines, retention) follows in bounded portions; a power failure may lose it, a
crash does not.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from luad.errors import StoreUnavailableError

T = TypeVar("T")

PORTION: Final = 256 * 1024
"""The largest weight (see `submit`) of work that is not urgent in one transaction."""


@dataclass(slots=True)
class Task:
    """A function that works in a transaction, and the future of its result."""

    work: Callable[[Connection], Any]
    is_urgent: bool
    weight: int
    future: Future[Any] = field(default_factory=Future)


class WorkQueue(ABC):
    """Runs work in transactions, one after the other, in its own thread. *where* names the database.

    `last_error` is the last failure, empty once a transaction has succeeded again. A subclass says how a
    transaction goes; it calls `start` once it is ready.
    """

    def __init__(self, where: str) -> None:
        self.where: Final = where
        self.last_error = ""
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._later: deque[Task] = deque()
        self._gate = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="luad-store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(
        self, work: Callable[[Connection], T], *, is_urgent: bool = True, weight: int = 0
    ) -> Future[T]:
        """Queue *work* for a transaction; the future ends once that is committed.

        The thread does the work even if the caller stops waiting.
        """
        task = Task(work, is_urgent, weight)
        task.future.set_running_or_notify_cancel()
        with self._gate:
            if self._is_closed:
                raise StoreUnavailableError(f"{self.where} is closed")
            self._queue.put(task)
        return task.future

    def close(self) -> None:
        """Do the waiting work, then stop. Idempotent."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._thread.join()

    def is_worth_singly(self) -> bool:
        """Return whether work that has failed together is tried again one by one."""
        return False

    # --- what a subclass says ---

    @abstractmethod
    def transact(self, tasks: list[Task], *, is_urgent: bool) -> list[object]:
        """Do *tasks* in one transaction, and return their results once it is durable.

        Raises StoreUnavailableError if the database cannot be written; other exceptions are those of the work.
        """

    @abstractmethod
    def failed(self, error: StoreUnavailableError) -> None:
        """React to a transaction that has failed."""

    @abstractmethod
    def committed(self) -> None:
        """React to a transaction that is durable."""

    @abstractmethod
    def disconnect(self) -> None:
        """Close the connection."""

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
        self.disconnect()

    def _take(self, *, is_open: bool) -> tuple[list[Task], bool]:
        """Take all waiting work; wait if there is none."""
        urgent: list[Task] = []
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

    def _portion(self) -> list[Task]:
        portion: list[Task] = []
        weight = 0
        while self._later and (not portion or weight + self._later[0].weight <= PORTION):
            task = self._later.popleft()
            weight += task.weight
            portion.append(task)
        return portion

    def _commit(self, tasks: list[Task], *, is_urgent: bool) -> None:
        try:
            results = self.transact(tasks, is_urgent=is_urgent)
        except StoreUnavailableError as error:
            self.last_error = error.message
            self.failed(error)
            self._refuse(tasks, error, is_urgent=is_urgent)
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
            self.committed()

    def _refuse(self, tasks: list[Task], error: StoreUnavailableError, *, is_urgent: bool) -> None:
        if len(tasks) > 1 and self.is_worth_singly():
            for task in tasks:
                self._commit([task], is_urgent=is_urgent)
            return
        for task in tasks:
            task.future.set_exception(error)
