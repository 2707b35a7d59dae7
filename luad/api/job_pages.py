"""Pages of the list of jobs: what is asked, and which jobs answer it.

Rule: every parameter is checked before any work. The jobs are looked at in portions, between which the loop does
other work; a page in the order of names looks only at its own jobs, unless a condition has no index.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, assert_never

from luad.api.http.paging import make_cursor, read_cursor
from luad.api.http.request_input import unknown_words, wrong_parameter
from luad.api.json.answer_schemas import JOB
from luad.core.cron.zones import END
from luad.core.installed import JobHealth, JobStatus
from luad.core.job_index import key_at, place_of
from luad.live.job_choice import JobChoice

if TYPE_CHECKING:
    from luad.api.http.request_input import Query
    from luad.api.service import Service
    from luad.live.job_state import JobStateView

PORTION: Final = 100
"""Jobs that are looked at before the loop does other work, also for an order that takes a view of each."""

MOST_WITH_RECENT: Final = 100
"""Jobs of a page whose recent runs are read from the store."""

_SOURCES: Final = {"file": False, "api": True}
Order = tuple[Any, ...]


class Sort(StrEnum):
    """The order of a list."""

    NAME = "name"
    NEXT = "next"
    LAST = "last"
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class JobQuestion:
    """The parameters of a list of jobs.

    *after*: the place at which the previous page ended. *limit* 0: no limit. *choice*: the shown jobs;
    *recent*: so many recent runs of each job are read from the store. *hidden*: the jobs that only `include_dynamic` would show; None for none.
    """

    choice: JobChoice | None
    hidden: JobChoice | None
    sort: Sort
    limit: int
    offset: int
    after: Order | None
    has_total: bool
    fields: frozenset[str]
    recent: int | None = None


@dataclass(slots=True)
class JobPage:
    """The places of the jobs of a page. *total* counts the jobs of all pages, if that was asked for."""

    places: list[str]
    cursor: str | None = None
    total: int | None = None
    hidden: int = 0


def read_question(query: Query) -> JobQuestion:
    """Return the checked parameters; raises `ApiError` (validation)."""
    fields, sources = query.words("fields"), query.words("source")
    unknown_words("fields", fields, JOB)
    unknown_words("source", sources, _SOURCES)
    only = _SOURCES[next(iter(sources))] if len(sources) == 1 else None
    choice = JobChoice(
        only,
        query.choices("status", JobStatus),
        query.choices("health", JobHealth),
        query.words("tag"),
        query.words("user"),
        query.text("prefix") or "",
        (query.text("q") or "").lower(),
    )
    is_all = query.flag("include_dynamic")
    sort, cursor = next(iter(query.choices("sort", Sort)), Sort.NAME), query.text("cursor")
    return JobQuestion(
        choice if is_all else None if only is True else replace(choice, is_dynamic=False),
        None if is_all or only is False else replace(choice, is_dynamic=True),
        sort,
        query.number("limit", 0),
        query.offset(),
        None if cursor is None else _place_in(read_cursor(cursor), sort),
        query.flag("count"),
        fields,
        _recent(query),
    )


def _recent(query: Query) -> int | None:
    """Return how many recent runs of each job are read from the store; None for those in memory."""
    if not query.has("recent"):
        return None
    if not 0 < query.number("limit", 0) <= MOST_WITH_RECENT:
        hint = f"add limit={MOST_WITH_RECENT}, or less"
        raise wrong_parameter("recent", "this needs a page of a limited size", hint)
    return query.number("recent", 0)


def _place_in(place: Order, sort: Sort) -> Order:
    """Return the place of a cursor, if it is one of this order."""
    kinds = [str, str] if sort is Sort.NAME else [int, str, str]
    if list(map(type, place)) != kinds:
        raise wrong_parameter(
            "cursor", "this is the cursor of another order", "keep `sort` as it was"
        )
    return place


async def find_page(service: Service, question: JobQuestion) -> JobPage:
    """Return the page that *question* asks for."""
    if question.choice is None:
        page = JobPage([], total=0)
    elif question.sort is Sort.NAME:
        page = await _page_by_name(service, question, question.choice)
    else:
        page = await _sorted_page(service, question, question.choice)
    if question.has_total and page.total is None and question.choice is not None:
        page.total = await _count(service, question.choice)
    if question.hidden is not None:
        page.hidden = await _count(service, question.hidden)
    return page


async def _count(service: Service, choice: JobChoice) -> int:
    count = service.installed.count(choice)
    if count is None:
        count = 0
        async for places in walk(service, choice):
            count += len(places)
    return count


async def walk(service: Service, choice: JobChoice, after: str = "") -> AsyncIterator[list[str]]:
    """Yield the places of the jobs of *choice* behind *after*, a portion at a time."""
    to: str | None = after
    while to is not None:
        places, to = service.installed.search(choice, to, PORTION)
        yield places
        await asyncio.sleep(0)


async def _page_by_name(service: Service, question: JobQuestion, choice: JobChoice) -> JobPage:
    after = "" if question.after is None else _place_of(question.after)
    left_out, limit = question.offset, question.limit
    found: list[str] = []
    async for places in walk(service, choice, after):
        found += places[left_out:]
        left_out = max(0, left_out - len(places))
        if 0 < limit < len(found):
            cursor = make_cursor(_order_of(found[limit - 1]))
            return JobPage(found[:limit], cursor)
    return JobPage(found)


async def _sorted_page(service: Service, question: JobQuestion, choice: JobChoice) -> JobPage:
    """Return a page in another order: all jobs are looked at, and the first ones are kept."""
    need = question.offset + question.limit + 1 if question.limit else 0
    if need and question.sort is Sort.NEXT and not service.installed.is_behind:
        rows = _soonest(service, question, choice, need)
        if len(rows) >= need:
            return _cut(rows, question, None)
    rows = []
    total = 0
    async for places in walk(service, choice):
        total += len(places)
        states = ((place, service.installed.at(place)) for place in places)
        rows += [(_rank(service, question.sort, state), place) for place, state in states if state]
        if question.after is not None:
            rows = [row for row in rows if row[0] > question.after]
        if need and len(rows) > 2 * need:
            rows = heapq.nsmallest(need, rows)
    return _cut(rows, question, total)


def _soonest(
    service: Service, question: JobQuestion, choice: JobChoice, need: int
) -> list[tuple[Order, str]]:
    """Return the rows of the jobs that fire next, if the nearest fire times are enough for a page."""
    after = question.after
    start = 0 if after is None else after[0]
    found = service.installed.first_to_fire(choice, start, need + (after is not None))
    rows = [((at, *_order_of(place)), place) for at, place in found or ()]
    return [row for row in rows if after is None or row[0] > after]


def _cut(rows: list[tuple[Order, str]], question: JobQuestion, total: int | None) -> JobPage:
    rows.sort()
    rows = rows[question.offset :]
    if not 0 < question.limit < len(rows):
        return JobPage([place for _, place in rows], total=total)
    rows = rows[: question.limit]
    return JobPage([place for _, place in rows], make_cursor(rows[-1][0]), total)


def _rank(service: Service, sort: Sort, state: JobStateView) -> Order:
    """Return what *state* is ordered by: names decide between equals."""
    name = (state.job.name, "" if state.holds_name else state.job_id)
    match sort:
        case Sort.NAME:
            return name
        case Sort.NEXT:
            return (state.next_fire_at or END, *name)
        case Sort.LAST:  # the latest first, and at the end those that never ran
            last = service.recent_runs.last(state.job_id)
            return (-(last.started_at or 0) if last else 0, *name)
        case Sort.CREATED:
            return (state.installed_at, *name)
        case _ as unreachable:
            assert_never(unreachable)


def _place_of(order: Order) -> str:
    name, job_id = order
    return place_of(name, job_id, holds_name=not job_id)


def _order_of(place: str) -> Order:
    key = key_at(place)
    return (place, "") if key == place else (place.removesuffix(key)[:-1], key)
