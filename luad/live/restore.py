"""Restores the recent runs from the store, once, after the start of the daemon.

Rule: reads in portions, so that the loop is not blocked; if the store fails, there is a gap and no error.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from luad.core.lifecycle import NEVER_RAN
from luad.errors import StoreUnavailableError
from luad.live.strips import STRIP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from luad.live.job_state import JobStateView
    from luad.live.recent_runs import RecentRuns
    from luad.store import Store
    from luad.store.query_types import RecentRun

_PORTION: Final = 100
WAIT_S: Final = 2.0

PREPARED: Final = 2_000
"""The number of jobs whose JSON is prepared. With more, memory matters more than the first list."""


class InstalledJobs(Protocol):
    """The parts of a daemon that restoring needs."""

    @property
    def store(self) -> Store:
        """The history."""
        ...

    @property
    def recent_runs(self) -> RecentRuns:
        """The recent runs, which the task fills."""
        ...

    def keys(self) -> Iterable[str]:
        """The name or the id of every job."""
        ...

    def job(self, name_or_id: str) -> JobStateView | None:
        """One job, by its name or id."""
        ...


class RestoreTask:
    """A background task that restores the recent runs.

    At its end, it calls *prepare*, if set, for the first jobs, so that the first list is as fast as later
    ones.
    """

    def __init__(self, service: InstalledJobs) -> None:
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
        names = sorted(self._service.keys())
        for start in range(0, len(names), _PORTION):
            with contextlib.suppress(StoreUnavailableError):
                await self._restore(self._found(names[start : start + _PORTION]))
        if self.prepare is not None:
            await self._prepare(self.prepare)

    async def _prepare(self, prepare: Callable[[JobStateView], object]) -> None:
        names = sorted(self._service.keys())[:PREPARED]
        for start in range(0, len(names), _PORTION):
            for state in self._found(names[start : start + _PORTION]):
                prepare(state)
            await asyncio.sleep(0)

    def _found(self, names: list[str]) -> list[JobStateView]:
        """Return the current states of the jobs of these names that are still installed."""
        return [state for name in names if (state := self._service.job(name)) is not None]

    async def _restore(self, portion: list[JobStateView]) -> None:
        store, recent_runs = self._service.store, self._service.recent_runs
        strips = await store.recent_runs([each.job_id for each in portion], STRIP)
        skipping = [key for key, rows in strips.items() if all(map(_never_ran, rows))]
        lasts = await store.last_runs(skipping) if skipping else {}
        for state in portion:
            rows = strips.get(state.job_id)
            if rows:
                last = lasts.get(state.job_id)
                recent_runs.seed(state.job.name, state.job_id, [last, *rows] if last else rows)


def _never_ran(row: RecentRun) -> bool:
    return row.state in NEVER_RAN
