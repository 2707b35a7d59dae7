"""The interface of tests to a host: run a handler, move time, read created jobs and sent messages.

Rule: it uses the same API as other clients.
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
    from luad.json_text import JsonObject
    from luad.sdk.link import Link
    from luad.sdk.values import File, Image, Retry, Text

_LONG_MS = 30 * 86_400_000
"""The time that `run_job` waits at most for the next retry."""


def fake_user(id: str = "ann", **profile: object) -> dict[str, object]:  # noqa: A002 - the key of a users file
    """Return a user for a test, with an inbox; *profile* has further keys of a users file."""
    return {"id": id, "channels": ["inbox"], **profile}


@dataclass(frozen=True)
class JobResult:
    """The result of `run_job`.

    *status* is ``succeeded``, ``failed``, ``timed_out`` or ``cancelled``. *error* has ``type``, ``message`` and
    ``traceback``. *sent* are the parts of the sent messages, in order; *created* are the jobs that it created.
    """

    status: str
    result: Any
    error: JsonObject | None
    attempts: int
    sent: list[Text | Image | File]
    metadata: JsonObject
    created: list[str]
    is_deleted: bool
    logs: list[JsonObject] = field(repr=False)


class World:
    """A luad for a test, which `Jobs`, `User` and `current_job` use. A context.

    *now* is the first time of its clock, an aware datetime or ISO text (default: the machine's time).
    """

    def __init__(
        self,
        now: datetime | str | None = None,
        *,
        people: Sequence[Mapping[str, object]] = (),
    ) -> None:
        self.host = Host(_instant(now), people=people)
        self._before: Link | None = set_link(HostLink(self.host))

    def close(self) -> None:
        """End this luad; the SDK uses its previous daemon again."""
        set_link(self._before)
        self.host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- time ---

    @property
    def now(self) -> datetime:
        """The time of the virtual clock."""
        return datetime.fromtimestamp(self.host.clock.now().wall / 1_000, UTC)

    def advance(self, distance: str | float | timedelta) -> None:
        """Move the clock from one due instant to the next, and wait until all runs have ended."""
        if isinstance(distance, timedelta):
            distance = distance.total_seconds()
        self.host.advance(self.host.clock.now().wall + parse_duration_ms(distance))

    # --- people ---

    def add_user(self, user: str | Mapping[str, object], **profile: object) -> None:
        """Add a user, given by an id or by a definition from `fake_user`."""
        definition = fake_user(user, **profile) if isinstance(user, str) else {**user, **profile}
        self.host.ask(Ask("POST", "/users", {**definition, "if_exists": "replace"}))

    def sent_to(self, user: str) -> list[Text | Image | File]:
        """Return the parts of all messages to *user*, in the order of sending."""
        path = f"/users/{segment(user, 'user')}/messages"
        return [
            part_of(dict(part)) for each in self._all(path, "messages") for part in each["parts"]
        ]

    # --- jobs ---

    @property
    def created(self) -> list[dict[str, object]]:
        """The dynamic jobs, by name, as the API shows them."""
        query = {"include_dynamic": True, "source": "api"}
        jobs: list[dict[str, object]] = self.host.ask(Ask("GET", "/jobs", query=query))["jobs"]
        return jobs

    def runs(self, job: str | None = None) -> list[JsonObject]:
        """Return the runs of all jobs, or of one, the oldest first."""
        return self._all("/runs", "runs", job=job)

    def _all(self, path: str, kind: str, **query: object) -> list[JsonObject]:
        """Return all rows of a list that the API returns in pages, the oldest first."""
        found: list[JsonObject] = []
        wanted: JsonObject = {**query, "limit": self.host.page_rows}
        while True:
            answer = self.host.ask(Ask("GET", path, query=wanted))
            found += answer[kind]
            wanted["cursor"] = answer["next_cursor"]
            if wanted["cursor"] is None:
                return found[::-1]

    def assert_created(
        self,
        *,
        handler: str | Callable[..., object] | None = None,
        name: str | None = None,
        user: str | None = None,
        in_: timedelta | float | str | None = None,
        at: datetime | str | None = None,
        every: timedelta | float | str | None = None,
        cron: str | None = None,
        metadata: Mapping[str, object] | None = None,
        count: int | None = None,
    ) -> list[dict[str, object]]:
        """Assert that a dynamic job matches (or that *count* match), and return the matching ones.

        An argument that is None matches any job; of *metadata*, only the given keys are compared.
        """
        wanted = _Wanted(handler, name, user, in_, at, every, cron, metadata)
        found = [each for each in self.created if wanted.fits(each)]
        is_right = bool(found) if count is None else len(found) == count
        if not is_right:
            there = [
                f"{each['name']} ({each['handler']}): {each['summary']}" for each in self.created
            ]
            shown = "; ".join(there) or "none"
            raise AssertionError(f"no such job was created: {wanted}; the jobs are: {shown}")
        return found


@dataclass(frozen=True)
class _Wanted:
    """The expected properties of a created job."""

    handler: str | Callable[..., Any] | None
    name: str | None
    user: str | None
    in_: timedelta | float | str | None
    at: datetime | str | None
    every: timedelta | float | str | None
    cron: str | None
    metadata: Mapping[str, object] | None

    def fits(self, job: JsonObject) -> bool:
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


def _due(schedule: JsonObject) -> Instant | None:
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
    handler: str | Callable[..., object],
    *,
    user: str | Mapping[str, object] | None = None,
    metadata: Mapping[str, object] | None = None,
    at: datetime | str | None = None,
    timeout: timedelta | float | str | None = None,
    retry: Retry | int | None = None,
    people: Sequence[Mapping[str, object]] = (),
) -> JobResult:
    """Run *handler* once, as luad would, and return the result.

    The job is validated and stored, fires at *at*, and is retried according to *retry*. Metadata and result
    are converted to JSON and back, and the time limit applies. No message leaves the test.
    """
    definition = fake_user(user) if isinstance(user, str) else user
    users = [*people, definition] if definition is not None else list(people)
    with World(at, people=users) as world:
        words = _words(handler, world.host.clock.now().wall, metadata, timeout, retry)
        user_id = None if definition is None else definition["id"]
        words |= {"user": user_id, "idempotency_key": None, "policies": {}}
        job = run(create_steps(JobCore, **words))
        world.advance(0)
        runs = world.runs(job.name)
        for _ in range(100):
            if not runs or runs[-1]["status"] not in {"queued", "running", "retrying"}:
                break
            world.host.advance(world.host.engine.next_wake_up() or _LONG_MS)
            runs = world.runs(job.name)
        return _result(world, job.name, runs[-1])


def _words(
    handler: str | Callable[..., object],
    now: Instant,
    metadata: Mapping[str, object] | None,
    timeout: timedelta | float | str | None,
    retry: Retry | int | None,
) -> dict[str, object]:
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


def _result(world: World, name: str, ran: JsonObject) -> JobResult:
    full = world.host.ask(Ask("GET", f"/runs/{ran['id']}"))
    names = [each["name"] for each in world.created]
    metadata: JsonObject = {}
    if name in names:
        metadata = dict(run(get_steps(JobCore, name)).metadata)
    lines = world.host.call(world.host.store.read_logs(ran["id"]))
    sent = world.host.messages(run_id=ran["id"])
    return JobResult(
        full["status"],
        full["result"],
        full["error"],
        full["attempt"],
        [part_of(dict(part)) for each in sent for part in each.message.parts],
        metadata,
        full["created_jobs"],
        name not in names,
        [each.line for each in lines],
    )


async def run_job(handler: str | Callable[..., Any], **words: Any) -> JobResult:
    """Return the result of `run_job_sync`, for ``async def`` tests."""
    return await asyncio.to_thread(run_job_sync, handler, **words)
