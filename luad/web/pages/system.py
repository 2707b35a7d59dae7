"""The system: the files with their problems, the daemon, the store, the tokens, the sessions.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from luad.api.config_files import id_of
from luad.api.http.api_problems import ApiError
from luad.web.frame import View
from luad.web.inside import path_of
from luad.web.rows import Status
from luad.web.times import count, duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json


LISTED: Final = 50
"""The files of the table."""

FILES: Final = 5
"""The files whose problems have an excerpt."""


async def show(request: Request) -> Response:
    """`GET /system`: files, daemon and store."""
    view = await View.of(request)
    config = await view.get("/v1/config")
    tokens = await view.get("/v1/tokens") if view.is_admin else None
    sessions = await view.get("/v1/sessions") if view.is_admin else None
    problems = sorted(
        config["problems"], key=lambda each: (each["filename"], each["location"]["row"])
    )
    excerpts = await _excerpts(view, problems)
    by_file = [
        (path, list(found)) for path, found in groupby(problems, lambda each: each["filename"])
    ]
    broken = [path for path, found in by_file if any(each["severity"] == "error" for each in found)]
    return await view.answer(
        "system.html",
        "system",
        f"! {count(len(broken), 'file')} with errors · System" if broken else "System",
        by_file=by_file,
        broken=broken,
        excerpts=excerpts,
        changes=_changes(view.status["last_reload"]),
        config=config,
        files=_files(config["files"], dict(by_file), broken),
        file_count=len({*dict(by_file), *(each["path"] for each in config["files"])}),
        daemon=_daemon(view.status),
        store=_store(view.status),
        tokens=tokens["tokens"] if tokens else None,
        sessions=sessions["sessions"] if sessions else None,
    )


def _files(
    files: list[Json], problems: Mapping[str, list[Json]], broken: list[str]
) -> list[dict[str, object]]:
    """Return the first files, those with problems first: state, path, jobs and a note."""
    jobs = {each["path"]: each for each in files}
    rest = [path for path in jobs if path not in problems]
    first = sorted(problems, key=lambda path: path not in broken)
    return [
        {
            "path": path,
            "status": _status(problems.get(path, []), is_broken=path in broken),
            "jobs": jobs[path]["jobs"] if path in jobs else [],
            "note": "its last good version is in force"
            if path in jobs and jobs[path]["stale"]
            else "",
        }
        for path in [*first, *rest][:LISTED]
    ]


def _status(problems: list[Json], *, is_broken: bool) -> Status:
    if not problems:
        return Status("ok", "OK", "calm")
    if is_broken:
        errors = sum(each["severity"] == "error" for each in problems)
        return Status("warn", count(errors, "error"), "bad", is_bad=True)
    return Status("warn", count(len(problems), "warning"), "skip")


def _place(problem: Json) -> tuple[str, int, int, str]:
    where = problem["location"]
    return problem["filename"], where["row"], where["column"], problem["code"]


async def _excerpts(view: View, problems: list[Json]) -> dict[tuple[str, int, int, str], Json]:
    """Return the lines around the problems of the first broken files."""
    paths = list(dict.fromkeys(each["filename"] for each in problems))[:FILES]
    found: dict[tuple[str, int, int, str], Json] = {}
    for path in paths:
        try:
            file = await view.get(path_of("config", "files", id_of(path)))
        except ApiError:
            continue  # not a job file, or it is gone by now
        found |= {_place(each): each["excerpt"] for each in file["problems"]}
    return found


def _changes(reload: Json) -> Json:
    """Return what the files changed the last time: kind and names; None if nothing yet."""
    changes = reload and reload["changes"]
    if not changes:
        return None
    replaced = [f"{each['name']} ({', '.join(each['changes'])})" for each in changes["replaced"]]
    rows = [("Added", changes["added"]), ("Replaced", replaced), ("Removed", changes["removed"])]
    return {"at": changes["at"], "rows": [(word, names) for word, names in rows if names]}


def _daemon(status: Json) -> list[tuple[str, str]]:
    runs = status["runs"]
    places = f"{runs['running']} of {status['max_concurrent_runs']} places"
    listens = ", ".join(filter(None, [status["socket"], status["listen"]]))
    return [
        ("Version", f"luad {status['version']}"),
        ("Process", f"{status['pid']}, up {duration(status['uptime_seconds'])}"),
        ("Loop", f"{status['event_loop_lag_ms']} ms late, at most, in the last minute"),
        ("Running", f"{places}, {runs['queued']} wait"),
        ("Listens", listens),
        ("Zone", status["timezone"]),
        ("Jobs", ", ".join(status["jobs_dirs"])),
        ("Handlers", status["handlers_path"]),
    ]


def _store(status: Json) -> list[tuple[str, str]]:
    store = status["store"]
    size = store["size_bytes"] / 1_000_000
    return [
        ("Place", store["path"]),
        ("Size", f"{size:,.1f} MB"),
        ("Runs", f"{store['runs']:,}" if isinstance(store["runs"], int) else str(store["runs"])),
        ("State", "can be written" if store["writable"] else "cannot be written"),
    ]
