"""The system: the files with their problems, the daemon, the store, the tokens.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from luad.api.config_files import id_of
from luad.api.http.api_problems import ApiError
from luad.web.frame import View
from luad.web.inside import path_of
from luad.web.times import count, duration

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json


FILES: Final = 5
"""The files whose problems have an excerpt."""


async def show(request: Request) -> Response:
    """`GET /system`: files, daemon and store."""
    view = await View.of(request)
    config = await view.get("/v1/config")
    tokens = await view.get("/v1/tokens") if view.is_admin else None
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
        daemon=_daemon(view.status),
        store=_store(view.status),
        tokens=tokens["tokens"] if tokens else None,
    )


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
