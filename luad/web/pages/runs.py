"""All runs, newest first, with filters in the address.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.core.model import Reason, Trigger
from luad.web.filters import RUN_FILTERS
from luad.web.frame import View
from luad.web.run_rows import run_row

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LIMIT: Final = 50
FILTERS: Final = (*RUN_FILTERS, "cursor")
IN_MENU: Final = ("reason", "user", "tag", "delivery", "since", "until", "min_duration", "not")
"""The filters that are used less often."""

REASONS: Final = tuple(each.value for each in Reason)
TRIGGERS: Final = tuple(each.value for each in Trigger)
STATUSES: Final = (
    "running",
    "retrying",
    "queued",
    "succeeded",
    "failed",
    "timed_out",
    "lost",
    "cancelled",
    "skipped",
    "missed",
)


async def show(request: Request) -> Response:
    """`GET /runs`: the runs that match, 50 a page."""
    view = await View.of(request)
    given = {name: view.query.get(name, "") for name in FILTERS}
    found = await view.get("/v1/runs", limit=LIMIT, **given)
    return await view.answer(
        "runs.html",
        "runs",
        "Runs",
        rows=[run_row(each) for each in found["runs"]],
        given=given,
        statuses=STATUSES,
        reasons=REASONS,
        triggers=TRIGGERS,
        cursor=found["next_cursor"],
        is_complete=found["is_complete"],
        in_menu=sum(bool(given[name]) for name in IN_MENU),
        is_filtered=any(given[name] for name in FILTERS if name != "cursor"),
    )
