"""Routes of jobs: look at them, pause and resume them, run them now.

Room rule: a route checks what it is asked, asks for it, and shows the answer; it decides nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from starlette.responses import Response
from starlette.routing import Route

from luad.api import views
from luad.api.context import context_of, json_response, link_header
from luad.api.encoding import encode_text, to_bytes
from luad.api.params import MAX_LIMIT, Query, read_body
from luad.api.streams import StreamResponse
from luad.core.events import PauseRequested, ResumeRequested, TriggerRequested
from luad.core.model import JobHealth, JobStatus, Run, Trigger
from luad.errors import Severity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from starlette.requests import Request

    from luad.api.context import Context
    from luad.api.service import JobStateView

_FILTERS: Final = (
    "status",
    "health",
    "tag",
    "source",
    "q",
    "include_dynamic",
    "limit",
    "cursor",
)
MAX_BROKEN: Final = 100
"""Broken files that a list names; `GET /v1/config` has them all."""

_PORTION: Final = 200
"""Jobs that are shown at one go; between two portions the loop does what else is due."""


async def list_jobs(request: Request) -> Response:
    """`GET /jobs`: all jobs in order of names, or a page of them."""
    context = context_of(request)
    query = Query(request, _FILTERS)
    await context.recall.wait()
    every = context.service.jobs()
    context.forget_all_but(every)
    states, hidden = _select(context, query, every)
    limit = query.number("limit", 0, 1, MAX_LIMIT)
    after = query.text("cursor")
    if after is not None:
        states = [each for each in states if each.job.name > after]
    is_more = 0 < limit < len(states)
    if is_more:
        states = states[:limit]
    cursor = states[-1].job.name if is_more else None
    broken = encode_text(_broken_files(context))
    end = (
        f'],"hidden_dynamic":{hidden},"broken_files":{broken},"next_cursor":{encode_text(cursor)}}}'
    )
    headers = link_header(request, cursor)
    if len(states) > _PORTION:
        pieces = _list_pieces(context, states, end)
        return StreamResponse(pieces, "application/json", headers)
    body = '{"jobs":[' + ",".join(map(context.job_text, states)) + end
    return Response(to_bytes(body), headers=headers, media_type="application/json")


def _broken_files(context: Context) -> list[str]:
    """Return the files and folders that have errors: jobs may be missing from the list for them."""
    problems = context.service.problems()
    paths = {each.path for each in problems if each.severity is Severity.ERROR}
    return sorted(paths)[:MAX_BROKEN]


async def _list_pieces(
    context: Context, states: Sequence[JobStateView], end: str
) -> AsyncGenerator[bytes, None]:
    lead = '{"jobs":['
    for start in range(0, len(states), _PORTION):
        part = states[start : start + _PORTION]
        yield to_bytes(lead + ",".join(map(context.job_text, part)))
        lead = ","
        await asyncio.sleep(0)
    yield to_bytes(end)


def _select(
    context: Context, query: Query, states: Sequence[JobStateView]
) -> tuple[Sequence[JobStateView], int]:
    """The jobs that are asked for, and how many dynamic ones were left out."""
    statuses, healths = query.choices("status", JobStatus), query.choices("health", JobHealth)
    tags, sources = query.words("tag"), query.words("source")
    words = (query.text("q") or "").lower()
    is_all = query.flag("include_dynamic")
    board = context.service.board

    def fits(state: JobStateView) -> bool:
        job = state.job
        return (
            (not statuses or state.status in statuses)
            and (not tags or not tags.isdisjoint(job.tags))
            and (not sources or ("api" if state.is_dynamic else "file") in sources)
            and (not words or words in f"{job.name} {job.description} {job.handler}".lower())
            and (not healths or views.health_of(state, board.last(state.job_id)) in healths)
        )

    if statuses or healths or tags or sources or words:
        states = [state for state in states if fits(state)]
    shown = states if is_all else [state for state in states if not state.is_dynamic]
    return shown, len(states) - len(shown)


async def show_job(request: Request) -> Response:
    """`GET /jobs/{job}`: one job, with its definition as it was written."""
    context = context_of(request)
    Query(request, ())
    await context.recall.wait()
    return json_response(_whole_job(context, context.find_job(request.path_params["job"])))


def _whole_job(context: Context, state: JobStateView) -> dict[str, Any]:
    import json  # noqa: PLC0415 - the strip is kept as text; only one job at a time is taken apart

    board = context.service.board
    recent = json.loads(f"[{board.strip(state.job_id)}]")
    return {
        **views.job_view(state, board.last(state.job_id), recent),
        "installed_at": views.instant(state.installed_at),
        "definition": dict(state.job.definition),
        "running_runs": list(state.running),
    }


async def activate(request: Request) -> Response:
    """`POST /jobs/{job}/activate`: resume; answers with the job."""
    context = context_of(request)
    body = await read_body(request, ("catch_up",))
    state = context.find_job(request.path_params["job"])
    catch_up = cast(
        "Literal['none', 'one', 'all']", body.choice("catch_up", ("none", "one", "all"), "none")
    )
    request_id = context.service.new_request_id()
    await context.ask(ResumeRequested(request_id, state.job.name, catch_up))
    return json_response(_whole_job(context, context.find_job(state.job.name)))


async def deactivate(request: Request) -> Response:
    """`POST /jobs/{job}/deactivate`: pause; answers with the job."""
    context = context_of(request)
    body = await read_body(request, ("reason", "until", "author"))
    state = context.find_job(request.path_params["job"])
    event = PauseRequested(
        context.service.new_request_id(),
        state.job.name,
        body.text("reason"),
        body.text("author", 100) or await context.author(request),
        body.later("until", context.service.clock.now().wall),
    )
    await context.ask(event)
    return json_response(_whole_job(context, context.find_job(state.job.name)))


async def trigger(request: Request) -> Response:
    """`POST /jobs/{job}/trigger`: run now; answers with the run, which may not have begun yet."""
    context = context_of(request)
    body = await read_body(request, ("metadata", "force", "trigger"))
    state = context.find_job(request.path_params["job"])
    event = TriggerRequested(
        context.service.new_request_id(),
        state.job.name,
        Trigger(body.choice("trigger", (Trigger.MANUAL, Trigger.API), Trigger.API)),
        body.mapping("metadata"),
        body.flag("force"),
    )
    reply = await context.ask(event)
    run = cast("Run", reply.value)
    headers = {"location": f"/v1/runs/{run.id}"}
    return json_response(views.run_view(run, state.job), 202, headers)


ROUTES: Final = (
    Route("/jobs", list_jobs),
    Route("/jobs/{job}", show_job),
    Route("/jobs/{job}/activate", activate, methods=["POST"]),
    Route("/jobs/{job}/deactivate", deactivate, methods=["POST"]),
    Route("/jobs/{job}/trigger", trigger, methods=["POST"]),
)
