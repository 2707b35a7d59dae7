"""What tests do with a host: run a handler, let time pass, look at what was made and sent.

Rule: asks through the same API as everybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from luad.clock import wall_ms
from luad.sdk.ask import Ask
from luad.sdk.create import handler_name
from luad.sdk.job import JobCore
from luad.sdk.jobs import create_steps, get_steps
from luad.sdk.link import run, segment, set_link
from luad.sdk.values import part_of
from luad.testing.host import Host, HostLink
from luad.wire import format_instant, parse_duration_ms, parse_instant

if TYPE_CHECKING:
    from luad.core.model import Instant
    from luad.sdk.link import Link
    from luad.sdk.values import File, Image, Retry, Text

_LONG_MS = 30 * 86_400_000
"""How far `run_job` goes to see the end of all retries."""


def fake_user(id: str = "ann", **profile: Any) -> dict[str, Any]:  # noqa: A002 - the word people expect
    """Return somebody for a test, with an inbox: *profile* are the keys of a users file."""
    return {"id": id, "channels": ["inbox"], **profile}


@dataclass(frozen=True)
class JobResult:
    """What a run of `run_job` came to.

    *status*: ``succeeded``, ``failed``, ``timed_out`` or ``cancelled``. *error* has ``type``, ``message`` and
    ``traceback``. *sent* are the parts of the messages, in order; *created* the jobs it made.
    """

    status: str
    result: Any
    error: Mapping[str, Any] | None
    attempts: int
    sent: list[Text | Image | File]
    metadata: dict[str, Any]
    created: list[str]
    is_deleted: bool
    logs: list[dict[str, Any]] = field(repr=False)


class World:
    """A luad for a test, and the way there for `Jobs`, `User` and `current_job`. A context.

    *now*: what time it is at first, an aware datetime or ISO text; the machine's own by default.
    """

    def __init__(
        self,
        now: datetime | str | None = None,
        *,
        people: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.host = Host(_instant(now), people=people)
        self._before: Link | None = set_link(HostLink(self.host))

    def close(self) -> None:
        """End it; the SDK leads to where it led before."""
        set_link(self._before)
        self.host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- time ---

    @property
    def now(self) -> datetime:
        """What time it is in here."""
        return datetime.fromtimestamp(self.host.clock.now().wall / 1_000, UTC)

    def advance(self, distance: str | float | timedelta) -> None:
        """Let time pass, from one due instant to the next, until everything that fires has ended."""
        if isinstance(distance, timedelta):
            distance = distance.total_seconds()
        self.host.advance(self.host.clock.now().wall + parse_duration_ms(distance))

    # --- people ---

    def add_user(self, user: str | Mapping[str, Any], **profile: Any) -> None:
        """Add somebody: an id, or what `fake_user` gives."""
        definition = fake_user(user, **profile) if isinstance(user, str) else {**user, **profile}
        self.host.ask(Ask("POST", "/users", {**definition, "if_exists": "replace"}))

    def sent_to(self, user: str) -> list[Text | Image | File]:
        """The parts of all messages to somebody, in the order in which they were sent."""
        path = f"/users/{segment(user, 'user')}/messages"
        return [part_of(part) for each in self._all(path, "messages") for part in each["parts"]]

    # --- jobs ---

    @property
    def created(self) -> list[dict[str, Any]]:
        """The dynamic jobs there are, as the API shows them, by name."""
        query = {"include_dynamic": True, "source": "api"}
        jobs: list[dict[str, Any]] = self.host.ask(Ask("GET", "/jobs", query=query))["jobs"]
        return jobs

    def runs(self, job: str | None = None) -> list[dict[str, Any]]:
        """The history, oldest first; of all jobs, or of one."""
        return self._all("/runs", "runs", job=job)

    def _all(self, path: str, kind: str, **query: Any) -> list[dict[str, Any]]:
        """Return all rows of a list that the API shows page by page, oldest first."""
        found: list[dict[str, Any]] = []
        wanted: dict[str, Any] = {**query, "limit": 500}
        while True:
            answer = self.host.ask(Ask("GET", path, query=wanted))
            found += answer[kind]
            wanted["cursor"] = answer["next_cursor"]
            if wanted["cursor"] is None:
                return found[::-1]

    def assert_created(
        self,
        *,
        handler: str | Callable[..., Any] | None = None,
        name: str | None = None,
        user: str | None = None,
        in_: timedelta | float | str | None = None,
        at: datetime | str | None = None,
        every: timedelta | float | str | None = None,
        cron: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        count: int | None = None,
    ) -> list[dict[str, Any]]:
        """Assert that there is a dynamic job like this (or *count* of them), and return all that are.

        What is not said does not matter; of *metadata* the keys that are said do.
        """
        wanted = _Wanted(handler, name, user, in_, at, every, cron, metadata)
        found = [each for each in self.created if wanted.fits(each)]
        is_right = bool(found) if count is None else len(found) == count
        if not is_right:
            there = [
                f"{each['name']} ({each['handler']}): {each['summary']}" for each in self.created
            ]
            shown = "; ".join(there) or "none at all"
            raise AssertionError(f"no such job was made: {wanted}; there are: {shown}")
        return found


@dataclass(frozen=True)
class _Wanted:
    """What a created job should be like."""

    handler: str | Callable[..., Any] | None
    name: str | None
    user: str | None
    in_: timedelta | float | str | None
    at: datetime | str | None
    every: timedelta | float | str | None
    cron: str | None
    metadata: Mapping[str, Any] | None

    def fits(self, job: Mapping[str, Any]) -> bool:
        schedule = job["schedule"]
        made = parse_instant(job["creation"]["at"])
        return (
            (self.handler is None or job["handler"] == handler_name(self.handler))
            and (self.name is None or job["name"] == self.name)
            and (self.user is None or job["user_id"] == self.user)
            and (self.in_ is None or _due(schedule) == made + _ms(self.in_))
            and (self.at is None or _due(schedule) == _instant(self.at))
            and (self.every is None or schedule.get("seconds") == _ms(self.every) / 1_000)
            and (self.cron is None or schedule.get("expression") == self.cron)
            and all(
                job["metadata"].get(key) == value for key, value in (self.metadata or {}).items()
            )
        )

    def __str__(self) -> str:
        said = {key: value for key, value in vars(self).items() if value is not None}
        return ", ".join(f"{key}={value!r}" for key, value in said.items())


def _due(schedule: Mapping[str, Any]) -> Instant | None:
    text = schedule.get("execute_at")
    return None if text is None else parse_instant(text)


def _ms(distance: timedelta | float | str) -> int:
    if isinstance(distance, timedelta):
        distance = distance.total_seconds()
    return parse_duration_ms(distance)


def _instant(at: datetime | str | None) -> Instant:
    if at is None:
        return wall_ms()
    if isinstance(at, datetime):
        assert at.tzinfo is not None, "a time without a zone may mean any hour of a day"
        return round(at.timestamp() * 1_000)
    return parse_instant(at)


# --- one run ------------------------------------------------------------------------------------


def run_job_sync(
    handler: str | Callable[..., Any],
    *,
    user: str | Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    at: datetime | str | None = None,
    timeout: timedelta | float | str | None = None,
    retry: Retry | int | None = None,
    people: Sequence[Mapping[str, Any]] = (),
) -> JobResult:
    """Run *handler* once, as luad would, and return what it came to.

    The job is validated and stored, fires at *at*, and is tried again as *retry* says; metadata and result
    make their way through JSON, and the time limit holds. Nothing is sent anywhere.
    """
    definition = fake_user(user) if isinstance(user, str) else user
    everybody = [*people, definition] if definition is not None else list(people)
    with World(at, people=everybody) as world:
        words = _words(handler, world.host.clock.now().wall, metadata, timeout, retry)
        user_id = None if definition is None else definition["id"]
        words |= {"user": user_id, "idempotency_key": None, "policies": {}}
        job = run(create_steps(JobCore, words))
        world.advance(0)
        runs = world.runs(job.name)
        for _ in range(100):
            if not runs or runs[-1]["status"] not in {"queued", "running", "retrying"}:
                break
            world.host.advance(world.host.engine.next_wake_up() or _LONG_MS)
            runs = world.runs(job.name)
        return _result(world, job.name, runs[-1])


def _words(
    handler: str | Callable[..., Any],
    now: Instant,
    metadata: Mapping[str, Any] | None,
    timeout: timedelta | float | str | None,
    retry: Retry | int | None,
) -> dict[str, Any]:
    return {
        "handler": handler,
        "name": "tested",
        "at": format_instant(now),
        "in_": None,
        "every": None,
        "cron": None,
        "schedule": None,
        "timezone": None,
        "description": "",
        "metadata": metadata,
        "timeout": timeout,
        "retry": retry,
        "tags": (),
        "activate": True,
        "keep": True,
        "if_exists": "error",
    }


def _result(world: World, name: str, ran: Mapping[str, Any]) -> JobResult:
    full = world.host.ask(Ask("GET", f"/runs/{ran['id']}"))
    names = [each["name"] for each in world.created]
    metadata: dict[str, Any] = {}
    if name in names:
        metadata = dict(run(get_steps(JobCore, name)).metadata)
    lines = world.host.call(world.host.store.read_logs(ran["id"]))
    sent = world.host.messages(run_id=ran["id"])
    return JobResult(
        full["status"],
        full["result"],
        full["error"],
        full["attempt"],
        [part_of(part) for each in sent for part in each.message.parts],
        metadata,
        full["created_jobs"],
        name not in names,
        [each.line for each in lines],
    )


async def run_job(handler: str | Callable[..., Any], **words: Any) -> JobResult:
    """As `run_job_sync`, for ``async def`` tests."""
    return await asyncio.to_thread(run_job_sync, handler, **words)
