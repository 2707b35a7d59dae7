"""Many jobs in one request: make them, or do one thing to all that are named or fit.

Rule: as in `routes_jobs`. Every item is answered for; none depends on another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from luad.api import audit_subject
from luad.api.auth.roles import ADMINS, check_role
from luad.api.context import context_of, json_response
from luad.api.gone_jobs import find_gone, refusal
from luad.api.handler_rules import keep_paused
from luad.api.http.api_problems import ApiError, echo, from_luad_error
from luad.api.http.request_input import Body, check_body, read_long_object, wrong_member
from luad.api.job_pages import walk
from luad.api.routes.endpoint import body_of
from luad.api.routes.routes_dynamic import (
    Creator,
    Draft,
    check_instant_of,
    count_creations,
    creation_view,
    draft_of,
    finished,
    judged,
    maker_of,
)
from luad.core.installed import JobStatus
from luad.core.job_index import key_at
from luad.core.model import Job, Run, Trigger
from luad.core.requests import (
    Created,
    CreateRequested,
    DeleteRequested,
    NewJob,
    PauseRequested,
    ResumeRequested,
    TriggerRequested,
)
from luad.core.requests import Request as Asked
from luad.errors import LuadError
from luad.live.job_choice import JobChoice

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.api.http.work_pool import Budget
    from luad.live.job_state import JobStateView

T = TypeVar("T")

MAX_ITEMS: Final = 10_000
_AT_ONCE: Final = 50
"""So many requests the engine gets at one go: they share a commit, and take the loop some milliseconds."""

_LOOKED_UP: Final = 50
"""Names that are looked up before the loop does what else is due."""

MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
_ACTIONS: Final = ("create", "delete", "pause", "resume", "trigger")
_FOR_ADMINS: Final = frozenset({"create", "delete"})
_WHICH: Final = 'send "jobs": [name, …], or "filter": {"tag": …}'
_FILTER: Final = ("tag", "user", "status", "source")


async def batch(request: Request) -> Response:
    """`POST /jobs:batch`: make, delete, pause, resume or trigger many jobs."""
    context = context_of(request)
    values = await read_long_object(request, MAX_BATCH_BYTES, "jobs")
    body = body_of(request, values)
    action = body.choice("action", _ACTIONS, "")
    if not action:
        raise wrong_member("action", "`action` is missing", "one of " + ", ".join(_ACTIONS))
    if action in _FOR_ADMINS:
        check_role(request.scope["state"], ADMINS)
    maker = await maker_of(request, context)
    remaining = 0
    if action == "create":
        items, is_dry = _items(values), body.flag("dry_run")
        results = await _create(request, context, items, maker, is_dry=is_dry)
    else:
        ask = _asker(context, action, body, maker)
        names, remaining = await _named(context, values)
        results = []
        for start in range(0, len(names), _LOOKED_UP):
            part = names[start : start + _LOOKED_UP]
            results += await asyncio.gather(*(_act(context, ask, name) for name in part))
            await context.breathe()
    return json_response({"results": results, "count": len(results), "remaining": remaining})


def _items(values: Mapping[str, object]) -> Sequence[object]:
    items = values.get("jobs")
    if not isinstance(items, list) or len(items) > MAX_ITEMS:
        detail = f"this is a list of at most {MAX_ITEMS}"
        raise wrong_member("jobs", detail, "of jobs to create, else of their names")
    return items


async def _create(
    request: Request, context: Context, items: Sequence[object], maker: Creator, *, is_dry: bool
) -> list[dict[str, object]]:
    results: list[dict[str, object]] = []
    wanted: list[NewJob] = []
    places: list[int] = []
    place = 0
    while place < len(items):
        part = items[place : place + _AT_ONCE]
        found = await _judge(request, context, part, maker)
        await context.breathe()
        for item, new in zip(part, found, strict=False):
            if isinstance(new, NewJob):
                results.append({"job": new.wanted.job.name, "ok": True, "status": 201})
                wanted.append(new)
                places.append(len(results) - 1)
            else:
                results.append(_refusal(item.get("name") if isinstance(item, dict) else None, new))
        place += len(found)
    if is_dry:
        return results
    count_creations(request, context, maker, len(wanted))
    for start in range(0, len(wanted), _AT_ONCE):
        some = tuple(wanted[start : start + _AT_ONCE])
        event = CreateRequested(context.service.new_request_id(), some)
        outcomes = cast("tuple[Created, ...]", (await context.ask(event)).value)
        for number, created in enumerate(outcomes, start):
            results[places[number]] = _outcome(created)
    return results


async def _judge(
    request: Request, context: Context, items: Sequence[object], maker: Creator
) -> list[NewJob | ApiError | LuadError]:
    """Return the jobs of the first *items*, or their errors; of at least one item."""

    def draft(item: object) -> Draft:
        check_body(request, item)
        return draft_of(context, _object(item), maker)

    drafts = [_tried(partial(draft, item)) for item in items]

    def work(budget: Budget) -> list[Job | ApiError | LuadError]:
        jobs: list[Job | ApiError | LuadError] = []
        for each in drafts:
            if isinstance(each, Draft):
                jobs.append(_tried(partial(judged, context, each.document)))
            else:
                jobs.append(each)
            if budget.is_over():
                break
        return jobs

    jobs = await context.compute(request, work)
    found: list[NewJob | ApiError | LuadError] = []
    for each, job in zip(drafts, jobs, strict=False):
        if isinstance(each, Draft) and isinstance(job, Job):
            found.append(_tried(partial(_checked, context, each, job)))
        elif not isinstance(job, Job):
            found.append(job)
    return found


def _checked(context: Context, draft: Draft, job: Job) -> NewJob:
    new = finished(context, draft, job)
    check_instant_of(context, new)
    return new


def _tried(work: Callable[[], T]) -> T | ApiError | LuadError:
    """Return the result of *work*, or its error."""
    try:
        return work()
    except (ApiError, LuadError) as error:
        return error


def _object(item: object) -> dict[str, object]:
    if not isinstance(item, dict):
        raise ApiError("validation", "this is not an object")
    return item


def _outcome(created: Created) -> dict[str, object]:
    if created.error is not None:
        error = ApiError(created.error, created.message, hint=created.hint)
        return _refusal(created.job_name, error)
    status = 200 if created.outcome == "kept" else 201
    shown = {"job": created.job_name, "ok": True, "status": status, "id": created.job_id}
    return shown | creation_view(created)


def _refusal(name: object, error: ApiError | LuadError) -> dict[str, object]:
    known = from_luad_error(error) if isinstance(error, LuadError) else error
    name = name if isinstance(name, str) else None
    return {"job": name, "ok": False, "status": known.status, "error": shown_error(known)}


def shown_error(error: ApiError) -> dict[str, object]:
    """Return the error of one item of a batch, as the API shows it."""
    shown: dict[str, object] = {"code": error.code, "detail": error.detail}
    if error.hint:
        shown["hint"] = error.hint
    if error.errors:
        shown["errors"] = [dict(each) for each in error.errors]
    return shown


def _asker(
    context: Context, action: str, body: Body, maker: Creator
) -> Callable[[str], Asked] | None:
    """Return what makes the request for a job of that name; None if nothing is to be done."""
    until = body.later("until", context.service.clock.now().wall)
    reason = body.text("reason")
    if body.flag("dry_run"):
        return None

    def ask(name: str) -> Asked:
        request_id = context.service.new_request_id()
        match action:
            case "delete":
                return DeleteRequested(request_id, name)
            case "pause":
                return PauseRequested(request_id, name, reason, maker.author, until)
            case "resume":
                return ResumeRequested(request_id, name)
            case _:
                return TriggerRequested(request_id, name, Trigger.API)

    return ask


async def _act(
    context: Context, ask: Callable[[str], Asked] | None, name: object
) -> dict[str, object]:
    try:
        state = await _find(context, name)
        result: dict[str, object] = {"job": state.job.name, "ok": True, "status": 200}
        if ask is not None:
            asked = ask(state.key)
            if isinstance(asked, ResumeRequested | TriggerRequested):
                keep_paused(context.service.dynamic, state)
            reply = await context.ask(asked)
            if isinstance(reply.value, Run):
                result["run_id"] = reply.value.id
    except (ApiError, LuadError) as error:
        return _refusal(name, error)
    return result


async def _find(context: Context, name: Any) -> JobStateView:
    """Return the job of that whole name; without the hints that would take long for thousands."""
    state = context.service.job(_text(name)) or await find_gone(context.service, name)
    if state is None:
        raise ApiError("not_found", f"no job named {echo(name)}", hint="luad list shows all jobs")
    if state.gone_at is not None:
        raise refusal(state)
    audit_subject.note_job(state.job_id, state.job.name)
    return state


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise ApiError("validation", "this is not the name of a job")
    return name


async def _named(context: Context, values: Mapping[str, object]) -> tuple[Sequence[object], int]:
    """Return which jobs are meant, and how many more than one request takes."""
    if "filter" not in values:
        if "jobs" not in values:
            raise wrong_member("jobs", "nothing says which jobs are meant", _WHICH)
        return _items(values), 0
    if "jobs" in values:
        raise wrong_member("filter", "`jobs` says which ones already", "write one of the two")
    chosen = values["filter"]
    if not isinstance(chosen, dict) or not chosen:
        hint = "known are " + ", ".join(_FILTER)
        raise wrong_member("filter", "this is an object with at least one key", hint)
    wanted = Body(chosen, _FILTER, "filter")
    texts = {key: wanted.text(key) for key in _FILTER}
    if not any(texts.values()):
        raise wrong_member("filter", "it names nothing", "it would fit every job")
    if texts["status"]:
        wanted.choice("status", tuple(JobStatus), "")
    if texts["source"]:
        wanted.choice("source", ("file", "api"), "")
    choice = JobChoice(
        {"file": False, "api": True}.get(texts["source"]),
        frozenset({JobStatus(texts["status"])} if texts["status"] else ()),
        tags=frozenset({texts["tag"]} if texts["tag"] else ()),
        users=frozenset({texts["user"]} if texts["user"] else ()),
    )
    found: list[str] = []
    count = 0
    async for places in walk(context.service, choice):
        count += len(places)
        found += map(key_at, places[: MAX_ITEMS - len(found)])
    return found, count - len(found)
