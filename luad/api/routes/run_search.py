"""The filter for runs that a request describes, in its query or in its body.

Rule: reads words and checks them; asks the store for nothing but the job that a word names.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from luad.core.model import Reason, RunState, Trigger
from luad.store.query_types import RunFilter

if TYPE_CHECKING:
    from luad.api.context import Context
    from luad.api.http.request_input import Query

_TAG: Final = "tag:"
"""Before a word of `not` that is a tag."""


class Arrival(StrEnum):
    """The outcome of the messages of a run."""

    OK = "ok"
    FAILED = "failed"


async def filter_of(context: Context, query: Query, job: str | None, *, is_one: bool) -> RunFilter:
    """Return the filter that *query* describes, for the runs of *job*, a name or an id.

    *is_one*: of one job in any case. Raises `ApiError`.
    """
    whose = RunFilter() if job is None else await context.history_of(job, is_one=is_one)
    excluded = query.words("not")
    now = context.service.clock.now().wall
    return replace(
        whose,
        statuses=query.choices("status", RunState),
        reasons=query.choices("reason", Reason),
        triggers=query.choices("trigger", Trigger),
        since=query.since("since", now),
        until=query.instant("until"),
        user=query.text("user"),
        q=query.text("q"),
        has_arrived=_has_arrived(query),
        tags=query.words("tag"),
        not_jobs=frozenset(each for each in excluded if not each.startswith(_TAG)),
        not_tags=frozenset(each[len(_TAG) :] for each in excluded if each.startswith(_TAG)),
        min_duration_ms=query.duration_ms("min_duration"),
        now=now,
    )


def _has_arrived(query: Query) -> bool | None:
    wanted = query.choices("delivery", Arrival)
    return Arrival.OK in wanted if len(wanted) == 1 else None
