"""Routes that make, change and delete dynamic jobs.

Rule: as in `routes_jobs`. The schema of job files checks a body, the settings limit what is
allowed, and the engine decides about the name.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from starlette.responses import Response

from luad.api.auth.remote import is_remote
from luad.api.context import context_of, json_response
from luad.api.creation_rules import (
    check_handler,
    check_instant,
    check_pace,
    check_queue,
    check_user,
    in_the_zone_of_the_user,
)
from luad.api.gone_jobs import earlier_id, find_gone, whole_gone_job
from luad.api.http.api_problems import ApiError, echo
from luad.api.http.etags import if_match
from luad.api.http.request_input import read_object, wrong_member
from luad.api.routes.routes_jobs import job_response, whole_job
from luad.api.routes.routes_metadata import object_of
from luad.config.jobs.api_bodies import job_from_body
from luad.core.dynamic_jobs import merge_patch
from luad.core.gaps import least_gap_ms
from luad.core.model import Creation, Job, Wanted
from luad.core.requests import (
    AnswerKey,
    ChangeRequested,
    Created,
    CreateRequested,
    DeleteRequested,
    NewJob,
)
from luad.wire import format_instant, parse_duration_ms

if TYPE_CHECKING:
    from starlette.requests import Request

    from luad.api.context import Context
    from luad.api.http.work_pool import Budget
    from luad.live.job_state import JobStateView
    from luad.store.api_access import Answer

_OWN_KEYS: Final = ("user_id", "in", "activate", "if_exists")
_IF_EXISTS: Final = ("error", "keep", "replace")
_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_NO_NAME: Final = re.compile(r"[^a-z0-9]+")
INACTIVE: Final = "created inactive"


@dataclass(frozen=True, slots=True)
class Creator:
    """The author of new jobs, and the run of the handler that makes them."""

    author: str
    run_id: str | None


async def create_job(request: Request) -> Response:
    """`POST /jobs`: make a job; answers with it once it is durable."""
    context = context_of(request)
    body = await read_object(request)
    maker = await maker_of(request, context)
    new = await new_job(request, context, body, maker)

    async def work(key: AnswerKey | None) -> Response:
        check_instant_of(context, new)
        count_creations(request, context, maker, 1)
        event = CreateRequested(context.service.new_request_id(), (new,), key)
        (created,) = cast("tuple[Created, ...]", (await context.ask(event)).value)
        if created.error is not None:
            raise ApiError(created.error, created.message, hint=created.hint)
        return await _made(context, created, is_named="name" in body)

    return await context.keys.once(request, body, work, lambda known: _recalled(context, known))


async def _made(context: Context, created: Created, *, is_named: bool) -> Response:
    status = 200 if created.outcome == "kept" else 201
    headers = {"location": f"/v1/jobs/{created.job_id}"}
    more = creation_view(created)
    if is_named and created.outcome == "created" and not created.earlier_id:
        # A job that succeeded has left; the store knows it as long as its history lasts.
        more["earlier_id"] = await earlier_id(context.service, created.job_name, created.job_id)
    return await _shown(context, created.job_id, created.job_name, status, headers, more)


def creation_view(created: Created) -> dict[str, object]:
    """Return what a creation answers beside the job: is it new, and which job had its name before."""
    return {"created": created.outcome == "created", "earlier_id": created.earlier_id or None}


async def _shown(
    context: Context,
    job_id: str,
    name: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    state = context.service.job(job_id)
    if state is None:  # it has run, succeeded and left within this moment
        gone = await find_gone(context.service, job_id)
        body = (
            _that_left(job_id, name)
            if gone is None
            else await whole_gone_job(context.service, gone)
        )
        return json_response({**body, **(more or {})}, status, headers)
    return job_response(context, state, status, headers, more)


def _recalled(context: Context, known: Answer) -> Response | None:
    state = context.service.job(known.subject)
    if state is None:
        return json_response(_that_left(known.subject, known.subject), 201)
    return Response(whole_job(context, state), 201, media_type="application/json")


def _that_left(job_id: str, name: str) -> dict[str, object]:
    over = {"status": "completed", "active": False, "next_run_at": None}
    return {"id": job_id, "name": name, "dynamic": True, **over, "summary": "Has run already."}


async def maker_of(request: Request, context: Context) -> Creator:
    """Say who sent *request*; a handler says in which run it does."""
    run = context.creating_run(request)
    return Creator(await context.author(request), run.id if run else None)


def count_creations(request: Request, context: Context, maker: Creator, count: int) -> None:
    """Refuse more creations over TCP than a token may ask for. The Unix socket has no such limit."""
    if is_remote(request):
        most = context.service.dynamic.creates_per_minute
        context.creations.take(maker.author, count, most, context.service.clock.now().elapsed)


async def new_job(
    request: Request, context: Context, body: Mapping[str, object], maker: Creator
) -> NewJob:
    """Return the job that *body* asks for. Raises `ApiError` or `ValidationError`."""
    draft = draft_of(context, body, maker)
    job = await context.compute(request, lambda _: judged(context, draft.document))
    return finished(context, draft, job)


class Draft(NamedTuple):
    """A job that is asked for: its document before the checks, and the members that only a request has."""

    document: dict[str, Any]
    creation: Creation
    if_exists: Literal["error", "keep", "replace"]
    is_active: bool


def draft_of(context: Context, body: Mapping[str, Any], maker: Creator) -> Draft:
    """Return what *body* asks for, before it is judged. Raises `ApiError`."""
    document = {key: value for key, value in body.items() if key not in _OWN_KEYS}
    now = context.service.clock.now().wall
    if "user_id" in body:
        if "user" in body:
            raise wrong_member("user_id", "`user` says the same", "write one of the two")
        document["user"] = body["user_id"]
    if document.get("user", "") is None:
        del document["user"]  # the job has no user
    if "in" in body:
        document["schedule"] = _in(body, now)
    if "name" not in document:
        document["name"] = _name_for(document.get("handler"))
    if_exists = body.get("if_exists", "error")
    if if_exists not in _IF_EXISTS:
        raise wrong_member(
            "if_exists", f"{echo(str(if_exists))} is not a choice", "write error, keep or replace"
        )
    is_active = body.get("activate", True)
    if not isinstance(is_active, bool):
        raise wrong_member("activate", "this is true or false")
    in_the_zone_of_the_user(context.service, document)
    creation = Creation(now, maker.author, maker.run_id)
    return Draft(
        document, creation, cast("Literal['error', 'keep', 'replace']", if_exists), is_active
    )


def judged(context: Context, document: Mapping[str, object]) -> Job:
    """Return the job of *document*, judged by the schema and the settings; for a thread of the pool.

    Raises `ApiError` or `ValidationError`.
    """
    zone = context.service.dynamic.timezone
    job = job_from_body(document, timezone=zone, also=_OWN_KEYS)
    check_handler(context.service, job)
    least_gap_ms(job.schedule)  # takes long for some lines, and is remembered
    return job


def finished(context: Context, draft: Draft, job: Job) -> NewJob:
    """Return what the engine is asked for. Raises `ValidationError` for a user who is not known."""
    check_user(context.service, job)
    check_queue(context.service, job)
    check_pace(context.service, job.schedule, job.name)
    reason = None if draft.is_active else INACTIVE
    return NewJob(Wanted(job, creation=draft.creation), draft.if_exists, reason)


def check_instant_of(context: Context, new: NewJob) -> None:
    """Refuse an instant that is past, unless the job that exists already is kept."""
    job = new.wanted.job
    if new.if_exists != "keep" or context.service.job(job.name) is None:
        check_instant(job, context.service.clock.now().wall)


def _in(body: Mapping[str, object], now: int) -> dict[str, str]:
    if "schedule" in body:
        raise wrong_member("in", "`schedule` says when already", "write one of the two")
    try:
        wait_ms = parse_duration_ms(body["in"])
    except ValueError as error:
        raise wrong_member("in", str(error), "write 90s, 10m, 1h30m, 2d or 1w") from error
    if wait_ms < 0:
        raise wrong_member("in", "this is in the past")
    return {"type": "once", "execute_at": format_instant(now + wait_ms)}


def _name_for(handler: object) -> str:
    """Return a unique name: the name of the function, and six random letters."""
    word = handler.rpartition(":")[2] if isinstance(handler, str) else "job"
    slug = _NO_NAME.sub("-", word.lower()).strip("-")[:40] or "job"
    return f"{slug}-{''.join(secrets.choice(_LETTERS) for _ in range(6))}"


# --- changing and removing ----------------------------------------------------------------------


async def change_job(request: Request) -> Response:
    """`PATCH /jobs/{job}`: change a dynamic job's definition, by a merge patch."""
    context = context_of(request)
    patch = await object_of(request)
    for key in ("name", "metadata"):
        if key in patch:
            hint = "PATCH /v1/jobs/{job}/metadata" if key == "metadata" else "make a new job"
            raise wrong_member(key, f"`{key}` cannot be changed here", hint)
    if "user_id" in patch:
        patch["user"] = patch.pop("user_id")
    state = await context.need_job(request, whole=True)
    file_owned(state, f"change the file, or luad pause {state.job.name}")
    definition = dict(state.job.definition)
    if "in" in patch:
        zone_before = (definition.get("schedule") or {}).get("timezone")
        at = _in(patch, context.service.clock.now().wall)
        patch["schedule"] = at if zone_before is None else {**at, "timezone": zone_before}
        del patch["in"]
    document = _patched(definition, patch)
    _give_zone(context, document, patch)
    zone, before = context.service.dynamic.timezone, state.job.handler

    def work(_: Budget) -> Job:
        job = job_from_body(document, timezone=zone)
        check_handler(context.service, job, has_new_handler=job.handler != before)
        least_gap_ms(job.schedule)
        return job

    job = await context.compute(request, work)
    check_user(context.service, job)
    check_queue(context.service, job)
    check_pace(context.service, job.schedule, state.key)
    if "schedule" in patch:
        check_instant(job, context.service.clock.now().wall)
    event = ChangeRequested(
        context.service.new_request_id(),
        state.key,
        job,
        state.job.revision,
        if_match(request, state.version),
    )
    await context.ask(event)
    return await _shown(context, state.job_id, state.job.name)


def _give_zone(context: Context, document: dict[str, object], patch: Mapping[str, object]) -> None:
    """Read a new schedule in the zone of the user; a stored cron line stays in the zone it has."""
    new, schedule = patch.get("schedule"), document.get("schedule")
    is_once = isinstance(schedule, Mapping) and schedule.get("type") == "once"
    if isinstance(new, Mapping) and ("type" in new or is_once):
        in_the_zone_of_the_user(context.service, document)


def _patched(definition: dict[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    """Merge; but another type of schedule, or another way to say it, replaces the whole of it."""
    schedule = patch.get("schedule")
    if isinstance(schedule, dict) and "type" in schedule:
        definition.pop("schedule", None)
    document: dict[str, object] = merge_patch(definition, patch)
    return document


async def delete_job(request: Request) -> Response:
    """`DELETE /jobs/{job}`: remove a dynamic job; what runs ends normally."""
    context = context_of(request)
    await read_object(request)
    name: str = request.path_params["job"]
    if context.service.job(name) is None and await context.service.delete_stored_job(name):
        return _deleted(name)
    state = await context.need_job(request, whole=True)
    request_id = context.service.new_request_id()
    wanted = if_match(request, state.version)
    await context.ask(DeleteRequested(request_id, state.key, wanted))
    return _deleted(state.job.name)


def _deleted(name: str) -> Response:
    message = f"{name} is deleted; its history stays"
    return json_response({"deleted": True, "deactivated": False, "message": message})


def file_owned(state: JobStateView, hint: str) -> None:
    """Refuse to touch what a file declares."""
    if not state.is_dynamic:
        place = f"{state.origin.path}:{state.origin.line}" if state.origin else "a file"
        raise ApiError("file_owned", f"{state.job.name} comes from {place}", hint=hint)
