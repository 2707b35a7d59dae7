"""The activity: who did what, newest first.

Rule: as in `luad.web`. Only an admin may read the whole trail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.web.frame import View

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def show(request: Request) -> Response:
    """`GET /activity`: the audit trail in words. Raises `ApiError` (forbidden)."""
    view = await View.of(request)
    found = await view.get("/v1/audit", limit=50, cursor=view.query.get("cursor", ""))
    return await view.answer(
        "activity.html",
        "activity",
        "Activity",
        entries=found["entries"],
        cursor=found["next_cursor"],
    )
