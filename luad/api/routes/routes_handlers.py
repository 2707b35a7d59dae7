"""The route of one handler: the JSON Schema of its parameters.

Rule: as in `routes_jobs`. A client cannot choose which code luad imports: the handler ships with luad, is
allowed for jobs made at run time, or belongs to a job that the client names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from luad.api.context import context_of, json_response
from luad.api.handler_rules import keep_handler
from luad.api.http.api_problems import ApiError
from luad.api.routes.endpoint import query_of
from luad.runner.import_check import HandlerInfo, ImportProblem
from luad.runner.loading import Fault

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.context import Context
    from luad.runner.import_check import Checked

_SHIPPED: Final = "luad.handlers."
_KEPT_MS: Final = 30_000


async def show_handler(request: Request) -> Response:
    """`GET /handlers/{handler}`: whether it can be called, and the schema of its jobs' metadata."""
    context, handler = context_of(request), request.path_params["handler"]
    job = query_of(request).text("job")
    state = await context.look_up(job) if job else None
    if not handler.startswith(_SHIPPED) and (state is None or state.job.handler != handler):
        keep_handler(context.service.dynamic, handler)
    found = await context.kept.get(("handler", handler), _look(context, handler), _KEPT_MS)
    return json_response(found)


async def _look(context: Context, handler: str) -> dict[str, Any]:
    found = await context.service.handlers.look(handler)
    if isinstance(found, ImportProblem) and found.code == Fault.NO_MODULE.value:
        raise ApiError("not_found", found.message, hint=found.help)
    return {"handler": handler, **_view(found)}


def _view(found: Checked) -> dict[str, Any]:
    if isinstance(found, HandlerInfo):
        problem = None
        place, params = found.place, found.params
    else:
        problem = {"code": found.code, "message": found.message, "help": found.help}
        place, params = found.place, None
    return {"place": place, "params": params, "problem": problem}
