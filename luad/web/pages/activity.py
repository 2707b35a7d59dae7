"""The activity: who did what, newest first.

Rule: as in `luad.web`. Only an admin may read the whole trail; everybody may read that of one job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.web.frame import View
from luad.web.inside import path_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json

FILTERS: Final = ("job", "actor", "since", "status", "cursor")
LIMIT: Final = 50
_NOTHING: Final[Json] = {"entries": [], "next_cursor": None, "is_complete": True}


async def show(request: Request) -> Response:
    """`GET /activity`: the audit trail in words; for other roles than admin that of one job."""
    view = await View.of(request)
    given = {name: view.query.get(name, "").strip() for name in FILTERS}
    found = await _found(view, given)
    return await view.answer(
        "activity.html",
        "activity",
        f"Activity of {given['job']}" if given["job"] else "Activity",
        given=given,
        entries=found["entries"],
        cursor=found["next_cursor"],
        is_complete=found["is_complete"],
        is_filtered=any(given[name] for name in FILTERS if name != "cursor"),
        needs_job=not (view.is_admin or given["job"]),
    )


async def _found(view: View, given: dict[str, str]) -> Json:
    if view.is_admin:
        return await view.get("/v1/audit", limit=LIMIT, **given)
    if not given["job"]:
        return _NOTHING
    query = {name: text for name, text in given.items() if name != "job"}
    return await view.get(path_of("jobs", given["job"], "activity"), limit=LIMIT, **query)
