"""One run: its outcome, its attempts on a line of time, its error, deliveries, result and log.

Rule: as in `luad.web`; what a handler wrote is shown as text, never as markup.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from luad.web import drawing
from luad.web.frame import View
from luad.web.inside import path_of
from luad.web.log_lines import LEVELS, LINES, Shown, is_pattern, lines_of
from luad.web.rows import status_of_run, trigger_words, what_happened
from luad.web.times import duration, duration_ms, parse
from luad.web.traceback import parts_of
from luad.web.troubles import of_run

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json
    from luad.web.times import Times

SHORT: Final = 80


async def show(request: Request) -> Response:
    """`GET /runs/{run}`: the page of one run."""
    view = await View.of(request)
    path = path_of("runs", request.path_params["run"])
    run = await view.get(path)
    job_path = path_of("jobs", run["job_id"])
    log = await _log(view, path)
    around = await view.get(f"{job_path}/runs", limit=200, fields="id,status,duration_ms")
    is_bad = run["status"] in drawing.BAD
    changes = await view.get(f"{path}/changes") if is_bad else None
    attention = await view.get("/v1/attention")
    older, newer = _neighbours(run["id"], around["runs"])
    status = status_of_run(run["status"])
    times = view.times
    error = run["error"]
    return await view.answer(
        "run.html",
        "runs",
        f"{'✗ ' if status.is_bad else ''}{run['job']} {times.short(run['scheduled_for'])}",
        run=run,
        troubles=of_run(attention, run, view.times),
        run_status=status,
        facts=_facts(run, around["runs"]),
        line=_line(run, times),
        said=what_happened(run),
        changes=changes,
        changed=_changed(changes, times) if changes else [],
        frames=parts_of(error["traceback"]) if error and error["traceback"] else None,
        log=log,
        level=view.query.get("level", ""),
        levels=LEVELS,
        search=view.query.get("q", ""),
        is_pattern=is_pattern(view.query.get("q", "")),
        older=older,
        newer=newer,
        result=_shown_result(run["result"]),
        metadata=json.dumps(run["metadata"], indent=2, ensure_ascii=False)
        if run["metadata"]
        else "",
        is_open=run["status"] in ("queued", "running", "retrying"),
    )


async def _log(view: View, path: str) -> Shown:
    """Return the last lines of the log, or those before a line; as the address asks."""
    level, search = view.query.get("level", ""), view.query.get("q", "")
    before = view.query.get("before", "")
    text = await view.get_text(
        f"{path}/log",
        limit=LINES,
        before=before if before.isdecimal() and int(before[:10]) > 0 else "",
        level=level if level in LEVELS else "",
        q="" if is_pattern(search) else search,
        format="ndjson",
    )
    return await asyncio.to_thread(lines_of, text, view.times)


def _changed(changes: Json, times: Times) -> list[tuple[str, str]]:
    """Return what has changed since the last good run: where, and what."""
    found = [
        (kind, f"{each['key']}: {_short(each['then'])} → {_short(each['now'])}")
        for kind in ("definition", "metadata")
        for each in changes[kind]
        if (kind, each["key"]) != ("definition", "metadata") or not changes["metadata"]
    ]
    software = [
        each
        for each in changes["software"]
        if each["then"] and each["now"] not in (None, each["then"])
    ]
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


def _line(run: Json, times: Times) -> list[Json]:
    """Return the attempts with their instants, outcomes and words."""
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
    return parts


def _between(first: str, last: str) -> float:
    return (parse(last) - parse(first)).total_seconds()


def _shown_result(result: Json) -> str:
    if result is None:
        return ""
    return result if isinstance(result, str) else json.dumps(result, indent=2, ensure_ascii=False)
