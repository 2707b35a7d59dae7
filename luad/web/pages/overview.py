"""The overview: what is wrong, what runs now, what comes next, and the jobs.

Rule: as in `luad.web`; each number links to the list behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.web.drawing import usual_text
from luad.web.frame import View
from luad.web.inside import path_of
from luad.web.rows import job_row
from luad.web.times import count, parse
from luad.web.troubles import item_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json

JOBS: Final = 50
NEXT: Final = 9
SHOWN: Final = 20
OPEN: Final = 8
STRIP: Final = 40
_BAD: Final = ("failed", "timed_out", "lost")


async def show(request: Request) -> Response:
    """`GET /`: the overview."""
    view = await View.of(request)
    bad = await _failing(view)
    others = max(JOBS - len(bad), 1)  # a strip costs forty rows of the database
    jobs, running, schedule, attention, stats = await view.gather(
        ("/v1/jobs", {"limit": others, "recent": STRIP, "sort": "next"}),
        ("/v1/runs", {"status": "running", "limit": OPEN, "fields": "id,job,started_at,status"}),
        ("/v1/schedule", {"limit": NEXT}),
        ("/v1/attention", {}),
        ("/v1/stats", {"since": "24h", "by": "hour"}),
    )
    names = {each["name"] for each in bad}
    rest = [each for each in jobs["jobs"] if each["name"] not in names]
    items = [each for each in attention["attention"] if not each["acknowledged"]]
    rows = [job_row(each, view.times) for each in (*bad, *rest)[:JOBS]]
    counts = view.status["jobs"]
    return await view.answer(
        "overview.html",
        "overview",
        _title(counts["failing"], len(items)),
        heading=_heading(counts, len(items)),
        counts=counts,
        items=[item_of(each, view.times) for each in items[:SHOWN]],
        item_count=len(items),
        has_more_items=not attention["is_complete"],
        known=len(attention["attention"]) - len(items),
        rate=_rate(stats),
        hours=_hours(stats),
        running=await _running(running["runs"], view),
        upcoming=schedule["next"],
        rows=rows,
        hidden=jobs["hidden_dynamic"],
        has_jobs=bool(rows) or counts["total"] > 0,
    )


async def _failing(view: View) -> list[Json]:
    """Return the jobs that fail, at most as many as the page has rows."""
    if not view.status["jobs"]["failing"]:
        return []
    query = {"limit": JOBS, "recent": STRIP, "health": "failing", "include_dynamic": True}
    found: list[Json] = (await view.get("/v1/jobs", **query))["jobs"]
    return found


def _title(failing: int, items: int) -> str:
    if failing:
        return f"✗ {failing} failing"
    return f"! {items} to look at" if items else "✓ all well"


def _heading(counts: Json, items: int) -> str:
    failing = counts["failing"]
    if not counts["total"]:
        return "No jobs yet"
    if failing:
        first = f"{count(failing, 'job is', 'jobs are')} failing"
        more = items - failing
        return (
            f"{first}, {count(more, 'more thing needs', 'more things need')} a look"
            if more > 0
            else first
        )
    return f"{count(items, 'thing needs', 'things need')} a look" if items else "All is well"


async def _running(runs: list[Json], view: View) -> list[Json]:
    """Return the open runs, with how long each has run and how long runs of its job usually do."""
    names = list(dict.fromkeys(run["job"] for run in runs))
    asked = [(path_of("jobs", name, "stats"), {"runs": STRIP}) for name in names]
    stats = dict(zip(names, await view.gather(*asked), strict=True))
    found = []
    for run in runs:
        started, its = run["started_at"], stats[run["job"]]
        since = (view.times.now - parse(started)).total_seconds() if started else 0
        known = its["p50_ms"] is not None and its["p95_ms"] is not None
        band = (its["p50_ms"], its["p95_ms"]) if known else None
        said = f"usually {usual_text(band)}" if band else ""
        took = int(since * 1000)
        is_slow = band is not None and took > band[1]
        found.append({**run, "running_ms": took, "band": band, "said": said, "is_slow": is_slow})
    return found


def _rate(stats: Json) -> Json:
    """Return the share of the runs of 24 hours that succeeded; None without a run that ended."""
    total = stats["total"]["status"]
    bad = sum(total[name] for name in _BAD)
    ended = total["succeeded"] + bad
    if not ended:
        return None
    share = f"{100 * total['succeeded'] / ended:.1f} %"
    return {"share": share, "ended": ended, "counted_since": _counted_since(stats)}


def _counted_since(stats: Json) -> str | None:
    """Return since when the runs were counted, if luad had no time for all of them."""
    return None if stats["is_complete"] else str(stats["covered_since"])


def _hours(stats: Json) -> list[Json]:
    found = []
    for each in stats["rows"]:
        failed = sum(each["status"][name] for name in _BAD)
        found.append({"total": each["status"]["succeeded"] + failed, "failed": failed})
    return found
