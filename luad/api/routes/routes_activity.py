"""Routes of the audit trail: all of it for admins, and the activity of one job for everybody.

Rule: as in `routes_jobs`. The activity of a job shows no address, process or user id of a client.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from luad.api.context import context_of, json_response, link_header
from luad.api.http.paging import make_cursor
from luad.api.http.request_input import wrong_parameter
from luad.api.json import views
from luad.api.json.activity_words import summary
from luad.api.routes.endpoint import query_of
from luad.cursors import read_row_cursor
from luad.errors import UsageError
from luad.store.audit_trail import AuditEntry, AuditFilter, AuditPage, actor_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.api.http.request_input import Query

_SHOWN: Final = ("status", "via", "job", "job_id", "job_count", "run_id", "new_run_id", "from_run")


class Outcome(StrEnum):
    """How a request ended: it was carried out, refused, or failed inside luad."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


_RANGES: Final = {Outcome.OK: (100, 400), Outcome.REFUSED: (400, 500), Outcome.FAILED: (500, 600)}


async def activity(context: Context, query: Query, job: str | None) -> AuditPage:
    """Return a page of the entries that *query* asks for, of all jobs or of *job*. Raises `ApiError`."""
    job_id = None if job is None else (await context.look_up(job)).job_id
    now = context.service.clock.now().wall
    wanted = AuditFilter(
        job_id,
        query.text("actor"),
        now - query.span_ms("since", now, 0) if query.text("since") else None,
        frozenset(_RANGES[each] for each in query.choices("status", Outcome)),
    )
    before = None
    if (text := query.text("cursor")) is not None:
        try:
            before = read_row_cursor(text)
        except UsageError as error:
            raise wrong_parameter("cursor", error.message, error.hint) from None
    return await context.service.store.access.audit(wanted, limit=query.limit(), before=before)


def entry_view(found: AuditEntry) -> dict[str, Any]:
    """Return an entry with all that is known of the client; for admins."""
    head = {"at": views.instant(found.at), "request_id": found.id}
    return {**head, **found.entry, "summary": summary(found.entry)}


def activity_view(found: AuditEntry) -> dict[str, Any]:
    """Return an entry without the addresses of the client; for everybody who may read."""
    entry = found.entry
    return {
        "at": views.instant(found.at),
        "request_id": found.id,
        "actor": actor_of(entry),
        "summary": summary(entry),
        "reason": entry.get("reason"),
        **{key: entry.get(key) for key in _SHOWN},
    }


async def list_audit(request: Request) -> Response:
    """`GET /audit`: the changes and refusals, newest first."""
    query = query_of(request)
    found = await activity(context_of(request), query, query.text("job"))
    return _answer(request, found, [entry_view(each) for each in found.entries])


async def list_activity(request: Request) -> Response:
    """`GET /jobs/{job}/activity`: the requests about one job, newest first."""
    found = await activity(context_of(request), query_of(request), request.path_params["job"])
    return _answer(request, found, [activity_view(each) for each in found.entries])


def _answer(request: Request, found: AuditPage, entries: list[dict[str, Any]]) -> Response:
    cursor = None if found.end is None else make_cursor(found.end)
    body = {"entries": entries, "next_cursor": cursor, "is_complete": found.is_complete}
    return json_response(body, headers=link_header(request, cursor))
