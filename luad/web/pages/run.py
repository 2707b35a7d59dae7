"""One run: its outcome, its attempts on a line of time, its error, deliveries, result and log.

Rule: as in `luad.web`; what a handler wrote is shown as text, never as markup.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from luad.web import drawing
from luad.web.frame import View
from luad.web.inside import path_of
from luad.web.rows import status_of_run, trigger_words, what_happened
from luad.web.times import duration, duration_ms, parse
from luad.web.traceback import parts_of

if TYPE_CHECKING:
    from markupsafe import Markup
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json
    from luad.web.times import Times

LINES: Final = 500
SHORT: Final = 80
LEVELS: Final = ("debug", "info", "warning", "error")


async def show(request: Request) -> Response:
    """`GET /runs/{run}`: the page of one run."""
    view = await View.of(request)
    path = path_of("runs", request.path_params["run"])
    level = view.query.get("level", "")
    level = level if level in LEVELS else ""
    run = await view.get(path)
    job_path = path_of("jobs", run["job_id"])
    lines = await _lines(view, path, level)
    around = await view.get(f"{job_path}/runs", limit=200)
    is_bad = run["status"] in drawing.BAD
    changes = await view.get(f"{path}/changes") if is_bad else None
    older, newer = _neighbours(run["id"], around["runs"])
    status = status_of_run(run["status"])
    times = view.times
    error = run["error"]
    return await view.answer(
        "run.html",
        "runs",
        f"{'✗ ' if status.is_bad else ''}{run['job']} {times.short(run['scheduled_for'])}",
        run=run,
        run_status=status,
        facts=_facts(run, around["runs"]),
        line=_line(run, times),
        said=what_happened(run),
        changes=changes,
        changed=_changed(changes, times) if changes else [],
        frames=parts_of(error["traceback"]) if error and error["traceback"] else None,
        lines=[_line_view(each, times) for each in lines],
        first_error=next(
            (n for n, each in enumerate(lines, 1) if each.get("level") == "error"), None
        ),
        level=level,
        levels=LEVELS,
        older=older,
        newer=newer,
        result=_shown_result(run["result"]),
        metadata=json.dumps(run["metadata"], indent=2, ensure_ascii=False)
        if run["metadata"]
        else "",
        is_open=run["status"] in ("queued", "running", "retrying"),
    )


async def _lines(view: View, path: str, level: str) -> list[Json]:
    text = await view.get_text(f"{path}/log", tail=LINES, level=level, format="ndjson")
    return [json.loads(line) for line in text.splitlines() if line]


def _changed(changes: Json, times: Times) -> list[tuple[str, str]]:
    """Return what has changed since the last good run: where, and what."""
    found = [
        (kind, f"{each['key']}: {_short(each['then'])} → {_short(each['now'])}")
        for kind in ("definition", "metadata")
        for each in changes[kind]
    ]
    software = changes["software"]
    found += [("software", f"{each['name']}: {each['then']} → {each['now']}") for each in software]
    file = changes["handler_file"]
    if file and file["has_changed"]:
        found.append(("handler", f"{file['path']} saved at {times.short(file['modified_at'])}"))
    return found


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHORT else text[:SHORT] + "…"


def _neighbours(run_id: str, runs: list[Json]) -> tuple[str | None, str | None]:
    """Return the runs of the same job before and after one."""
    ids = [each["id"] for each in runs]
    if run_id not in ids:
        return None, None
    place = ids.index(run_id)
    older = ids[place + 1] if place + 1 < len(ids) else None
    return older, ids[place - 1] if place else None


def _facts(run: Json, runs: list[Json]) -> str:
    """Return attempt, duration, trigger and revision, in one line."""
    parts = []
    if run["attempt"]:
        most = run["max_attempts"]
        parts.append(f"attempt {run['attempt']}" + (f" of {most}" if most else ""))
    if run["duration_ms"] is not None:
        took = f"took {duration_ms(run['duration_ms'])}"
        good = [each["duration_ms"] for each in runs if each["status"] == "succeeded"]
        band = drawing.usual_text(drawing.usual([each for each in good if each is not None]))
        parts.append(f"{took} (usually {band})" if band else took)
    parts.append(trigger_words(run["trigger"]))
    if run["reason"]:
        parts.append(run["reason"])
    return ", ".join(parts)


def _line(run: Json, times: Times) -> Markup | None:
    """Return the picture of the attempts; None before the first one."""
    parts: list[Json] = []
    before = None
    for each in run["attempts"]:
        if each["started_at"] is None:
            continue
        ended = each["completed_at"]
        kind = "run" if ended is None else "ok" if each["ended"] == "returned" else "bad"
        took = "running" if ended is None else duration(_between(each["started_at"], ended))
        gap = f"{duration(_between(before, each['started_at']))} later, " if before else ""
        text = f"{times.short(each['started_at'])} {gap}{'failed after ' if kind == 'bad' else ''}{took}"
        parts.append({"started_at": each["started_at"], "shape": kind, "text": text})
        before = ended or each["started_at"]
    return drawing.attempts(parts) if parts else None


def _between(first: str, last: str) -> float:
    return (parse(last) - parse(first)).total_seconds()


def _line_view(line: Json, times: Times) -> Json:
    level = line.get("level") or ""
    return {
        "at": times.clock(line["ts"]) if line.get("ts") else "",
        "level": level if level in LEVELS else "",
        "text": line.get("message", ""),
        "more": line.get("exception") or "",
    }


def _shown_result(result: Json) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)
