"""The overview: what is wrong, what runs now, what comes next, and the jobs.

Rule: as in `luad.web`; each number links to the list behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.web.frame import View
from luad.web.rows import job_row
from luad.web.times import count, parse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json

JOBS: Final = 50
NEXT: Final = 9


async def show(request: Request) -> Response:
    """`GET /`: the overview."""
    view = await View.of(request)
    shown = {"limit": JOBS}
    failing, jobs, running, schedule, config = await view.gather(
        ("/v1/jobs", {**shown, "health": "failing", "include_dynamic": True}),
        ("/v1/jobs", {**shown, "sort": "next"}),
        ("/v1/runs", {"status": "running", "limit": 20, "fields": "id,job,started_at,status"}),
        ("/v1/schedule", {"limit": NEXT}),
        ("/v1/config", {}),
    )
    bad = failing["jobs"]
    names = {each["name"] for each in bad}
    rest = [each for each in jobs["jobs"] if each["name"] not in names]
    items = [*map(_failing, bad), *_broken(config)]
    rows = [job_row(each, view.times) for each in (*bad, *rest)[:JOBS]]
    counts = view.status["jobs"]
    return await view.answer(
        "overview.html",
        "overview",
        _title(counts["failing"], len(items)),
        heading=_heading(counts, len(items)),
        counts=counts,
        items=items,
        running=[_running(each, view) for each in running["runs"]],
        upcoming=schedule["next"],
        rows=rows,
        hidden=jobs["hidden_dynamic"],
        has_jobs=bool(rows) or counts["total"] > 0,
    )


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


def _running(run: Json, view: View) -> Json:
    started = run["started_at"]
    since = (view.times.now - parse(started)).total_seconds() if started else 0
    return {**run, "running_ms": int(since * 1000)}


def _failing(job: Json) -> Json:
    times = job["consecutive_failures"]
    said = f"failed {times} times in a row" if times > 1 else "failed at its last run"
    run = job["last_run"]
    return {"kind": "failing", "subject": job["name"], "text": said, "run": run and run["id"]}


def _broken(config: Json) -> list[Json]:
    found: dict[str, Json] = {}
    for problem in config["problems"]:
        if problem["severity"] == "error":
            path, row = problem["filename"], problem["location"]["row"]
            text = f"line {row}: {problem['message']}"
            found.setdefault(path, {"kind": "file", "subject": path, "text": text, "run": None})
    return list(found.values())
