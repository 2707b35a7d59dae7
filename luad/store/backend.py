"""What the store needs of a database: transactions, snapshots, and its size.

Rule: the statements are the same for every backend; only here and below does luad know which one it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from luad.core.events import Restored

T = TypeVar("T")


class Backend(ABC):
    """An open database. *where*: its name in messages, without secrets.

    *restored*: the state of the opening, until the store takes it; None when it must be read. *threads*: the
    threads of the readers.
    *quarantined*: the new path of a damaged database, None if it was sound; *problem*: its damage.
    """

    where: str
    restored: Restored | None = None
    threads: Executor
    quarantined: Path | None = None
    problem: str = ""

    @abstractmethod
    def begin(self, before_commit: Callable[[Connection], None]) -> None:
        """Start the threads. *before_commit* is called in each urgent transaction; it may not raise."""

    @abstractmethod
    def submit(
        self, work: Callable[[Connection], T], *, is_urgent: bool = True, weight: int = 0
    ) -> Future[T]:
        """Queue *work* for a transaction; the future ends once that is durable."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """Return a connection that reads one snapshot; faults are StoreUnavailableErrors."""

    @abstractmethod
    def check_identity(self) -> bool:
        """Return False once this is not the database that luad has opened."""

    @abstractmethod
    def size_bytes(self) -> int:
        """Return the size of the database in bytes."""

    @property
    @abstractmethod
    def last_error(self) -> str:
        """The error of the last failed write; empty once a write has succeeded again."""

    @abstractmethod
    async def before_bulk(self) -> None:
        """Wait until a bulk write may begin."""

    @abstractmethod
    async def after_bulk(self, pages: int, *, is_done: bool) -> None:
        """Tidy up after a slice of bulk writes, which gave back *pages*; *is_done*: it was the last."""

    @abstractmethod
    def close(self) -> None:
        """Do the waiting writes, and close the connections. Idempotent."""
