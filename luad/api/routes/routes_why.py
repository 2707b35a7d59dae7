"""The route that says why a job did or did not run.

Rule: as in `routes_jobs`. The answer is a row of the history, or that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from luad.api.context import context_of, json_response
from luad.api.json import views
from luad.api.json.job_summary import summarize
from luad.api.json.why import explain_nothing, explain_row, way_out
from luad.api.routes.endpoint import query_of
from luad.core.lifecycle import NEVER_RAN
from luad.core.model import DAY
from luad.core.schedule import next_occurrence
from luad.store.query_types import RunFilter

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.core.model import Instant
    from luad.live.job_state import JobStateView
    from luad.store.query_types import RunRow

_LOOKED_AT: Final = 200
_WITHIN: Final = 7 * DAY


@dataclass(frozen=True, slots=True)
class Why:
    """The explanation of an instant, or of the last row. *summary*: when the job runs."""

    text: str
    summary: str
    row: RunRow | None = None


async def show_why(request: Request) -> Response:
    """`GET /jobs/{job}/why`: why a job did or did not run at an instant, else the last time."""
    context, query = context_of(request), query_of(request)
    state = await context.look_up(request.path_params["job"])
    at = query.instant("at")
    found = await why(request, context, state, at)
    run = None if found.row is None else context.run_view(found.row)
    answer = {"job": state.job.name, "job_id": state.job_id, "at": views.instant(at)}
    return json_response({**answer, "text": found.text, "summary": found.summary, "run": run})


async def why(request: Request, context: Context, state: JobStateView, at: Instant | None) -> Why:
    """Return why the job of *state* did or did not run at *at*; None: the last time."""
    now = context.service.clock.now().wall
    summary = summarize(state, now) + way_out(state)
    row = await _row_of(context, state, at)
    if row is not None:
        queue = context.service.unserved.queue_of(row.run.id)
        return Why(explain_row(state, row.run, count=row.count, queue=queue), summary, row)
    due = None
    if at is not None:
        schedule, grid_at = state.job.schedule, state.grid_at
        due = await context.compute(request, lambda _: next_occurrence(schedule, grid_at, at - 1))
    return Why(explain_nothing(state, at, now, due), summary)


async def _row_of(context: Context, state: JobStateView, at: Instant | None) -> RunRow | None:
    """Return the row of the occurrence at *at*; without *at*, the newest row."""
    history = context.service.store.history
    wanted = RunFilter(job_id=state.job_id)
    if at is None:
        rows = (await history.search(wanted, limit=1)).rows
        return rows[0] if rows else None
    near = RunFilter(job_id=state.job_id, since=at, until=at + _WITHIN)
    never = RunFilter(job_id=state.job_id, statuses=NEVER_RAN)
    exact = await history.of_occurrence(state.job_id, at)
    if exact is not None:
        return exact
    for each in (never, near):
        for row in (await history.search(each, limit=_LOOKED_AT)).rows:
            first = (
                row.run.scheduled_for
                if row.first_scheduled_for is None
                else row.first_scheduled_for
            )
            if first <= at <= row.run.scheduled_for:
                return row
    return None
