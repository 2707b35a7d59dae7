"""Requests of the API to the engine, and its view of the engine's jobs.

Rule: this module posts requests to the loop and reads the engine between turns; it changes nothing itself.
"""

from __future__ import annotations

import asyncio
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Final

from luad.daemon.installed_jobs import InstalledJobs
from luad.errors import UnavailableError

if TYPE_CHECKING:
    from luad.core.concurrency import UnservedRuns
    from luad.core.engine import Engine
    from luad.core.events import Reply
    from luad.core.model import Run
    from luad.core.requests import Request
    from luad.daemon.loop import Turns
    from luad.daemon.replies import Replies
    from luad.live.job_state import JobStateView
    from luad.live.recent_runs import RecentRuns
    from luad.store.query_types import Cluster

_REPLY_WITHIN_S: Final = 15.0


class EngineService:
    """The part of `luad.api.service.Service` that reads the engine and hands requests to it.

    Base of the daemon, and of the daemon in a test's process; each adds the rest of the service.
    """

    engine: Engine
    loop: Turns
    replies: Replies
    recent_runs: RecentRuns

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

    async def cluster(self) -> Cluster | None:
        """Return None: one process uses an embedded store."""
        return None

    async def publish(self) -> bool:
        """Return False: luad has its store for itself."""
        return False

    # --- the engine's state ---

    @cached_property
    def installed(self) -> InstalledJobs:
        """Questions about the installed jobs."""
        return InstalledJobs(self.engine, self.recent_runs)

    def job(self, name_or_id: str) -> JobStateView | None:
        """Return the installed job of that exact name or id."""
        return self.installed.job(name_or_id)

    def dynamic_handler(self, job_id: str) -> str | None:
        """Return the handler of a dynamic job; None for other ids."""
        entry = self.engine.find(job_id)
        return entry.job.handler if entry is not None and entry.wanted.is_dynamic else None

    def open_run(self, run_id: str) -> Run | None:
        """Return the open run of that id."""
        return self.engine.runs.get(run_id)

    @property
    def unserved(self) -> UnservedRuns:
        """The runs that wait because no worker serves their queue."""
        return self.engine.runs.unserved
