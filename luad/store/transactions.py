"""Runs work in transactions: writes in the writer's thread, reads in the threads of the readers.

Rule: this module knows no table; other modules hand in functions that take a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from luad.errors import StoreUnavailableError
from luad.store.backend import Backend

T = TypeVar("T")


class Transactions:
    """Transactions of one database. Each method raises `StoreUnavailableError` when it fails."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._is_closed = False

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return the result of *work* once its transaction is durable."""
        return await asyncio.wrap_future(self._backend.submit(work))

    def write_later(self, work: Callable[[Connection], object], weight: int = 0) -> None:
        """Queue *work* behind all urgent writes, and return at once.

        A transaction takes work up to a total *weight* of `work_queue.PORTION`; urgent writes wait for its end.
        """
        self._backend.submit(work, is_urgent=False, weight=weight)

    async def read(self, question: Callable[[Connection], T]) -> T:
        """Return the answer to *question*, read from one snapshot in a reader's thread."""
        if self._is_closed:
            raise StoreUnavailableError(f"{self._backend.where} is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._backend.threads, self.ask, question)

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Return the answer to *question*, read in the caller's thread. It blocks: for the start only."""
        with self._backend.snapshot() as connection:
            return question(connection)

    def refuse(self) -> None:
        """Refuse every further `read`; reads that have begun go on."""
        self._is_closed = True
