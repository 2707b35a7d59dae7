"""Checkpoints: move the WAL into the database, in the threads of the readers.

Rule: the writer does not checkpoint as long as another thread can, because claims wait for the writer.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Final

from luad.store.sqlite.connect import checkpoint

LONG_LOG_KIB: Final = 4 * 1024
"""The number of KiB written after which a checkpoint starts."""


class Checkpoints:
    """Runs checkpoints of the database at *path* in *threads*, one at a time."""

    def __init__(self, path: Path, threads: Executor) -> None:
        self._path = path
        self._threads = threads
        self._is_under_way = False
        self._last: Future[None] | None = None

    def start_if_long(self, written_kib: int) -> bool:
        """Start a checkpoint if the WAL is long; return whether it did. The writer calls this."""
        if self._is_under_way or written_kib < LONG_LOG_KIB:
            return False
        self._is_under_way = True
        with suppress(RuntimeError):  # the readers have ended; closing the database checkpoints too
            self._last = self._threads.submit(self._checkpoint)
        return True

    async def wait(self) -> None:
        """Wait for the running checkpoint, if any.

        Bulk writers await this; otherwise the WAL outgrows the checkpoints, and the writer must run one.
        """
        if self._last is not None:
            await asyncio.shield(asyncio.wrap_future(self._last))

    async def truncate(self) -> None:
        """Checkpoint and truncate the WAL, unless another connection prevents it."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, checkpoint, self._path, "TRUNCATE")

    def _checkpoint(self) -> None:
        try:
            checkpoint(self._path, "PASSIVE")
        finally:
            self._is_under_way = False
