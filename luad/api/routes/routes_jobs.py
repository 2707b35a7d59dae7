"""Routes of jobs: look at them, pause and resume them, run them now.

Rule: a route checks what it is asked, asks for it, and shows the answer; it decides nothing.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, cast

from starlette.responses import Response

from luad.api import audit_subject
from luad.api.auth.remote import is_remote, refuse_shared
from luad.api.context import context_of, json_response, link_header
from luad.api.gone_jobs import whole_gone_job
from luad.api.handler_rules import keep_paused
from luad.api.http.api_problems import ApiError, echo
from luad.api.http.etags import not_modified
from luad.api.http.request_input import beside, read_object
from luad.api.http.streams import PORTION, ListResponse
from luad.api.job_pages import find_page, read_question
from luad.api.json import views
from luad.api.revision_lookup import earlier, why_not
from luad.api.routes.endpoint import body_of, query_of, read_body
from luad.core.lifecycle import duration_ms
from luad.core.model import Run, Trigger
from luad.core.requests import AnswerKey, PauseRequested, ResumeRequested, TriggerRequested
from luad.json_text import encode_text, to_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from starlette.requests import Request

    from luad.api.context import Context
    from luad.api.http.request_input import Body
    from luad.core.model import Job
    from luad.live.job_state import JobStateView
    from luad.store.api_access import Answer
    from luad.store.query_types import RecentRun


MAX_BROKEN: Final = 100
"""Broken files that a list names; `GET /v1/config` has them all."""


async def list_jobs(request: Request) -> Response:
    """`GET /jobs`: all jobs in order of names, or a page of them."""
    context = context_of(request)
    question = read_question(query_of(request))
    await context.restore.wait()
    async with context.searches[is_remote(request)]:
        page = await find_page(context.service, question)
    total = f',"total":{page.total}' if question.has_total else ""
    broken = encode_text(context.service.problems().broken_files[:MAX_BROKEN])
    end = (
        f'],"hidden_dynamic":{page.hidden},"broken_files":{broken}{total},'
        f'"next_cursor":{encode_text(page.cursor)}}}'
    )
    headers = link_header(request, page.cursor)
    strips = await _strips(context, page.places, question.recent)
    if question.fields:
        members = views.chosen_members(question.fields)
        has_recent = "recent_runs" in question.fields
        write = partial(_some_of_job, context, members, strips, has_recent=has_recent)
    else:
        write = partial(_whole_job, context, strips)
    if len(page.places) > PORTION:
        pieces = _rows(context, page.places, write, end)
        return ListResponse(pieces, "application/json", headers)
    states = filter(None, map(context.service.installed.at, page.places))
    body = '{"jobs":[' + ",".join(map(write, states)) + end
    return Response(to_bytes(body), headers=headers, media_type="application/json")


async def _rows(
    context: Context, places: Sequence[str], write: Callable[[JobStateView], str], end: str
) -> AsyncGenerator[bytes, None]:
    """Yield the list in pieces; a job that has been removed meanwhile is left out."""
    lead = '{"jobs":['
    for start in range(0, len(places), PORTION):
        found = map(context.service.installed.at, places[start : start + PORTION])
        if states := list(filter(None, found)):
            yield to_bytes(lead + ",".join(map(write, states)))
            lead = ","
    yield to_bytes(end if lead == "," else lead + end)


async def _strips(
    context: Context, places: Sequence[str], count: int | None
) -> Mapping[str, str] | None:
    """Return the last *count* rows of each job of a page, by job id; None for those in memory."""
    if count is None:
        return None
    ids = [state.job_id for state in map(context.service.installed.at, places) if state]
    found = await context.service.store.recent_runs(ids, count) if count else {}
    return await asyncio.to_thread(_strip_texts, ids, found)


def _strip_texts(ids: Sequence[str], found: Mapping[str, Sequence[RecentRun]]) -> Mapping[str, str]:
    return {job_id: ",".join(map(_recent_run, found.get(job_id, ()))) for job_id in ids}


def _recent_run(row: RecentRun) -> str:
    view = {
        "id": row.id,
        "status": row.state.value,
        "duration_ms": duration_ms(row.started_at, row.ended_at),
    }
    return encode_text(view if row.reason is None else {**view, "reason": row.reason.value})


def _whole_job(context: Context, strips: Mapping[str, str] | None, state: JobStateView) -> str:
    strip = None if strips is None else strips.get(state.job_id, "")
    return context.job_text(state, strip=strip)


def _some_of_job(
    context: Context,
    members: Sequence[tuple[str, views.Member]],
    strips: Mapping[str, str] | None,
    state: JobStateView,
    *,
    has_recent: bool,
) -> str:
    recent_runs = context.service.recent_runs
    last = recent_runs.last(state.job_id)
    text = encode_text({name: member(state, last) for name, member in members})
    if not has_recent:
        return text
    between = "," if members else ""
    shown = recent_runs.strip(state.job_id) if strips is None else strips.get(state.job_id, "")
    return f'{text[:-1]}{between}"recent_runs":[{shown}]}}'


async def show_job(request: Request) -> Response:
    """`GET /jobs/{job}`: one job, with its definition as it was written."""
    context = context_of(request)
    query = query_of(request)
    await context.restore.wait()
    name = request.path_params["job"]
    state = await context.look_up(name, whole=query.flag("exact"))
    if state.gone_at is not None:
        return json_response(await whole_gone_job(context.service, state))
    known = not_modified(request, context.job_tag(state))
    return known or job_response(context, state)


def job_response(
    context: Context,
    state: JobStateView,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """Answer with a job and its entity tag, and with *more* members beside those of the job."""
    tagged = {**(headers or {}), "etag": context.job_tag(state)}
    body = whole_job(context, state, more)
    return Response(body, status, tagged, media_type="application/json")


def whole_job(
    context: Context, state: JobStateView, more: Mapping[str, object] | None = None
) -> bytes:
    """Return all members of one job, and *more*, as JSON."""
    now = context.service.clock.now().wall
    details = encode_text({**views.detail_part(state, now), **(more or {})})
    return to_bytes(f"{context.job_text(state, now)[:-1]},{details[1:]}")


async def activate(request: Request) -> Response:
    """`POST /jobs/{job}/activate`: resume; answers with the job."""
    context = context_of(request)
    body = await read_body(request)
    state = await context.need_job(request)
    catch_up = cast(
        "Literal['none', 'one', 'all']", body.choice("catch_up", ("none", "one", "all"), "none")
    )
    keep_paused(context.service.dynamic, state)
    request_id = context.service.new_request_id()
    await context.ask(ResumeRequested(request_id, state.key, catch_up))
    return job_response(context, context.find_job(state.job_id))


async def deactivate(request: Request) -> Response:
    """`POST /jobs/{job}/deactivate`: pause; answers with the job."""
    context = context_of(request)
    body = await read_body(request)
    state = await context.need_job(request)
    event = PauseRequested(
        context.service.new_request_id(),
        state.key,
        body.text("reason"),
        await _author(request, context, body),
        body.later("until", context.service.clock.now().wall),
        body.flag("until_change"),
    )
    audit_subject.note_words(event.reason)
    await context.ask(event)
    return job_response(context, context.find_job(state.job_id))


async def _author(request: Request, context: Context, body: Body) -> str:
    """Return the author of a pause. Only over the Unix socket may a program name another author."""
    named = "" if is_remote(request) else body.text("author", 100)
    return named or await context.author(request)


async def trigger(request: Request) -> Response:
    """`POST /jobs/{job}/trigger`: run now; answers with the run, which may not have begun yet."""
    context = context_of(request)
    values = await read_object(request)
    body = body_of(request, values)
    state = await context.need_job(request)
    keep_paused(context.service.dynamic, state)
    metadata = await beside(request, lambda: body.mapping("metadata"))

    async def work(key: AnswerKey | None) -> Response:
        pinned = await _earlier(context, state.job_id, body.text("revision"))
        if pinned is not None:
            refuse_shared(request, state.job, pinned)
        event = TriggerRequested(
            context.service.new_request_id(),
            state.key,
            Trigger(body.choice("trigger", (Trigger.MANUAL, Trigger.API), Trigger.API)),
            metadata,
            body.flag("force"),
            key,
            pinned,
            is_remote(request),
        )
        run = cast("Run", (await context.ask(event)).value)
        headers = {"location": f"/v1/runs/{run.id}"}
        return json_response(views.run_view(run, state.job), 202, headers)

    return await context.keys.once(
        request, values, work, lambda known: recalled_run(context, known)
    )


async def _earlier(context: Context, job_id: str, wanted: str) -> Job | None:
    """Return the earlier revision to execute; None for the one in force."""
    state = context.find_job(job_id)
    current = state.job.revision
    if not wanted or wanted == current:
        return None
    if not state.is_dynamic:
        raise ApiError(
            "precondition_failed",
            f"{state.job.name} has the revision {current} in force, not {echo(wanted)}; {why_not(state)}",
            hint="leave `revision` out to run what is in force; earlier ones can only be read",
        )
    return await earlier(context.service, state, wanted)


def recalled_run(context: Context, known: Answer) -> Response:
    """Answer once more with the run that a request has made."""
    run = context.service.open_run(known.subject)
    audit_subject.note_run(known.subject, run.job_id if run else "", run.job_name if run else "")
    body = {"id": known.subject} if run is None else views.run_view(run, context.job_of(run))
    return json_response(body, 202, {"location": f"/v1/runs/{known.subject}"})
