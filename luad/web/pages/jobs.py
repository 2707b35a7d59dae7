"""The table of jobs, with filters in the address and actions for the rows that are ticked.

Rule: as in `luad.web`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luad.web.filters import JOB_FILTERS, job_question
from luad.web.frame import View
from luad.web.rows import job_row

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

LIMIT: Final = 50
FILTERS: Final = (*JOB_FILTERS, "sort", "cursor")


async def show(request: Request) -> Response:
    """`GET /jobs`: the jobs that match, 50 a page."""
    view = await View.of(request)
    given = {name: view.query.get(name, "") for name in FILTERS}
    order = {name: given[name] for name in ("sort", "cursor")}
    found = await view.get("/v1/jobs", limit=LIMIT, recent=40, **job_question(given), **order)
    rows = [job_row(each, view.times) for each in found["jobs"]]
    failing = view.status["jobs"]["failing"]
    return await view.answer(
        "jobs.html",
        "jobs",
        f"Jobs · ✗ {failing} failing" if failing else "Jobs",
        rows=rows,
        counts=view.status["jobs"],
        given=given,
        hidden=found["hidden_dynamic"],
        cursor=found["next_cursor"],
        is_filtered=any(given[name] for name in FILTERS if name not in ("sort", "cursor")),
    )
