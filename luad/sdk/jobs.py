"""Making jobs and finding them.

Room rule: as in `luad.sdk.job`: the steps once, and a face that awaits them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from luad.sdk.acting import acting_user
from luad.sdk.ask import Ask
from luad.sdk.checking import header_text, user_id_of
from luad.sdk.create import CURRENT, REQUIRED, create_steps_body, refuse_foreign
from luad.sdk.job import Job, JobCore
from luad.sdk.link import run_async, segment
from luad.sdk.pending import awaited
from luad.sdk.translating import Translating

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import TypeVar, Unpack

    from luad.sdk.ask import Steps
    from luad.sdk.keyword_types import Policies
    from luad.sdk.user_core import UserCore
    from luad.sdk.values import Cron, Every, Once, Retry

    J = TypeVar("J", bound=JobCore)

_PAGE = 200


_FILTERS = ("status", "health", "tag", "user", "source", "q", "sort")


def create_steps(
    face: type[J],
    user: Any,
    idempotency_key: str | None,
    words: Mapping[str, Any],
    policies: Mapping[str, Any],
) -> Steps[J]:
    """Make a job."""
    headers = {}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = f'"{header_text(idempotency_key, "idempotency_key")}"'
    user_id = acting_user() if user is CURRENT else user_id_of(user)
    body = yield from create_steps_body(user_id, words, policies)
    return face.from_view((yield Ask("POST", "/jobs", body, headers=headers)))


def checked_filters(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the filters of `Jobs.get_all`. Raises `WrongCall` for one that it does not have."""
    refuse_foreign("Jobs.get_all", filters, _FILTERS, ("include_dynamic",))
    return {key: getattr(each, "id", each) for key, each in filters.items()}


def get_steps(face: type[J], id_or_name: str) -> Steps[J]:
    """Find a job."""
    query = {"exact": True}  # when `remind-1` has left, `remind-10` is not it
    path = f"/jobs/{segment(id_or_name, 'id_or_name')}"
    return face.from_view((yield Ask("GET", path, query=query)))


def page_steps(
    face: type[J], cursor: str | None, filters: Mapping[str, Any]
) -> Steps[tuple[list[J], str | None]]:
    """Get a page of jobs, and the cursor of the next one."""
    query = {**filters, "limit": _PAGE, "cursor": cursor}
    answer = yield Ask("GET", "/jobs", query=query)
    return [face.from_view(each) for each in answer["jobs"]], answer["next_cursor"]


class Jobs(metaclass=Translating):
    """Jobs that are made at run time, and all others; for ``async def``."""

    @staticmethod
    @awaited("Jobs.create")
    async def create(
        *,
        handler: str | Callable[..., Any] = REQUIRED,
        name: str | None = None,
        at: datetime | str | None = None,
        in_: timedelta | float | str | None = None,
        every: timedelta | float | str | None = None,
        cron: str | None = None,
        schedule: Cron | Every | Once | Mapping[str, Any] | None = None,
        timezone: str | None = None,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        user: str | UserCore | None = CURRENT,
        timeout: timedelta | float | str | None = None,  # noqa: ASYNC109 - the job's, not this call's
        retry: Retry | int | Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        activate: bool = True,
        keep: bool = False,
        if_exists: Literal["error", "keep", "replace"] = "error",
        idempotency_key: str | None = None,
        **policies: Unpack[Policies],
    ) -> Job:
        """Make a job, and return it once it is durable; its `summary` says what will happen.

        *handler* is a function at module level, or ``"module:function"``. Exactly one of *at*, *in_*,
        *every*, *cron* and *schedule* says when. Durations are seconds, ``"10m"`` or timedeltas. *at* and *in_*
        take phrases, too: ``"in 10 minutes"``, ``"tomorrow 09:00"``, ``"fri 17:00"``. Cron lines, phrases and
        instants without an offset are read in *timezone*, else in the zone of the user, and refused without both; a
        datetime without an offset needs one of the first two. *user* is the person it is for: by default that
        of `acting_for`, else of the run that makes it. *retry* is a `Retry` or a number of attempts. With
        *activate* false it waits until a call resumes it. *if_exists* says what to do when there is
        a dynamic job of that *name*. *policies* are the other keys of a job file, as in a file. A job that is due once leaves the list after its success, and gives
        its name to the next job once it is over. With *keep* it stays and holds its name: for "only once
        ever", say *keep* and ``if_exists="keep"``. Requests with the same *idempotency_key* make one job.

        Raises `HandlerNotImportable`, `InvalidSchedule`, `ValidationError`, `NameTaken`,
        `FileOwned`, `Unavailable`.
        """
        words = {
            "handler": handler,
            "name": name,
            "at": at,
            "in_": in_,
            "every": every,
            "cron": cron,
            "schedule": schedule,
            "timezone": timezone,
            "description": description,
            "metadata": metadata,
            "timeout": timeout,
            "retry": retry,
            "tags": tags,
            "activate": activate,
            "keep": keep,
            "if_exists": if_exists,
        }
        return await run_async(create_steps(Job, user, idempotency_key, words, policies))

    @staticmethod
    @awaited("Jobs.get")
    async def get(id_or_name: str) -> Job:
        """Find a job by its id or its name. Raises `NotFound`, `ValidationError`."""
        return await run_async(get_steps(Job, id_or_name))

    @staticmethod
    @awaited("Jobs.get_all")
    async def get_all(*, include_dynamic: bool = False, **filters: Any) -> list[Job]:
        """All jobs that fit: *status*, *health*, *tag*, *user*, *source*, *q*; by name."""
        return [job async for job in Jobs.iter(include_dynamic=include_dynamic, **filters)]

    @staticmethod
    async def iter(*, include_dynamic: bool = False, **filters: Any) -> AsyncIterator[Job]:
        """As `get_all`, page by page."""
        cursor: str | None = None
        wanted = {**checked_filters(filters), "include_dynamic": include_dynamic}
        while True:
            jobs, cursor = await run_async(page_steps(Job, cursor, wanted))
            for job in jobs:
                yield job
            if cursor is None:
                return
