"""Writes the reports of a worker into the inboxes, again until they are written.

Rule: reports of an attempt keep their order. A report that is written twice does no harm: the engine fences it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from luad.cluster import worker_rows
from luad.errors import StoreUnavailableError

if TYPE_CHECKING:
    from luad.cluster.inbox import Report
    from luad.cluster.worker_link import WorkerLink
    from luad.core.model import Instant

AT_ONCE: Final = 500
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0


class Waiting(NamedTuple):
    """A report for the inbox of *shard*; *on_written* is called once it is durable."""

    shard: int
    event: Report
    on_written: Callable[[], None]


class WorkerReports:
    """The reports that are not written yet."""

    def __init__(self, link: WorkerLink, now: Callable[[], Instant]) -> None:
        self._link = link
        self._now = now
        self._waiting: deque[Waiting] = deque()
        self._work = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def put(self, shard: int, event: Report, on_written: Callable[[], None] = lambda: None) -> None:
        """Add a report."""
        self._waiting.append(Waiting(shard, event, on_written))
        self._is_empty.clear()
        self._work.set()

    async def run(self) -> None:
        """Write until cancelled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._work.wait()
            batch = [self._waiting[place] for place in range(min(AT_ONCE, len(self._waiting)))]
            rows = [(each.shard, each.event) for each in batch]
            try:
                await self._link.do(partial(worker_rows.report, reports=rows, now=self._now()))
            except StoreUnavailableError:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            for each in batch:
                self._waiting.popleft()
                each.on_written()
            if not self._waiting:
                self._work.clear()
                self._is_empty.set()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until every report is written; return False after *timeout_s*."""
        try:
            await asyncio.wait_for(self._is_empty.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
