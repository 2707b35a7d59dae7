"""One job: its state in a sentence, its last runs, what comes next, its definition.

Rule: as in `luad.web`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from luad.api.http.api_problems import ApiError
from luad.web.drawing import LOW, usual, usual_text
from luad.web.form_fields import fields_of, rest_of
from luad.web.frame import View
from luad.web.inside import path_of
from luad.web.rows import outcome_counts, pause_words, status_of_job
from luad.web.run_rows import run_row
from luad.web.times import duration, duration_ms
from luad.web.troubles import of_job

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json

CHARTED: Final = 200
LISTED: Final = 12
_IN_CHART: Final = "id,status,started_at,scheduled_for,duration_ms"
TABS: Final = ("definition", "revisions", "metadata", "alerts", "activity")


async def show(request: Request) -> Response:
    """`GET /jobs/{job}`: the page of one job."""
    view = await View.of(request)
    name = request.path_params["job"]
    path = path_of("jobs", name)
    job, runs, latest, upcoming, why, attention = await view.gather(
        (path, {}),
        (f"{path}/runs", {"limit": CHARTED, "fields": _IN_CHART}),
        (f"{path}/runs", {"limit": LISTED}),
        (f"{path}/next", {"n": 10}),
        (f"{path}/why", {}),
        ("/v1/attention", {}),
    )
    tab = view.query.get("tab", "")
    tab = tab if tab in TABS else "definition"
    revisions = await view.get(f"{path}/revisions") if tab == "revisions" else None
    activity = await view.get(f"{path}/activity", limit=30) if tab == "activity" else None
    stats = await view.get(f"{path}/stats", runs=CHARTED)
    listed = runs["runs"]
    good = [each["duration_ms"] for each in listed if each["status"] == "succeeded"]
    band = usual([each for each in good if each is not None])
    status = status_of_job(job, view.times.now)
    mark = "✗ " if status.is_bad else ""
    return await view.answer(
        "job.html",
        "jobs",
        f"{mark}{job['name']}",
        job=job,
        job_status=status,
        own_zone=job["timezone"],
        sentence=_sentence(job, view),
        runs=listed,
        rows=[run_row(each, band) for each in latest["runs"]],
        why=_why(why),
        facts=_facts(job),
        numbers=_numbers(listed, stats),
        upcoming=upcoming["next"],
        tab=tab,
        tabs=TABS,
        troubles=of_job(attention, job["id"], view.times),
        alerts=_alerts(job["definition"].get("alert")),
        revisions=_with_lines(revisions["revisions"]) if revisions else [],
        activity=activity["entries"] if activity else [],
        definition=json.dumps(job["definition"], indent=2, ensure_ascii=False),
        metadata=json.dumps(job["metadata"], indent=2, ensure_ascii=False),
    )


def _with_lines(revisions: list[Json]) -> list[Json]:
    """Return revisions with the lines of what differs from the one in force: a mark, and key and value."""
    return [
        {
            **each,
            "lines": [
                (mark, f"{key}: {json.dumps(value, ensure_ascii=False)}")
                for key, then, now in (
                    (one["key"], one["then"], one["now"]) for one in each["difference"]
                )
                for mark, value in (("-", then), ("+", now))
                if value is not None
            ],
        }
        for each in revisions
    ]


async def show_form(request: Request) -> Response:
    """`GET /jobs/{job}/run`: a form to run it with other metadata, filled from the job or a run."""
    view = await View.of(request)
    path = path_of("jobs", request.path_params["job"])
    job, runs = await view.gather((path, {}), (f"{path}/runs", {"limit": 10}))
    metadata, source = job["metadata"], ""
    wanted = view.query.get("as", "")
    for each in runs["runs"]:
        if wanted and each["id"] == wanted and each["metadata"] is not None:
            metadata, source = each["metadata"], each["id"]
    params, problem = await _params(view, job)
    fields = fields_of(params, metadata)
    rest = rest_of(fields, metadata)
    return await view.answer(
        "job_run.html",
        "jobs",
        f"Run {job['name']}",
        job=job,
        fields=fields,
        problem=problem,
        has_rest=bool(rest) or not fields,
        metadata=json.dumps(rest, indent=2, ensure_ascii=False) if rest or not fields else "",
        source=source,
        earlier=[each for each in runs["runs"] if each["metadata"] is not None],
    )


async def _params(view: View, job: Json) -> tuple[Json, str]:
    """Return the schema of a job's handler, and why there is none although it may have one."""
    try:
        found = await view.get(path_of("handlers", job["handler"]), job=job["id"])
    except ApiError as error:
        return {}, error.detail
    return found["params"] or {}, found["problem"]["message"] if found["problem"] else ""


def _why(why: Json) -> str:
    """Return why the job did not run the last time; empty if it ran."""
    run = why["run"]
    return why["text"] if run is None or run["status"] in LOW else ""


def _sentence(job: Json, view: View) -> str:
    """Return when the job runs, and how it stands, in words."""
    if job["pause"]:  # its status says already that it is paused
        return pause_words(job["pause"], view.times) + "."
    parts = [job["summary"]]
    if job["consecutive_failures"] > 1:
        parts.append(f"It failed {job['consecutive_failures']} times in a row.")
    return " ".join(parts)


def _facts(job: Json) -> list[tuple[str, str]]:
    retry = job["retry"]
    attempts = retry["max_attempts"]
    wait = duration(retry["backoff_seconds"])
    timeout = job["timeout_seconds"]
    return [
        ("Schedule", job["schedule_text"]),
        ("Zone", job["timezone"]),
        ("Handler", job["handler"]),
        ("Time-out", "none" if timeout is None else duration(timeout)),
        ("Retries", f"{attempts} attempts, {wait} apart" if attempts > 1 else "none"),
        ("Overlap", job["overlap"]),
        ("Catch-up", job["catch_up"]),
        ("User", job["user_id"] or "none"),
        ("Tags", ", ".join(job["tags"]) or "none"),
        (
            "Declared",
            f"{job['file']['path']}:{job['file']['line']}" if job["file"] else "at run time",
        ),
        ("Revision", job["revision"]),
    ]


def _alerts(alert: Json) -> list[tuple[str, str]]:
    """Return who is alerted and when, by the job's own definition; empty if it says nothing of it."""
    if alert is None:
        return []
    to, also = alert.get("to") or [], alert.get("also") or []
    in_a_row, in_a_day = alert.get("after_failures", 3), alert.get("or_failures_in_24h", 0)
    conditions = [f"{in_a_row} failed runs in a row"] if in_a_row else []
    conditions += [f"{in_a_day} failed runs within 24 hours"] if in_a_day else []
    return [
        ("To", ", ".join(to) or "no user: alerts are off"),
        ("After", " or ".join(conditions) or "never by failed runs"),
        ("Also", ", ".join(each.replace("_", " ") for each in also) or "nothing else"),
        ("At the end", "a message" if alert.get("recovery", True) else "no message"),
    ]


def _numbers(runs: list[Json], stats: Json) -> str:
    """Return what the last runs were like, in words."""
    counts = outcome_counts(runs)
    ended = counts["ok"] + counts["bad"]
    if not ended:
        return ""
    good = [each["duration_ms"] for each in runs if each["status"] == "succeeded"]
    durations = [each for each in good if each is not None]
    parts = [f"{100 * counts['ok'] / ended:.1f} % succeeded"]
    if band := usual_text(usual(durations)):
        parts.append(f"usually {band}, longest {duration_ms(max(durations))}")
    if stats["mean_start_delay_ms"] is not None:
        parts.append(f"started {duration_ms(stats['mean_start_delay_ms'])} late")
    return "; ".join(parts)
