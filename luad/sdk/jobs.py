"""Creating and finding jobs.

Rule: as in `luad.sdk.job`: the steps once, and a face that awaits them.
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


def create_steps(face: type[J], **words: Any) -> Steps[J]:
    """Create a job; *words* are the arguments of `Jobs.create`."""
    headers = {}
    if (key := words["idempotency_key"]) is not None:
        headers["Idempotency-Key"] = f'"{header_text(key, "idempotency_key")}"'
    user_id = acting_user() if words["user"] is CURRENT else user_id_of(words["user"])
    body = yield from create_steps_body(user_id, words, words["policies"])
    return face.from_view((yield Ask("POST", "/jobs", body, headers=headers)))


def checked_filters(filters: Mapping[str, object]) -> dict[str, object]:
    """Return the filters of `Jobs.get_all`. Raises `WrongCall` for one that it does not have."""
    refuse_foreign("Jobs.get_all", filters, _FILTERS, ("include_dynamic",))
    return {key: getattr(each, "id", each) for key, each in filters.items()}


def get_steps(face: type[J], id_or_name: str) -> Steps[J]:
    """Fetch a job."""
    query = {"exact": True}  # `remind-1`, once deleted, must not match `remind-10`
    path = f"/jobs/{segment(id_or_name, 'id_or_name')}"
    return face.from_view((yield Ask("GET", path, query=query)))


def page_steps(
    face: type[J], cursor: str | None, filters: Mapping[str, object]
) -> Steps[tuple[list[J], str | None]]:
    """Fetch a page of jobs, and the cursor of the next page."""
    query = {**filters, "limit": _PAGE, "cursor": cursor}
    answer = yield Ask("GET", "/jobs", query=query)
    return [face.from_view(each) for each in answer["jobs"]], answer["next_cursor"]


class Jobs(metaclass=Translating):
    """Creates and finds jobs; for ``async def``."""

    @staticmethod
    @awaited("Jobs.create")
    async def create(
        *,
        handler: str | Callable[..., object] = REQUIRED,
        name: str | None = None,
        at: datetime | str | None = None,
        in_: timedelta | float | str | None = None,
        every: timedelta | float | str | None = None,
        cron: str | None = None,
        schedule: Cron | Every | Once | Mapping[str, object] | None = None,
        timezone: str | None = None,
        description: str = "",
        metadata: Mapping[str, object] | None = None,
        user: str | UserCore | None = CURRENT,
        timeout: timedelta | float | str | None = None,  # noqa: ASYNC109 - the job's, not this call's
        retry: Retry | int | Mapping[str, object] | None = None,
        tags: Sequence[str] = (),
        activate: bool = True,
        keep: bool = False,
        if_exists: Literal["error", "keep", "replace"] = "error",
        idempotency_key: str | None = None,
        **policies: Unpack[Policies],
    ) -> Job:
        """Create a job, and return it once it is durable.

        *handler* is a function at module level, or ``"module:function"``. Exactly one of *at*,
        *in_*, *every*, *cron* and *schedule* says when the job is due. Durations are seconds,
        ``"10m"`` or timedeltas. *at* and *in_* accept phrases as well: ``"in 10 minutes"``,
        ``"tomorrow 09:00"``, ``"fri 17:00"``.

        Cron expressions, phrases and instants without an offset are read in *timezone*, else in
        the zone of the user; without both they are refused. A datetime without an offset needs one
        of the two.

        *user* is the user of the job, by default that of `acting_for`, else of the run that
        creates it. *retry* is a `Retry` or a number of attempts. With *activate* false the job is
        paused until a call resumes it. *if_exists* decides what happens if a dynamic job of that
        *name* exists. *policies* are the other keys of a job file.

        A `once` job is removed after its success, and its name is free once it is over. With
        *keep* the job stays and holds its name: for "only once ever", pass *keep* and
        ``if_exists="keep"``. Requests with the same *idempotency_key* create one job.

        The `summary` of the job says when it runs. Raises `HandlerNotImportable`,
        `InvalidSchedule`, `ValidationError`, `NameTaken`, `FileOwned`, `Unavailable`.
        """
        return await run_async(create_steps(Job, handler=handler, name=name, at=at, in_=in_, every=every,
            cron=cron, schedule=schedule, timezone=timezone, description=description, metadata=metadata,
            user=user, timeout=timeout, retry=retry, tags=tags, activate=activate, keep=keep,
            if_exists=if_exists, idempotency_key=idempotency_key, policies=policies,
        ))  # fmt: skip

    @staticmethod
    @awaited("Jobs.get")
    async def get(id_or_name: str) -> Job:
        """Return the job with an id or a name. Raises `NotFound`, `ValidationError`."""
        return await run_async(get_steps(Job, id_or_name))

    @staticmethod
    @awaited("Jobs.get_all")
    async def get_all(*, include_dynamic: bool = False, **filters: object) -> list[Job]:
        """Return the jobs that match *status*, *health*, *tag*, *user*, *source* and *q*, by name."""
        return [job async for job in Jobs.iter(include_dynamic=include_dynamic, **filters)]

    @staticmethod
    async def iter(*, include_dynamic: bool = False, **filters: object) -> AsyncIterator[Job]:
        """Yield the jobs of `get_all`, page by page."""
        cursor: str | None = None
        wanted = {**checked_filters(filters), "include_dynamic": include_dynamic}
        while True:
            jobs, cursor = await run_async(page_steps(Job, cursor, wanted))
            for job in jobs:
                yield job
            if cursor is None:
                return
