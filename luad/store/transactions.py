"""Runs work in transactions: writes in the writer's thread, reads in the threads of the readers.

Rule: this module knows no table; other modules hand in functions that take a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final, TypeVar

from sqlalchemy import Connection

from luad.errors import StoreUnavailableError
from luad.store.sqlite.connect import reader_engine
from luad.store.sqlite.faults import StoreCorruptError, nonsense, world_failures
from luad.store.sqlite.writer import Writer

T = TypeVar("T")


class Transactions:
    """Transactions of one database. Each method raises `StoreUnavailableError` when it fails.

    *on_corrupt* is called when a read finds damage.
    """

    def __init__(self, writer: Writer, readers: Executor, on_corrupt: Callable[[], None]) -> None:
        self._path: Final = writer.path
        self._writer = writer
        self._readers = readers
        self._on_corrupt = on_corrupt
        self._engine = reader_engine(self._path)
        self._is_closed = False

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Return the result of *work* once its transaction is durable."""
        return await asyncio.wrap_future(self._writer.submit(work))

    def write_later(self, work: Callable[[Connection], object]) -> None:
        """Queue *work* behind all urgent writes, and return at once."""
        self._writer.submit(work, is_urgent=False)

    async def read(self, question: Callable[[Connection], T]) -> T:
        """Return the answer to *question*, read from one snapshot in a reader's thread."""
        if self._is_closed:
            raise StoreUnavailableError(f"{self._path} is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self.ask, question)

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Return the answer to *question*, read in the caller's thread. It blocks: for the start only."""
        try:
            with (
                world_failures(self._path),
                nonsense(self._path),
                self._engine.connect() as connection,
                connection.begin(),
            ):
                return question(connection)
        except StoreCorruptError:
            self._on_corrupt()
            raise

    def refuse(self) -> None:
        """Refuse every further `read`; reads that have begun go on."""
        self._is_closed = True

    def close(self) -> None:
        """Close the connections of the readers, which must be idle."""
        self._engine.dispose()
