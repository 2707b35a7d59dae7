"""The daemon as the API sees it.

Room rule: hands requests to the loop and reads the engine between its turns; changes nothing itself.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from luad.api.service import Health, JobStateView, ReloadResult
from luad.core.model import RunState
from luad.core.plan import Plan
from luad.daemon import chores
from luad.daemon.reload import Reading
from luad.errors import UnavailableError

if TYPE_CHECKING:
    from luad.api.board import Board
    from luad.api.hub import LogHub
    from luad.clock import Clock
    from luad.core.events import Event, Log, Reply, Request
    from luad.core.state import Entry
    from luad.daemon.app import Daemon
    from luad.errors import Problem
    from luad.store import Store

_REPLY_WITHIN_S: Final = 15.0


class DaemonService:
    """Implements `luad.api.service.Service`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.store: Store = daemon.store
        self.clock: Clock = daemon.clock
        self.board: Board = daemon.board
        self.hub: LogHub = daemon.hub
        self._engine = daemon.engine

    def new_request_id(self) -> str:
        """Return a name for a request that no other ever had."""
        return f"req_{uuid.uuid4().hex}"

    async def request(self, event: Request) -> Reply:
        """Hand *event* to the engine; return its answer once the records of it are durable."""
        return await self._answer(event, event.request_id)

    async def _answer(self, event: Event, request_id: str) -> Reply:
        reply = self._daemon.hands.expect_reply(request_id)
        self._daemon.post(event)
        try:
            return await asyncio.wait_for(reply, _REPLY_WITHIN_S)
        except TimeoutError:
            raise UnavailableError(
                "luad took the request, but cannot write to its store at the moment",
                hint="it is carried out once the store can be written; see luad status",
            ) from None

    # --- looking ---

    def jobs(self) -> Sequence[JobStateView]:
        """Every installed job, in order of names."""
        entries = self._engine.entries
        return [self._view(entries[name]) for name in sorted(entries)]

    def names(self) -> Collection[str]:
        """The names of all installed jobs, in no order."""
        return self._engine.entries.keys()

    def job(self, name_or_id: str) -> JobStateView | None:
        """One installed job, by its whole name or id."""
        entry = self._engine.entries.get(name_or_id)
        if entry is None and (name := self._engine.name_of(name_or_id)) is not None:
            entry = self._engine.entries[name]
        return self._view(entry) if entry else None

    def _view(self, entry: Entry) -> JobStateView:
        following = self._engine.next_occurrence_of(entry.job.name)
        running: tuple[str, ...] = ()
        queued = 0
        if self._engine.runs.open_count(entry.job_id):
            runs = self._engine.runs.of_job(entry.job_id)
            running = tuple(run.id for run in runs if run.state is RunState.RUNNING)
            queued = len(runs) - len(running)
        return JobStateView(
            entry.current,
            entry.job_id,
            entry.installed_at,
            entry.grid_at,
            entry.wanted.origin,
            entry.wanted.stale,
            entry.status,
            entry.pause,
            entry.consecutive_failures,
            following.scheduled_for if following else None,
            following.fire_at if following else None,
            running,
            queued,
            entry.wanted.creation,
            entry.version,
        )

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files as they were last read, and with what they ask for."""
        return self._daemon.problems()

    def status(self) -> Mapping[str, Any]:
        """What the daemon knows of itself."""
        return chores.describe(self._daemon)

    def health(self) -> Health:
        """Whether it does its work."""
        return Health(self._daemon.is_ready, self._daemon.faults())

    def log(self, line: Log) -> None:
        """Write a line to the daemon's log."""
        self._daemon.hands.log(line)

    # --- reloading ---

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Read the job folders now; with *check_only* only say what would change."""
        if check_only:
            reading = await asyncio.to_thread(self._daemon.read_aside)
            return _result(self._engine.plan(reading.loaded.wanted), reading)
        reading, plan = await self._daemon.reload()
        return _result(plan, reading)


def _result(plan: Plan, reading: Reading) -> ReloadResult:
    return ReloadResult(
        tuple(each.job.name for each in plan.add),
        tuple((each.name, each.changes) for each in plan.replace),
        plan.remove,
        len(plan.keep),
        reading.problems,
        reading.loaded.stale,
    )
