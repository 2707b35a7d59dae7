"""One connection of a worker and its thread: work in transactions, reconnecting, and waking by the server.

Rule: work either is committed, or raises StoreUnavailableError; the caller does it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")


class Link(Protocol):
    """A connection to the store, for one thread at a time."""

    @property
    def is_open(self) -> bool:
        """True as long as no error has closed the connection."""
        ...

    def open(self) -> None:
        """Connect. Raises StoreUnavailableError."""
        ...

    def close(self) -> None:
        """Close the connection. Idempotent."""
        ...

    def transaction(self) -> AbstractContextManager[Connection]:
        """Commit the work within. An error of the database closes the connection."""
        ...


class WorkerLink:
    """Does work on *link* in a thread of its own.

    *on_open* is called in that thread in the first transaction of each connection. *on_wake* is called on the loop when
    the server has sent something by itself; *on_contact* when the connection was lost, and is back.
    """

    def __init__(
        self,
        link: Link,
        *,
        on_open: Callable[[Connection], object] | None = None,
        on_wake: Callable[[], None] | None = None,
        on_contact: Callable[[], None] | None = None,
    ) -> None:
        self._link = link
        self._on_open = on_open
        self._on_wake = on_wake
        self._on_contact = on_contact
        self._thread = ThreadPoolExecutor(1, "luad-worker-store")
        self._turn = asyncio.Lock()
        self._connections = 0
        self._descriptor: int | None = None

    async def do(self, work: Callable[[Connection], T]) -> T:
        """Do *work* in one transaction, and return its result. Raises StoreUnavailableError."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            self._listen(False)
            before = self._connections
            try:
                result = await loop.run_in_executor(self._thread, self._work, work)
            except BaseException:
                if not self._link.is_open:
                    self._descriptor = None
                raise
            self._listen(True)
        if self._connections > before > 0 and self._on_contact is not None:
            self._on_contact()
        return result

    def _work(self, work: Callable[[Connection], T]) -> T:
        if not self._link.is_open:
            self._link.open()
            self._connections += 1
            with self._link.transaction() as connection:
                self._descriptor = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
                if self._on_open is not None:
                    self._on_open(connection)
        with self._link.transaction() as connection:
            return work(connection)

    def _listen(self, is_idle: bool) -> None:
        """Watch the socket while nothing is asked: what comes then was sent by the server itself."""
        if self._descriptor is None or self._on_wake is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._descriptor)
        if is_idle:
            loop.add_reader(self._descriptor, self._wake)

    def _wake(self) -> None:
        self._listen(False)
        if self._on_wake is not None:
            self._on_wake()

    async def close(self) -> None:
        """Close the connection and end the thread."""
        async with self._turn:
            self._listen(False)
            self._descriptor = None
            await asyncio.get_running_loop().run_in_executor(self._thread, self._link.close)
        self._thread.shutdown(wait=False)
