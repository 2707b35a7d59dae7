"""Routes of revisions: the definitions that a job has had, one of them put back, or executed once more.

Rule: as in `routes_jobs`. What a file declares, the file decides: its revisions can only be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luad.api.auth.remote import refuse_shared
from luad.api.context import context_of, json_response
from luad.api.creation_rules import check_pace
from luad.api.http.etags import if_match
from luad.api.http.request_input import wrong_member
from luad.api.json import views
from luad.api.revision_lookup import difference, earlier, why_not
from luad.api.routes.endpoint import read_body
from luad.api.routes.routes_dynamic import file_owned
from luad.api.routes.routes_jobs import job_response
from luad.config.secrets import shown_definition
from luad.core.requests import ChangeRequested

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def list_revisions(request: Request) -> Response:
    """`GET /jobs/{job}/revisions`: the definitions that the job has had, the latest first."""
    context = context_of(request)
    state = await context.look_up(request.path_params["job"])
    revisions = await context.service.store.job_revisions(state.job_id)
    now = shown_definition(state.job.definition)
    rows = []
    for each in revisions:
        then = shown_definition(each.definition)
        is_current = each.revision == state.job.revision
        row = {
            "revision": each.revision,
            "first_seen_at": views.instant(each.first_seen_at),
            "last_installed_at": views.instant(each.last_installed_at),
            "is_current": is_current,
            "definition": then,
            "difference": [] if is_current else difference(then, now),
        }
        rows.append(row)
    reason = why_not(state)
    return json_response({"revisions": rows, "can_restore": not reason, "reason": reason or None})


async def restore(request: Request) -> Response:
    """`POST /jobs/{job}/restore`: give a dynamic job an earlier revision; answers with the job."""
    context = context_of(request)
    body = await read_body(request)
    wanted = body.text("revision")
    if not wanted:
        hint = "GET /v1/jobs/{job}/revisions lists them"
        raise wrong_member("revision", "`revision` is missing", hint)
    state = await context.need_job(request, whole=True)
    file_owned(state, f"{why_not(state)}; luad revisions {state.key} shows them")
    job = await earlier(context.service, state, wanted)
    refuse_shared(request, state.job, job)
    if job.schedule != state.job.schedule:
        check_pace(context.service, job.schedule, state.key)
    event = ChangeRequested(
        context.service.new_request_id(),
        state.key,
        job,
        state.job.revision,
        if_match(request, state.version),
    )
    await context.ask(event)
    after = context.service.job(state.job_id)
    return json_response({"id": state.job_id}) if after is None else job_response(context, after)
