"""A row of the route table, and the checks that each request passes before its handler.

Rule: a row refuses whatever it does not name: without roles it refuses all tokens, without a remote
rule all requests over TCP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from luad.api.auth.remote import is_remote
from luad.api.http.api_problems import ApiError
from luad.api.http.request_input import Body, Query, read_object
from luad.api.json.body_schemas import BODIES

if TYPE_CHECKING:
    from luad.api.auth.remote import RemoteRule
    from luad.api.auth.roles import Role
    from luad.api.http.parameters import Parameter

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

JSON: Final = ("application/json",)


@dataclass(frozen=True, eq=False, slots=True)
class Endpoint:
    """One method of one path. *query*: the parameters, None for a path that ignores them all; *body*
    and *answer*: names of schemas; *alias*: the same path without `/v1`; *is_public*: no token is needed;
    *is_page*: made for a browser, so not part of the OpenAPI document; *is_form*: takes the cookie of a
    session although it changes something, and only from a page of the same origin.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    roles: frozenset[Role] = frozenset()
    remote: RemoteRule | None = None
    query: tuple[Parameter, ...] | None = None
    body: str = ""
    answer: str = "Object"
    headers: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (200,)
    media: tuple[str, ...] = JSON
    takes_merge_patch: bool = False
    is_public: bool = False
    alias: str = ""
    is_page: bool = False
    is_form: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the path, and the alias if there is one."""
        return (self.path, self.alias) if self.alias else (self.path,)

    def routes(self) -> list[Route]:
        """Return the routes for Starlette."""
        return [Route(path, self.answer_request, methods=[self.method]) for path in self.paths]

    async def answer_request(self, request: Request) -> Response:
        """Check *request* by this row, and return what the handler answers. Raises `ApiError`."""
        state = request.scope["state"]
        state["endpoint"] = self
        if is_remote(request):
            if self.remote is None or self.remote.is_local:
                raise ApiError("forbidden", "this path is not answered over TCP")
            state["check_body"], state["check_job"] = self.remote.body, self.remote.job
        if self.query is not None:
            state["query"] = Query(request.query_params.multi_items(), self.query)
        return await self.handler(request)


def query_of(request: Request) -> Query:
    """Return the query of a request, whose names the row has checked."""
    query: Query = request.scope["state"]["query"]
    return query


def body_of(request: Request, values: dict[str, object]) -> Body:
    """Return *values* as the body of a request. Raises `ApiError` for a key that its schema lacks."""
    endpoint: Endpoint = request.scope["state"]["endpoint"]
    return Body(values, tuple(BODIES[endpoint.body]["properties"]))


async def read_body(request: Request) -> Body:
    """Read the JSON object of a request; its keys are those of the schema of its row."""
    return body_of(request, await read_object(request))
