"""The schedule: what is due on a day, hour by hour.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Final

from luad.web.frame import View
from luad.web.lanes import MOST_LANES, draw, lanes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json

LIMIT: Final = 500


async def show(request: Request) -> Response:
    """`GET /schedule`: the occurrences of a day that are still to come."""
    view = await View.of(request)
    times = view.times
    today = times.now.astimezone(times.tz).date()
    day = _day(view.query.get("day", ""), today)
    start = datetime.combine(day, datetime.min.time(), times.tz)
    end = datetime.combine(day + timedelta(days=1), datetime.min.time(), times.tz)
    job = view.query.get("job", "")
    found, past = await _both(view, start, end, job)
    fires = found["next"]
    hours = [
        (f"{hour:02}:00 to {hour + 1:02}:00", list(rows))
        for hour, rows in groupby(fires, lambda each: times.local(each["at"]).hour)
    ]
    lanes = lanes_of(past["runs"], fires, start)
    return await view.answer(
        "schedule.html",
        "schedule",
        f"Schedule, {day:%a} {day.day} {day:%b}",
        day=day,
        before=day - timedelta(days=1),
        after=day + timedelta(days=1),
        is_today=day == today,
        hours=hours,
        lanes=[(each, draw(each, start, times.now)) for each in lanes[:MOST_LANES]],
        lane_count=len(lanes),
        done=len(past["runs"]),
        total=len(fires),
        is_complete=found["is_complete"] and max(len(fires), len(past["runs"])) < LIMIT,
        job=job,
    )


async def _both(view: View, start: datetime, end: datetime, job: str) -> list[Json]:
    """Return what is due between two instants from now on, and the runs there were."""
    now = view.times.now
    ahead = {"from": max(start, now).isoformat(), "until": max(end, now).isoformat()}
    behind = {"since": start.isoformat(), "until": end.isoformat()}
    fields = "job,status,started_at,scheduled_for,duration_ms"
    return await view.gather(
        ("/v1/schedule", {**ahead, "limit": LIMIT, "job": job}),
        ("/v1/runs", {**behind, "limit": LIMIT, "job": job, "fields": fields}),
    )


def _day(text: str, today: date) -> date:
    try:
        return date.fromisoformat(text) if text else today
    except ValueError:
        return today
