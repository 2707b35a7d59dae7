"""Making jobs and finding them.

Room rule: as in `luad.sdk.job`: the steps once, and a face that awaits them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from luad.sdk.create import CURRENT, REQUIRED, create_body, refuse_foreign
from luad.sdk.job import Job, JobCore, running_job
from luad.sdk.link import Ask, run_async, segment
from luad.sdk.pending import awaited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import TypeVar

    from luad.sdk.link import Steps
    from luad.sdk.people import UserCore
    from luad.sdk.values import Cron, Every, Once, Retry

    J = TypeVar("J", bound=JobCore)

_PAGE = 200


def create_steps(
    face: type[J], user: Any, idempotency_key: str | None, words: Mapping[str, Any]
) -> Steps[J]:
    """Make a job."""
    if user is CURRENT:
        job = running_job()
        user = None if job is None else job.user_id
    user_id = getattr(user, "id", user)
    body = create_body(user=user_id, **words)
    headers = {} if idempotency_key is None else {"Idempotency-Key": f'"{idempotency_key}"'}
    return face.from_view((yield Ask("POST", "/jobs", body, headers=headers)))


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


class Jobs:
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
        **foreign: Any,
    ) -> Job:
        """Make a job, and return it once it is durable; its `summary` says what will happen.

        *handler* is a function at module level, or ``"module:function"``. Exactly one of *at*, *in_*,
        *every*, *cron* and *schedule* says when; durations are seconds, ``"10m"`` or timedeltas, an
        instant without an offset needs *timezone*. *user* is whom it is for: by default the person
        of the run that makes it. *retry* is a `Retry` or a number of attempts. With
        *activate* false it waits until somebody resumes it. *if_exists* says what to do when there is
        a dynamic job of that *name*. A job that is due once leaves the list after its success, and gives
        its name to the next job once it is over. With *keep* it stays and holds its name: for "only once
        ever", say *keep* and ``if_exists="keep"``. Requests with the same *idempotency_key* make one job.

        Raises `HandlerNotImportable`, `InvalidSchedule`, `ValidationError`, `NameTaken`,
        `FileOwned`, `Unavailable`.
        """
        refuse_foreign(foreign, handler)
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
        return await run_async(create_steps(Job, user, idempotency_key, words))

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
        while True:
            wanted = {**filters, "include_dynamic": include_dynamic}
            jobs, cursor = await run_async(page_steps(Job, cursor, wanted))
            for job in jobs:
                yield job
            if cursor is None:
                return
