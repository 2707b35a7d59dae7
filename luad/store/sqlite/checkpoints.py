"""Moving the log of writes into the database, beside the writer.

Rule: the writer, whom claims wait for, never does it as long as somebody else can.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Final

from luad.store.sqlite.connect import checkpoint

LONG_LOG_KIB: Final = 4 * 1024
"""Once this much was written, the log of writes is moved into the database."""


class Checkpoints:
    """Has *threads* move the log of writes of the database at *path*, one at a time."""

    def __init__(self, path: Path, threads: Executor) -> None:
        self._path = path
        self._threads = threads
        self._is_under_way = False
        self._last: Future[None] | None = None

    def start_if_long(self, written_kib: int) -> bool:
        """Begin if that much makes the log long; True if it has begun. Called by the writer."""
        if self._is_under_way or written_kib < LONG_LOG_KIB:
            return False
        self._is_under_way = True
        with suppress(RuntimeError):  # the readers have gone home: closing does it as well
            self._last = self._threads.submit(self._checkpoint)
        return True

    async def wait(self) -> None:
        """Wait for the one that is under way, if any.

        For who writes much and has time: where the log grows faster than it is moved, the writer has
        to do it in the end.
        """
        if self._last is not None:
            await asyncio.shield(asyncio.wrap_future(self._last))

    async def truncate(self) -> None:
        """Move what there is and cut the log off, if nobody is in the way."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, checkpoint, self._path, "TRUNCATE")

    def _checkpoint(self) -> None:
        try:
            checkpoint(self._path, "PASSIVE")
        finally:
            self._is_under_way = False
