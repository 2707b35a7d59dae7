"""A schedule in words, before anybody makes a job of it.

Room rule: as in `routes_jobs`; nothing is remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from luad.api import views
from luad.api.context import context_of, json_response
from luad.api.params import Body, read_object, wrong_member
from luad.api.problems import ApiError
from luad.config.bodies import job_from_body
from luad.core.cron import notes
from luad.core.model import Cron
from luad.core.schedule import explain_schedule, next_occurrence
from luad.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

_KEYS: Final = ("schedule", "expression", "timezone", "n")
_MOST: Final = 100


async def explain(request: Request) -> Response:
    """`POST /explain`: what a schedule means, and its next times."""
    context = context_of(request)
    values = await read_object(request)
    body = Body(values, _KEYS)
    schedule = values.get("schedule")
    if ("schedule" in values) == ("expression" in values):
        raise ApiError("validation", "say either `schedule` or `expression`")
    if schedule is None:
        schedule = {"type": "cron", "expression": body.text("expression")}
        if body.text("timezone"):
            schedule["timezone"] = body.text("timezone")
    count = values.get("n", 5)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST:
        raise wrong_member("n", f"this is a number from 1 to {_MOST}")
    document = {"name": "explained", "handler": "a:b", "schedule": schedule}
    try:
        job = job_from_body(document, timezone=context.service.dynamic.timezone)
    except ValidationError as error:
        errors = [_placed(each, "expression" in values) for each in error.errors]
        return json_response({"text": None, "next": [], "notes": [], "problems": errors})
    now = context.service.clock.now().wall
    found: list[dict[str, Any]] = []
    at = next_occurrence(job.schedule, now, now)
    while at is not None and len(found) < count:
        found.append({"at": views.instant(at)})
        at = next_occurrence(job.schedule, now, at)
    rule = job.schedule
    return json_response(
        {
            "text": explain_schedule(rule),
            "timezone": views.timezone_of(rule),
            "next": found,
            "notes": notes(rule.expression) if isinstance(rule, Cron) else [],
            "problems": [],
        }
    )


def _placed(error: Mapping[str, str], is_short: bool) -> Mapping[str, str]:
    """Return *error* with the pointer into the body as it was sent."""
    if not is_short:
        return error
    return {**error, "pointer": error["pointer"].replace("#/schedule/", "#/", 1)}


ROUTES: Final = (Route("/explain", explain, methods=["POST"]),)
