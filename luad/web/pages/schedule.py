"""The schedule: the runs and the occurrences of a day or a week.

Rule: as in `luad.web`. Lists of the API are read page by page, within a limit; then the page says that more is left.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from luad.api.http.api_problems import ApiError
from luad.clock import elapsed_ms
from luad.web.frame import View
from luad.web.lane_load import Load, draw_load, load_of, shade
from luad.web.lanes import MOST_LANES, Span, draw, lanes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json

LIMIT: Final = 500
"""The rows of one question."""
PAGES: Final = 16
BUDGET_MS: Final = 600
"""How long the questions about runs may take, and those about what is due."""
LISTED: Final = 300
"""The occurrences in the agenda."""
NAMED: Final = 100
"""The most jobs that one question may name."""
WEEK: Final = 7


@dataclass(slots=True)
class Found:
    """The past and coming runs between two instants, and what is left out, in words.

    *is_known*: the job of the filter exists.
    """

    runs: list[Json]
    fires: list[Json]
    is_complete: bool
    is_known: bool = True
    left_out: list[str] = field(default_factory=list)


async def show(request: Request) -> Response:
    """`GET /schedule`: a day or a week."""
    view = await View.of(request)
    times = view.times
    today = times.now.astimezone(times.tz).date()
    day = _day(view.query.get("day", ""), today)
    is_week = view.query.get("view", "") == "week"
    first = day - timedelta(days=day.weekday()) if is_week else day
    step = WEEK if is_week else 1
    start = datetime.combine(first, datetime.min.time(), times.tz)
    end = datetime.combine(first + timedelta(days=step), datetime.min.time(), times.tz)
    span = Span(start, end, times.now)
    job, tag = view.query.get("job", ""), view.query.get("tag", "")
    found = await _find(view, span, job, tag)
    lanes, count, load = await asyncio.to_thread(_lanes, found, span)
    listed = found.fires[:LISTED]
    return await view.answer(
        "schedule.html",
        "schedule",
        f"Schedule, {first:%a} {first.day} {first:%b}",
        day=first,
        last=first + timedelta(days=step - 1),
        before=first - timedelta(days=step),
        after=first + timedelta(days=step),
        is_today=first <= today < first + timedelta(days=step),
        is_week=is_week,
        hours=_hours(listed, view, is_week=is_week),
        marks=span.marks(),
        lanes=lanes,
        lane_count=count,
        load=draw_load(load, span) if load.most > 1 else "",
        most=load.most,
        peak=times.short((start + load.peak * (end - start)).isoformat()),
        has_overlaps=bool(load.overlaps),
        done=len(found.runs),
        total=len(found.fires),
        is_complete=found.is_complete,
        left_out=found.left_out,
        is_listed=len(found.fires) == len(listed),
        is_known=found.is_known,
        job=job,
        tag=tag,
        ics="/v1/schedule?" + urlencode({"format": "ics", **({"job": job} if job else {})}),
    )


def _lanes(found: Found, span: Span) -> tuple[list[Json], int, Load]:
    lanes = lanes_of(found.runs, found.fires, span)
    load = load_of(lanes, span)
    below = shade(load, 28)
    return [(each, draw(each, span, below)) for each in lanes[:MOST_LANES]], len(lanes), load


def _hours(fires: list[Json], view: View, *, is_week: bool) -> list[tuple[str, list[Json]]]:
    """Return the occurrences by hour of a day, or by day of a week."""

    def name(each: Json) -> str:
        local = view.times.local(each["at"])
        if is_week:
            return f"{local:%A}, {local.day} {local:%B}"
        return f"{local.hour:02}:00 to {local.hour + 1:02}:00"

    return [(each, list(rows)) for each, rows in groupby(fires, name)]


async def _find(view: View, span: Span, job: str, tag: str) -> Found:
    """Return the runs of a span of time, and what is due until its end; nothing for an unknown job."""
    try:
        return await _search(view, span, job, tag)
    except ApiError as error:
        if error.code != "not_found":
            raise
        return Found([], [], is_complete=True, is_known=False)


async def _search(view: View, span: Span, job: str, tag: str) -> Found:
    runs, has_all_runs = await _runs(view, span, job, tag)
    names = [job] if job else []
    if tag and not job:
        jobs = await view.get("/v1/jobs", tag=tag, limit=NAMED, fields="name", include_dynamic=1)
        names = [each["name"] for each in jobs["jobs"]]
    fires: list[Json] = []
    has_all = True
    if span.end > span.now and (names or not tag):
        seen = [each["job"] for each in runs]
        fires, has_all = await _fires(view, span, names, seen)
    left_out = []
    if runs and not has_all_runs:
        left_out.append(f"runs before {view.times.short(runs[-1]['scheduled_for'])}")
    if fires and not has_all:
        left_out.append(f"what is due after {view.times.short(fires[-1]['at'])}")
    return Found(runs, fires, has_all_runs and has_all, left_out=left_out)


async def _runs(view: View, span: Span, job: str, tag: str) -> tuple[list[Json], bool]:
    until = elapsed_ms() + BUDGET_MS
    fields = "job,status,started_at,scheduled_for,duration_ms"
    query = {"since": span.start.isoformat(), "until": min(span.end, span.now).isoformat()}
    if span.start >= span.now:
        return [], True
    found: list[Json] = []
    cursor = None
    for _ in range(PAGES):
        page = await view.get(
            "/v1/runs", **query, limit=LIMIT, job=job, tag=tag, fields=fields, cursor=cursor
        )
        found += page["runs"]
        cursor = page["next_cursor"]
        if cursor is None or elapsed_ms() > until:
            break
    return found, cursor is None


async def _fires(
    view: View, span: Span, names: list[str], seen: list[str]
) -> tuple[list[Json], bool]:
    """Return what is due of *names*, else of all jobs.

    After a first full page, only jobs that are *seen* or on that page are asked for, so that a question
    does not look at all jobs again.
    """
    until = elapsed_ms() + BUDGET_MS
    start = max(span.start, span.now).isoformat()
    found: dict[tuple[str, str], Json] = {}
    is_all = True
    for _ in range(PAGES):
        words = {"from": start, "until": span.end.isoformat(), "job": ",".join(names)}
        page = await view.get("/v1/schedule", **words, limit=LIMIT)
        before = len(found)
        found |= {(each["job"], each["scheduled_for"]): each for each in page["next"]}
        if len(page["next"]) < LIMIT or len(found) == before:
            return list(found.values()), is_all and bool(page["is_complete"])
        if elapsed_ms() > until:
            break
        start = page["next"][-1]["at"]
        if not names:
            every = dict.fromkeys([*(each["job"] for each in page["next"]), *seen])
            names = list(every)[:NAMED]
            is_all = len(every) <= NAMED
    return list(found.values()), False


def _day(text: str, today: date) -> date:
    try:
        return date.fromisoformat(text) if text else today
    except ValueError:
        return today
