"""A schedule in words, and the moment of a phrase, before a client makes a job of it.

Rule: as in `routes_jobs`; nothing is remembered. It is computed beside the loop, within a budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from luad.api.context import context_of
from luad.api.http.api_problems import ApiError, echo
from luad.api.http.request_input import read_object, wrong_member
from luad.api.http.work_pool import too_long
from luad.api.json import views
from luad.api.routes.endpoint import body_of
from luad.config.jobs.api_bodies import job_from_body
from luad.core.cron.search import notes
from luad.core.cron.zones import ZoneError, load_zone
from luad.core.model import Cron
from luad.core.phrase import PhraseError, read_phrase
from luad.core.schedule import explain_schedule, next_occurrence
from luad.errors import ValidationError
from luad.json_text import encode
from luad.wire import format_in_zone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from luad.api.context import Context
    from luad.api.http.request_input import Body
    from luad.api.http.work_pool import Budget
    from luad.core.model import Instant

_MOST: Final = 100


async def explain(request: Request) -> Response:
    """`POST /explain`: what a schedule means, and its next times."""
    context = context_of(request)
    values = await read_object(request)
    body = body_of(request, values)
    schedule = values.get("schedule")
    if sum(key in values for key in ("schedule", "expression", "phrase")) != 1:
        raise ApiError("validation", "say one of `schedule`, `expression` and `phrase`")
    if "phrase" in values:
        if "n" in values:
            raise wrong_member("n", "a phrase is one moment", "leave it out")
        return await _explain_phrase(request, context, body)
    if "user" in values:
        raise wrong_member("user", "it goes with `phrase` alone", "leave it out")
    if schedule is None:
        schedule = {"type": "cron", "expression": body.text("expression")}
        if body.text("timezone"):
            schedule["timezone"] = body.text("timezone")
    count = values.get("n", 5)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST:
        raise wrong_member("n", f"this is a number from 1 to {_MOST}")
    document = {"name": "explained", "handler": "a:b", "schedule": schedule}
    now = context.service.clock.now().wall
    zone = context.service.dynamic.timezone
    is_short = "expression" in values

    def work(budget: Budget) -> bytes:
        return encode(_explained(document, zone, now, count, budget, is_short=is_short))

    answer = await context.compute(request, work)
    return Response(answer, media_type="application/json")


async def _explain_phrase(request: Request, context: Context, body: Body) -> Response:
    """Answer with the moment that a phrase names: in `timezone`, else the zone of `user`, else luad's."""
    phrase, name, user = body.text("phrase"), body.text("timezone"), body.text("user")
    found = context.service.users.get(user) if user else None
    if user and found is None:
        hint = f"add users.d/{user}.yaml, or luad users add {user}"
        raise wrong_member("user", f"the user {echo(user)} does not exist", hint)
    if not name:
        name = (found.timezone if found else None) or context.service.dynamic.timezone
    now = context.service.clock.now().wall
    answer = await context.compute(request, lambda _: encode(_moment_of(phrase, name, now)))
    return Response(answer, media_type="application/json")


def _moment_of(phrase: str, zone_name: str, now: Instant) -> dict[str, object]:
    """Return the answer for a phrase; a phrase has at most `phrase.LONGEST` characters."""
    answer: dict[str, object] = {"text": None, "timezone": zone_name, "next": [], "notes": []}
    try:
        zone = load_zone(zone_name)
        at, text = read_phrase(phrase, zone, now)
    except ZoneError as error:
        return answer | {"problems": [_problem("#/timezone", str(error), "")]}
    except PhraseError as error:
        return answer | {"problems": [_problem("#/phrase", error.message, error.nearest)]}
    found = {"text": text, "at": format_in_zone(at, zone)}
    return answer | found | {"next": [{"at": found["at"]}], "problems": []}


def _problem(pointer: str, detail: str, hint: str) -> dict[str, str]:
    problem = {"pointer": pointer, "code": "value", "detail": detail}
    return problem | {"hint": hint} if hint else problem


def _explained(
    document: dict[str, object],
    zone: str,
    now: Instant,
    count: int,
    budget: Budget,
    *,
    is_short: bool,
) -> dict[str, object]:
    """Return the answer. Raises `ApiError` when the times cost more than *budget*."""
    try:
        rule = job_from_body(document, timezone=zone).schedule
    except ValidationError as error:
        errors = [_placed(each, is_short) for each in error.errors]
        return {"text": None, "next": [], "notes": [], "problems": errors}
    found: list[dict[str, object]] = []
    at = next_occurrence(rule, now, now)
    while at is not None and len(found) < count:
        found.append({"at": views.instant(at)})
        if budget.is_over() and len(found) < count:
            raise too_long(f'ask for fewer times: "n": {max(1, len(found) // 2)}')
        at = next_occurrence(rule, now, at)
    return {
        "text": explain_schedule(rule),
        "timezone": views.timezone_of(rule),
        "next": found,
        "notes": notes(rule.expression) if isinstance(rule, Cron) else [],
        "problems": [],
    }


def _placed(error: Mapping[str, str], is_short: bool) -> Mapping[str, str]:
    """Return *error* with the pointer into the body as it was sent."""
    if not is_short:
        return error
    return {**error, "pointer": error["pointer"].replace("#/schedule/", "#/", 1)}
