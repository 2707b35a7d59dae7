"""The daemon as the API sees it.

Room rule: hands requests to the loop and reads the engine between its turns; changes nothing itself.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from luad.api.service import Health, ReloadResult
from luad.core.model import RunState
from luad.errors import UnavailableError
from luad.live.job_state import JobStateView

if TYPE_CHECKING:
    from luad.api.service import DynamicRules, Post, Users
    from luad.clock import Clock
    from luad.core.engine import Engine
    from luad.core.events import Event, Log, Reply
    from luad.core.model import Run
    from luad.core.plan import Plan
    from luad.core.requests import Request
    from luad.core.state import Entry
    from luad.daemon.reloading import Reading
    from luad.errors import Problem
    from luad.live.event_ring import EventRing
    from luad.live.log_followers import LogFollowers
    from luad.live.recent_runs import RecentRuns
    from luad.store import Store

_REPLY_WITHIN_S: Final = 15.0


class Household(Protocol):
    """What the service stands in front of: a daemon, or what a test has instead of one."""

    store: Store
    clock: Clock
    recent_runs: RecentRuns
    followers: LogFollowers
    ring: EventRing
    engine: Engine
    users: Users
    mail: Post
    dynamic: DynamicRules

    def post(self, event: Event) -> None:
        """Hand an event to the engine."""
        ...

    def expect_reply(self, request_id: str) -> asyncio.Future[Reply]:
        """Return a future for the answer to a request that is about to be handed in."""
        ...

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files, and with what they ask for."""
        ...

    async def delete_left_out(self, name_or_id: str) -> bool:
        """Delete a stored job that is not in force; False when none is called so."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What `GET /v1/status` says."""
        ...

    def health(self) -> Health:
        """Whether it does its work."""
        ...

    def log(self, line: Log) -> None:
        """Write a line to its log."""
        ...

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Read the files now; with *check_only* only say what would change."""
        ...


class DaemonService:
    """Implements `luad.api.service.Service`."""

    def __init__(self, house: Household) -> None:
        self._house = house
        self._engine = house.engine
        self.store: Store = house.store
        self.clock: Clock = house.clock
        self.recent_runs: RecentRuns = house.recent_runs
        self.followers: LogFollowers = house.followers
        self.ring: EventRing = house.ring
        self.users: Users = house.users
        self.post: Post = house.mail
        self.dynamic: DynamicRules = house.dynamic

    def new_request_id(self) -> str:
        """Return a name for a request that no other ever had."""
        return f"req_{uuid.uuid4().hex}"

    async def request(self, event: Request) -> Reply:
        """Hand *event* to the engine; return its answer once the records of it are durable."""
        reply = self._house.expect_reply(event.request_id)
        self._house.post(event)
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
        if not self._engine.nameless:
            return [self._view(entries[name]) for name in sorted(entries)]
        return [self._view(each) for each in sorted(entries.values(), key=_place)]

    def names(self) -> Collection[str]:
        """The names of all installed jobs, in no order."""
        entries = self._engine.entries
        if not self._engine.nameless:
            return entries.keys()
        return [key for key, entry in entries.items() if entry.standing.holds_name]

    def keys(self) -> Collection[str]:
        """The names of all installed jobs, and the ids of those that do not hold their name."""
        return self._engine.entries.keys()

    def job(self, name_or_id: str) -> JobStateView | None:
        """One installed job, by its whole name or id."""
        entry = self._engine.find(name_or_id)
        return self._view(entry) if entry else None

    def _view(self, entry: Entry) -> JobStateView:
        following = self._engine.next_occurrence_of(entry.key)
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
        """The run of that id, while it goes on."""
        return self._engine.runs.get(run_id)

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the files as they were last read, and with what they ask for."""
        return self._house.problems()

    async def delete_left_out(self, name_or_id: str) -> bool:
        """Delete a stored job that is not in force; False when none is called so."""
        return await self._house.delete_left_out(name_or_id)

    def status(self) -> Mapping[str, Any]:
        """What the daemon knows of itself."""
        return self._house.describe()

    def health(self) -> Health:
        """Whether it does its work."""
        return self._house.health()

    def log(self, line: Log) -> None:
        """Write a line to the daemon's log."""
        self._house.log(line)

    async def reload(self, *, check_only: bool) -> ReloadResult:
        """Read the job folders now; with *check_only* only say what would change."""
        return await self._house.reload(check_only=check_only)


def _place(entry: Entry) -> tuple[str, bool, str]:
    return entry.job.name, not entry.standing.holds_name, entry.job_id


def reload_result(plan: Plan, reading: Reading, problems: tuple[Problem, ...]) -> ReloadResult:
    """Return what a reload did, as the API shows it; *problems* include what two files, or a file
    and a dynamic job, have against each other."""
    return ReloadResult(
        tuple(each.job.name for each in plan.add),
        tuple((each.name, each.changes) for each in plan.replace),
        plan.remove,
        len(plan.keep),
        problems,
        reading.loaded.stale,
    )
