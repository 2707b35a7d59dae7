"""Routes of the daemon itself: what fires when, the files, how it is, its numbers.

Rule: as in `routes_jobs`. What may take long runs in a thread, with an end to it.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from luad.api.auth.remote import is_remote
from luad.api.config_files import id_of
from luad.api.context import context_of, json_response
from luad.api.http.api_problems import ApiError
from luad.api.http.request_input import wrong_member, wrong_parameter
from luad.api.http.streams import ListResponse
from luad.api.job_pages import walk
from luad.api.json import views
from luad.api.json.calendar import MEDIA, Entry, calendar
from luad.api.json.upcoming import CLIENT_LAG_MS, Fire, upcoming
from luad.api.routes.endpoint import query_of, read_body
from luad.core.installed import JobStatus
from luad.core.model import DAY, Instant
from luad.errors import StoreUnavailableError
from luad.json_text import encode, to_bytes
from luad.live.job_choice import EVERY_JOB, JobChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from luad.api.context import Context
    from luad.api.http.request_input import Query
    from luad.api.http.work_pool import Budget
    from luad.api.service import ReloadResult
    from luad.live.job_state import JobStateView
    from luad.store import Store

MANY: Final = 500
"""Beyond so many problems they are written beside the loop."""

MOST_NAMED: Final = 100
"""Jobs that one question may name."""

ACTIVE_JOBS: Final = JobChoice(statuses=frozenset({JobStatus.ACTIVE}))
PAUSED_JOBS: Final = JobChoice(statuses=frozenset({JobStatus.PAUSED}))
STATIC_JOBS: Final = JobChoice(is_dynamic=False)

PORTION: Final = 100
"""Jobs that are looked at between two turns of the loop."""

_CALENDAR: Final = "ics"
_MAX_AHEAD_MS: Final = 366 * 10 * DAY
_DEFAULT_NEXT: Final = 10
_NEAR_MS: Final = 5_000
"""So long may a client at the Unix socket let the fire times of very many jobs be computed."""

_MOST_SELF_DELETED: Final = 20


# --- what fires when ---------------------------------------------------------------------------


async def job_next(request: Request) -> Response:
    """`GET /jobs/{job}/next`: the next occurrences of one job, paused or not."""
    context = context_of(request)
    query = query_of(request)
    state = await context.look_up(request.path_params["job"])
    start = _start(context, query)
    states = [] if state.gone_at is not None else [state]
    return await _planned(request, context, states, start, None, query.number("n", _DEFAULT_NEXT))


async def schedule(request: Request) -> Response:
    """`GET /schedule`: what fires next, of all jobs or of some."""
    context = context_of(request)
    query = query_of(request)
    start, until = _start(context, query), query.instant("until")
    if until is not None and until <= start:
        raise wrong_parameter("until", "it is not after `from`")
    limit = query.limit()
    if query.text("format") not in {None, "json", _CALENDAR}:
        raise wrong_parameter("format", "json or ics")
    names, is_whole = query.words("job"), True
    if len(names) > MOST_NAMED:
        hint = "ask several times, or for all jobs"
        raise wrong_parameter("job", f"these are more than {MOST_NAMED} jobs", hint)
    with_paused = query.flag("include_paused")
    service = context.service
    if names:
        found = [await context.look_up(name) for name in sorted(names)]
        states = [state for state in found if state.gone_at is None]
    elif abs(start - service.clock.now().wall) <= CLIENT_LAG_MS:
        is_whole = not service.installed.is_behind
        states = await _in_portions(context, service.installed.nearest(start, limit, until))
        states += await _states(request, PAUSED_JOBS) if with_paused else []
    else:  # the engine knows no fire times from then on
        states = await _states(request, EVERY_JOB if with_paused else ACTIVE_JOBS)
    return await _planned(request, context, states, start, until, limit, is_whole=is_whole)


async def _in_portions(context: Context, keys: Sequence[str]) -> list[JobStateView]:
    """Return the jobs of *keys* that are still there; the loop goes on after each portion."""
    found: list[JobStateView] = []
    for begin in range(0, len(keys), PORTION):
        found += filter(None, map(context.service.job, keys[begin : begin + PORTION]))
        await context.breathe()
    return found


async def _states(request: Request, choice: JobChoice) -> list[JobStateView]:
    """Return the jobs of *choice*, which may be all: in portions, and for one client at a time."""
    context = context_of(request)
    found: list[JobStateView] = []
    async with context.searches[is_remote(request)]:
        async for places in walk(context.service, choice):
            found += filter(None, map(context.service.installed.at, places))
    return found


def _start(context: Context, query: Query) -> Instant:
    now = context.service.clock.now().wall
    start = query.instant("from")
    if start is None:
        return now + 1  # what is due at this very moment is not to come
    if abs(start - now) > _MAX_AHEAD_MS:
        raise wrong_parameter("from", "more than ten years from now")
    return start


async def _planned(
    request: Request,
    context: Context,
    states: Sequence[JobStateView],
    start: Instant,
    until: Instant | None,
    limit: int,
    *,
    is_whole: bool = True,
) -> Response:
    """Answer with the first occurrences of *states*. *is_whole*: no other job can have one among them."""
    now = context.service.clock.now().wall
    as_calendar = query_of(request).text("format") == _CALENDAR

    def work(budget: Budget) -> bytes:
        found, is_complete = upcoming(states, now, start, until, limit, budget.is_over)
        if as_calendar:
            return to_bytes(calendar(map(_entry, found), now))
        rows = [views.fire_view(each.state, each.scheduled_for, each.fire_at) for each in found]
        return encode({"next": rows, "is_complete": is_complete and is_whole})

    body = await context.compute(request, work, _NEAR_MS)
    return Response(body, media_type=MEDIA if as_calendar else "application/json")


def _entry(fire: Fire) -> Entry:
    uid = f"{fire.state.job_id}-{fire.scheduled_for}@luad"
    return Entry(uid, fire.fire_at, fire.state.job.name, fire.state.job.description)


# --- the files ---------------------------------------------------------------------------------


async def show_config(request: Request) -> Response:
    """`GET /config`: the files that are in force, and their problems."""
    context = context_of(request)
    states = await _states(request, STATIC_JOBS)
    problems, stale = context.service.problems().every, context.service.installed.stale_files()

    def work(_: Budget) -> bytes:
        return encode(_files(states) | {"problems": views.problem_list(problems), "stale": stale})

    answer = await context.compute(request, work)
    return Response(answer, media_type="application/json")


def _files(states: Sequence[JobStateView]) -> dict[str, Any]:
    files: dict[str, dict[str, Any]] = {}
    for state in states:
        if state.origin is not None:
            file = files.setdefault(
                state.origin.path,
                {
                    "id": id_of(state.origin.path),
                    "path": state.origin.path,
                    "stale": False,
                    "jobs": [],
                },
            )
            file["stale"] = file["stale"] or state.stale
            file["jobs"].append(state.job.name)
    return {"files": [files[path] for path in sorted(files)]}


async def reload(request: Request) -> Response:
    """`POST /config/reload`: read the files now, or only say what that would change; put them in force."""
    context = context_of(request)
    body = await read_body(request)
    check_only, publish = body.flag("check_only"), body.flag("publish")
    if check_only and publish:
        raise wrong_member("publish", "`check_only` changes nothing", "write one of the two")
    result = await _read_files(request, context, check_only=check_only)
    if publish:
        if not await context.service.publish():
            raise wrong_member("publish", "luad has its store for itself", "leave it out")
        result = await _read_files(request, context, check_only=False)
    found = views.reload_view(result)
    if result.nodes_behind is not None:
        found |= {"in_force": result.in_force, "nodes_behind": list(result.nodes_behind)}
    return json_response(found)


async def check(request: Request) -> Response:
    """`POST /config/check`: read the files, and answer with their problems and the plan."""
    context = context_of(request)
    await read_body(request)
    return json_response(views.reload_view(await _read_files(request, context, check_only=True)))


async def _read_files(request: Request, context: Context, *, check_only: bool) -> ReloadResult:
    """Have the files read. Reading all of them takes long: of TCP there is one such request at a time."""
    if not is_remote(request):
        return await context.service.reload(check_only=check_only)
    if not context.far_readings.take(""):
        raise ApiError(
            "overloaded",
            "the files are being read for another request",
            hint="ask again when that one is answered",
            headers={"retry-after": "1"},
        )
    try:
        return await context.service.reload(check_only=check_only)
    finally:
        context.far_readings.give_back("")


# --- how it is ---------------------------------------------------------------------------------


async def show_status(request: Request) -> Response:
    """`GET /status`: everything about the daemon that a person may want to know at first sight."""
    context = context_of(request)
    service = context.service
    problems, faults = service.problems(), service.health().faults
    now = service.clock.now().wall
    counts = service.installed.counts(now)
    is_long = len(problems.every) > MANY
    shown = partial(views.problem_list, problems.every)
    body = {
        "status": "degraded" if faults or problems.error_count else "ok",
        "server_time": views.instant(now),
        "jobs": views.job_counts(counts),
        "runs": {"running": counts.running_runs, "queued": counts.queued_runs},
        "problems": [
            *faults,
            *(await context.compute(request, lambda _: shown()) if is_long else shown()),
        ],
        **service.status(),
        "self_deleted": [
            {"job": state.job.name, "reason": state.pause.reason}
            for state in service.installed.self_deleted(_MOST_SELF_DELETED)
            if state.pause is not None
        ],
    }
    body["store"] = {"runs": await _row_count(service.store), **(body.get("store") or {})}
    return json_response(body)


async def _row_count(store: Store) -> int | None:
    """How many rows the history has; None while the store cannot be read."""
    try:
        return await store.run_count()
    except StoreUnavailableError:
        return None


async def healthz(request: Request) -> Response:
    """`GET /healthz`: 503 when luad cannot do its work; broken files alone only degrade it."""
    context = context_of(request)
    health, problems = context.service.health(), context.service.problems()
    faults = health.faults
    status = "failing" if faults else "degraded" if problems.error_count else "ok"
    if is_remote(request):  # a client without a token gets no path
        return json_response({"status": status}, 503 if faults else 200)
    body = {
        "status": status,
        "faults": faults,
        "stale": context.service.installed.stale_files(),
        "broken_files": problems.broken_files,
    }
    if health.comparing:
        body["comparing"] = health.comparing
    return json_response(body, 503 if faults else 200)


async def readyz(request: Request) -> Response:
    """`GET /readyz`: 503 until jobs are loaded, and again while luad shuts down."""
    is_ready = context_of(request).service.health().is_ready
    return json_response({"ready": is_ready}, 200 if is_ready else 503)


async def metrics(request: Request) -> Response:
    """`GET /metrics`: numbers for Prometheus."""
    # The import takes some 60 ms, once, and only for a daemon that is scraped.
    context = context_of(request)
    module = await context.compute(request, lambda _: import_module("luad.api.json.metrics"))
    await context.restore.wait()
    numbers = module.Numbers(*context.admission.numbers())
    return ListResponse(module.scrape(context.service, numbers), module.CONTENT_TYPE)
