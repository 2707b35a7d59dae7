"""Writes the output of a worker's runs to the store, a few times a second, with bounded memory.

Rule: nothing here waits for the store on the way of a run. A line has its number from the worker, so a batch that is
written twice is there once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from luad.cluster.worker_rows import add_lines
from luad.errors import StoreUnavailableError
from luad.store.log_chunks import chunks_of

if TYPE_CHECKING:
    from luad.cluster.worker_link import WorkerLink
    from luad.core.model import Instant

BATCH_S: Final = 0.25
RUN_BYTES: Final = 1 << 20
ALL_BYTES: Final = 16 << 20
_RETRY_S: Final = 1.0
_OF_A_LINE: Final = 100


@dataclass(slots=True)
class _Log:
    """The log of a run: the number of its next line, and its lines that wait for the store."""

    next_line: int
    size: int = 0
    dropped: int = 0
    waiting: deque[tuple[int, Mapping[str, Any]]] = field(default_factory=deque)
    is_over: bool = False
    then: Callable[[], None] | None = None  # called once no line waits


class WorkerLogs:
    """The logs of the runs of a worker. *now* is the time for lines without one."""

    def __init__(self, link: WorkerLink, now: Callable[[], Instant]) -> None:
        self._link = link
        self._now = now
        self._logs: dict[str, _Log] = {}
        self._size = 0
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()  # a call of `flush` or of `when_written` waits
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def begin(self, run_id: str, next_line: int) -> None:
        """Begin the log of an attempt; its first line gets the number *next_line*."""
        known = self._logs.get(run_id)
        if known is not None:
            next_line = max(next_line, known.next_line)
            known.next_line, known.is_over, known.dropped = next_line, False, 0
        else:
            self._logs[run_id] = _Log(next_line)

    def put(self, run_id: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Queue lines of a run; what is too much is dropped, and its bytes are counted."""
        log = self._logs.get(run_id)
        if log is None:
            return
        for line in lines:
            size = len(str(line.get("message", ""))) + _OF_A_LINE
            if log.size + size > RUN_BYTES or self._size + size > ALL_BYTES:
                log.dropped += size
                continue
            log.waiting.append((size, line))
            log.size += size
            self._size += size
        self._is_idle.clear()
        self._work.set()

    def end(self, run_id: str) -> int:
        """End the log of an attempt; return the bytes that were dropped."""
        log = self._logs.get(run_id)
        if log is None:
            return 0
        log.is_over = True
        if not log.waiting:
            del self._logs[run_id]
        return log.dropped

    def when_written(self, run_id: str, then: Callable[[], None]) -> None:
        """Call *then* once the lines of a run so far are in the store, at once if they are."""
        log = self._logs.get(run_id)
        if log is None or not log.waiting:
            then()
            return
        log.then = then
        self._hurry.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._work.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(BATCH_S):
                    await self._hurry.wait()
            self._work.clear()
            self._hurry.clear()
            while any(log.waiting for log in self._logs.values()):
                if not await self._write():
                    await asyncio.sleep(_RETRY_S)
            self._is_idle.set()

    async def flush(self, timeout_s: float) -> None:
        """Wait until every line is written, at most *timeout_s*; after that, no call waits for lines."""
        try:
            await asyncio.wait_for(self._is_idle.wait(), timeout_s)
        except TimeoutError:
            for log in tuple(self._logs.values()):
                _go_on(log)

    async def _write(self) -> bool:
        """Write what waits; return False while the store cannot be written."""
        taken = {run_id: len(log.waiting) for run_id, log in self._logs.items() if log.waiting}
        chunks: list[Mapping[str, Any]] = []
        for run_id, count in taken.items():
            log, seq = self._logs[run_id], self._logs[run_id].next_line
            lines = [log.waiting[place][1] for place in range(count)]
            for chunk in chunks_of(run_id, lines, self._now()):
                chunks.append({**chunk, "seq": seq})
                seq += chunk["b_line_count"]
        try:
            await self._link.do(partial(add_lines, chunks=chunks))
        except StoreUnavailableError:
            return False
        for run_id, count in taken.items():
            self._written(run_id, count)
        return True

    def _written(self, run_id: str, count: int) -> None:
        log = self._logs[run_id]
        for _ in range(count):
            size, _line = log.waiting.popleft()
            log.size -= size
            self._size -= size
        log.next_line += count
        if log.waiting:
            return
        if log.is_over:
            del self._logs[run_id]
        _go_on(log)


def _go_on(log: _Log) -> None:
    then, log.then = log.then, None
    if then is not None:
        then()
