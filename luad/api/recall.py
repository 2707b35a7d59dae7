"""Filling the board from the store, once, after the start.

Room rule: reads in portions and lets the loop breathe; a store that fails leaves a gap, not an error.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Final

from luad.api.board import STRIP
from luad.errors import StoreUnavailableError

if TYPE_CHECKING:
    from luad.api.service import JobStateView, Service

_PORTION: Final = 100
WAIT_S: Final = 2.0


class Recall:
    """Knows whether the runs before the daemon's start are on the board yet."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read, beside whatever else there is to do."""
        self._task = asyncio.create_task(self._run(), name="api-recall")

    async def stop(self) -> None:
        """Leave it."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def wait(self) -> None:
        """Wait until everything is there, but not for long: a list without strips is better than
        none."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=WAIT_S)

    async def _run(self) -> None:
        rest = iter(tuple(self._service.jobs()))
        while portion := list(islice(rest, _PORTION)):
            with contextlib.suppress(StoreUnavailableError):
                await self._recall(portion)

    async def _recall(self, portion: list[JobStateView]) -> None:
        store, board = self._service.store, self._service.board
        strips = await store.recent_runs([each.job_id for each in portion], STRIP)
        for state in portion:
            strip = strips.get(state.job_id)
            if strip:
                last = await store.last_run(state.job_id)
                board.seed(state.job.name, state.job_id, strip, last.run if last else None)
