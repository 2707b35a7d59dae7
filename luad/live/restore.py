"""Restores the recent runs from the store, once, after the start of the daemon.

Rule: reads in portions, so that the loop is not blocked; if the store fails, there is a gap and no error.
"""

from __future__ import annotations

import asyncio
import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from luad.core.lifecycle import NEVER_RAN
from luad.errors import StoreUnavailableError
from luad.live.job_choice import EVERY_JOB
from luad.live.strips import STRIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luad.live.job_choice import Found, JobChoice
    from luad.live.job_state import JobStateView
    from luad.live.recent_runs import RecentRuns
    from luad.store import Store
    from luad.store.query_types import RecentRun

_PORTION: Final = 100
WAIT_S: Final = 2.0

PREPARED: Final = 2_000
"""The number of jobs whose JSON is prepared. With more, memory matters more than the first list."""


class JobsInOrder(Protocol):
    """The installed jobs."""

    def search(self, choice: JobChoice, after: str, most: int) -> Found:
        """Look at up to *most* jobs behind the place *after*; return those of *choice*."""
        ...

    def id_at(self, place: str) -> str | None:
        """Return the id of the job at that place in the order of names."""
        ...

    def at(self, place: str) -> JobStateView | None:
        """Return the job at that place in the order of names."""
        ...


class RestoredDaemon(Protocol):
    """The parts of a daemon that restoring needs."""

    @property
    def store(self) -> Store:
        """The history."""
        ...

    @property
    def recent_runs(self) -> RecentRuns:
        """The recent runs, which the task fills."""
        ...

    @property
    def installed(self) -> JobsInOrder:
        """The jobs."""
        ...


class RestoreTask:
    """A background task that restores the recent runs.

    At its end, it calls *prepare*, if set, for the first jobs, so that the first list is as fast as later
    ones.
    """

    def __init__(self, service: RestoredDaemon) -> None:
        self.prepare: Callable[[JobStateView], object] | None = None
        self._service = service
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task."""
        self._task = asyncio.create_task(self._run(), name="restore-recent-runs")

    async def stop(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def wait(self) -> None:
        """Wait for the end of the task, but at most `WAIT_S`, after which lists lack strips."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task}, timeout=WAIT_S)

    async def _run(self) -> None:
        for places in self._portions():
            with contextlib.suppress(StoreUnavailableError):
                await self._restore(places)
        if self.prepare is not None:
            await self._prepare(self.prepare)

    async def _prepare(self, prepare: Callable[[JobStateView], object]) -> None:
        for places in islice(self._portions(), PREPARED // _PORTION):
            for state in map(self._service.installed.at, places):
                if state is not None:
                    prepare(state)
            await asyncio.sleep(0)

    def _portions(self) -> Iterator[list[str]]:
        """Yield the places of jobs in order of names, a portion at a time; jobs may come and go in between."""
        place: str | None = ""
        while place is not None:
            places, place = self._service.installed.search(EVERY_JOB, place, _PORTION)
            yield places

    async def _restore(self, places: list[str]) -> None:
        installed, store = self._service.installed, self._service.store
        ids = {job_id: place for place in places if (job_id := installed.id_at(place)) is not None}
        strips = await store.recent_runs(ids, STRIP)
        skipping = [key for key, rows in strips.items() if all(map(_never_ran, rows))]
        lasts = await store.last_runs(skipping) if skipping else {}
        for job_id, rows in strips.items():
            state = installed.at(ids[job_id])
            if state is None or state.job_id != job_id:
                continue  # another job has the name by now
            last = lasts.get(job_id)
            past = [last, *rows] if last else rows
            has_failures = state.consecutive_failures > 0
            self._service.recent_runs.seed(state.job.name, job_id, past, has_failures=has_failures)


def _never_ran(row: RecentRun) -> bool:
    return row.state in NEVER_RAN
