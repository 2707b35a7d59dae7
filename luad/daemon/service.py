"""Requests of the API to the engine, and its view of the engine's jobs.

Rule: this module posts requests to the loop and reads the engine between turns; it changes nothing itself.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from luad.core.model import RunState
from luad.errors import UnavailableError
from luad.live.job_state import JobStateView

if TYPE_CHECKING:
    from luad.core.engine import Engine
    from luad.core.events import Reply
    from luad.core.model import Run
    from luad.core.requests import Request
    from luad.core.state import Entry
    from luad.daemon.loop import Loop
    from luad.daemon.replies import Replies

_REPLY_WITHIN_S: Final = 15.0


class EngineService:
    """The part of `luad.api.service.Service` that reads the engine and hands requests to it.

    Base of the daemon, and of the daemon in a test's process; each adds the rest of the service.
    """

    engine: Engine
    loop: Loop
    replies: Replies

    def new_request_id(self) -> str:
        """Return a new unique id for a request."""
        return f"req_{uuid.uuid4().hex}"

    async def request(self, event: Request) -> Reply:
        """Post *event* to the engine; return its reply once its records are durable."""
        reply = self.replies.expect(event.request_id)
        self.loop.post(event)
        try:
            return await asyncio.wait_for(reply, _REPLY_WITHIN_S)
        except TimeoutError:
            raise UnavailableError(
                "luad took the request, but cannot write to its store at the moment",
                hint="it is carried out once the store can be written; see luad status",
            ) from None

    # --- the engine's state ---

    def jobs(self) -> Sequence[JobStateView]:
        """Return all installed jobs, in order of names."""
        entries = self.engine.entries
        if not self.engine.nameless:
            return [self._view(entries[name]) for name in sorted(entries)]
        return [self._view(each) for each in sorted(entries.values(), key=_place)]

    def names(self) -> Collection[str]:
        """Return the names of all installed jobs, in no order."""
        entries = self.engine.entries
        if not self.engine.nameless:
            return entries.keys()
        return [key for key, entry in entries.items() if entry.standing.holds_name]

    def keys(self) -> Collection[str]:
        """Return the names of all installed jobs; for a job that does not hold its name, its id."""
        return self.engine.entries.keys()

    def job(self, name_or_id: str) -> JobStateView | None:
        """Return the installed job of that exact name or id."""
        entry = self.engine.find(name_or_id)
        return self._view(entry) if entry else None

    def _view(self, entry: Entry) -> JobStateView:
        following = self.engine.next_occurrence_of(entry.key)
        running: tuple[str, ...] = ()
        queued = 0
        if self.engine.runs.open_count(entry.job_id):
            runs = self.engine.runs.of_job(entry.job_id)
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
            entry.halt,
            entry.consecutive_failures,
            following.scheduled_for if following else None,
            following.fire_at if following else None,
            running,
            queued,
            entry.wanted.creation,
            entry.version,
            entry.alert.cause,
            entry.standing.holds_name,
            entry.standing.over_at,
        )

    def open_run(self, run_id: str) -> Run | None:
        """Return the open run of that id."""
        return self.engine.runs.get(run_id)


def _place(entry: Entry) -> tuple[str, bool, str]:
    return entry.job.name, not entry.standing.holds_name, entry.job_id
