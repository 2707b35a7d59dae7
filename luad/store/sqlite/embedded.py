"""The embedded backend: one writer and two readers of a file in the state folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection

from luad.clock import Clock
from luad.store.backend import Backend
from luad.store.migration_progress import Report
from luad.store.sqlite.checkpoints import Checkpoints
from luad.store.sqlite.connect import READERS, reader_engine
from luad.store.sqlite.faults import StoreCorruptError, nonsense, world_failures
from luad.store.sqlite.opening import open_database
from luad.store.sqlite.writer import Writer
from luad.store.state_folder import StateLock, size_of

T = TypeVar("T")

GIVEN_BACK_KIB: Final = 12
"""The KiB that giving a page back writes: a moved page, and two that point to it."""


class Embedded(Backend):
    """The database at *path*, which *lock* protects. luad sets a damaged one aside and creates a new one.

    *quarantined*: the new path of a damaged database, None if it was sound; *problem*: its damage.
    """

    def __init__(self, path: Path, lock: StateLock, clock: Clock, report: Report) -> None:
        self.where = str(path)
        self.path: Final = path
        self._lock = lock
        opened = open_database(path, lock, clock, report)
        self._writing = opened.engine
        self.restored = opened.restored
        self.quarantined, self.problem = opened.quarantined, opened.problem
        self.threads = ThreadPoolExecutor(READERS, thread_name_prefix="luad-store-reader")
        self._checkpoints = Checkpoints(path, self.threads)
        self._reading = reader_engine(path)

    def begin(self, before_commit: Callable[[Connection], None]) -> None:
        """Start the writer's thread."""
        self._writer = Writer(
            self.path,
            self._writing,
            before_commit=before_commit,
            after_commit=self._start_checkpoint,
            on_corrupt=self._lock.mark_corrupt,
        )

    def submit(
        self, work: Callable[[Connection], T], *, is_urgent: bool = True, weight: int = 0
    ) -> Future[T]:
        """Queue *work* for a transaction of the writer."""
        return self._writer.submit(work, is_urgent=is_urgent, weight=weight)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Return a connection that reads one snapshot; damage is noted for the next start."""
        try:
            with (
                world_failures(self.path),
                nonsense(self.path),
                self._reading.connect() as connection,
                connection.begin(),
            ):
                yield connection
        except StoreCorruptError:
            self._lock.mark_corrupt()
            raise

    def check_identity(self) -> bool:
        """Return False once the database's file was deleted or replaced; True if luad cannot find out."""
        try:
            return self._writer.is_same_file()
        except OSError:
            return True

    def size_bytes(self) -> int:
        """Return the size on disk in bytes, with the WAL."""
        return size_of(self.path)

    @property
    def last_error(self) -> str:
        """The error of the last failed write; empty once a write has succeeded again."""
        return self._writer.last_error

    async def before_bulk(self) -> None:
        """Wait for the running checkpoint."""
        await self._checkpoints.wait()

    async def after_bulk(self, pages: int, *, is_done: bool) -> None:
        """Count what was written, and truncate the WAL at the end."""
        self._writer.uncheckpointed_kib += GIVEN_BACK_KIB * pages
        if is_done:
            await self._checkpoints.truncate()

    def close(self) -> None:
        """Do the waiting writes, and close the connections."""
        self._writer.close()
        self.threads.shutdown()
        self._reading.dispose()

    def _start_checkpoint(self) -> None:
        if self._checkpoints.start_if_long(self._writer.uncheckpointed_kib):
            self._writer.uncheckpointed_kib = 0
