"""Compares the job files with those of the previous daemon, while its jobs already run.

A start with many files need not wait until all of them were looked at. The engine starts no run of a job whose
file is not compared: its occurrences wait, and so do requests to run it. The jobs that wait are compared first. What
is not as it was is read at the end, when it is known which names have moved to which files.

Rule: this module chooses the order; the reader compares, and the engine decides what may start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from luad.core.events import FilesCompared
from luad.daemon.status import status_line

if TYPE_CHECKING:
    from luad.daemon.condition import Parts
    from luad.daemon.file_reading import ConfigReader, Reading
    from luad.daemon.replies import Replies

LEAST: Final = 1_000
"""Fewer files are compared before anything starts, in some hundredths of a second."""

_PORTION: Final = 300  # files, in some milliseconds
_RETRY_S: Final = 1.0
_TELL_EVERY_MS: Final = 1_000


class FileComparison:
    """The comparison of one start. *install* brings a reading into force, and awaits that."""

    def __init__(
        self,
        parts: Parts,
        reader: ConfigReader,
        replies: Replies,
        install: Callable[[Reading], Awaitable[object]],
    ) -> None:
        self._parts = parts
        self._reader = reader
        self._replies = replies
        self._install = install
        self._tell_at = 0
        self._is_over = asyncio.Event()
        self._is_over.set()

    async def begin(self, names: Collection[str]) -> tuple[Reading, Collection[str]] | None:
        """Compare the files of the jobs *names*; return a reading without files, and the jobs compared.

        None if all files must be read before anything starts: one of those has changed, there are few files, or
        a folder cannot be read.
        """
        reading = await asyncio.to_thread(self._reader.begin, LEAST)
        if reading is None:
            return None
        compared = await asyncio.to_thread(self._reader.compare, self._paths(names))
        if not set(names) <= set(compared):
            return None
        self._is_over.clear()
        self._note_progress(reading.file_count)
        return reading, compared

    async def wait(self) -> None:
        """Wait until no comparison is under way."""
        await self._is_over.wait()

    async def run(self) -> None:
        """Compare all files, and bring their changes into force; return at once without a comparison."""
        if self._is_over.is_set():
            return
        parts = self._parts
        count = self._reader.file_count()
        for paths in self._portions():
            names = await asyncio.to_thread(self._reader.compare, paths)
            await self._tell_engine(names)
            self._note_progress(count)
        reading = await self._read_rest()
        await self._install(reading)
        await self._tell_engine(None)
        parts.condition.comparing = None
        self._is_over.set()
        took_ms = parts.clock.now().elapsed - parts.condition.started_at.elapsed
        fields = {"files": reading.file_count, "changed": len(reading.items), "took_ms": took_ms}
        parts.logs.emit("info", "daemon.compared", fields)

    async def _read_rest(self) -> Reading:
        while True:
            try:
                return await asyncio.to_thread(self._reader.finish)
            except Exception as error:  # noqa: BLE001 - the next one may go well, and nothing starts without it
                self._parts.tasks.note_failure("comparison", error)
                await asyncio.sleep(_RETRY_S)

    async def _tell_engine(self, names: Collection[str] | None) -> None:
        request_id = "compared"
        answer = self._replies.expect(request_id)
        self._parts.loop.post(FilesCompared(names, request_id))
        await answer

    def _portions(self) -> Iterator[list[str]]:
        """Yield the files of all jobs in portions, first those of the jobs that wait."""
        engine, seen = self._parts.engine, set[str]()
        others = iter(tuple(engine.uncompared))
        while True:
            waiting = [job_id for job_id in engine.held if job_id not in seen]
            portion = waiting[:_PORTION] or list(islice(others, _PORTION))
            if not portion:
                return
            seen.update(portion)
            yield self._paths(job_id for job_id in portion if job_id in engine.uncompared)

    def _paths(self, keys: Iterable[str]) -> list[str]:
        entries = filter(None, map(self._parts.engine.find, keys))
        origins = (entry.wanted.origin for entry in entries)
        return list(dict.fromkeys(origin.path for origin in origins if origin is not None))

    def _note_progress(self, count: int) -> None:
        parts, now = self._parts, self._parts.clock.now().elapsed
        parts.condition.comparing = count - self._reader.uncompared_count(), count
        if parts.notifier.is_supervised and now >= self._tell_at:
            parts.notifier.status(status_line(parts))
            self._tell_at = now + _TELL_EVERY_MS
