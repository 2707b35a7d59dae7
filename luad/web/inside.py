"""Asks the routes of the API from inside, with the rights of the request that asks.

Rule: the row of a route decides, as for a client: its roles, its remote rule, its parameters, its body.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.routing import Match

from luad.api.http.api_problems import ApiError
from luad.api.http.streams import StreamResponse
from luad.api.routes.table import TABLE
from luad.json_text import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Message

    from luad.api.routes.endpoint import Endpoint

Json: TypeAlias = Any
"""A JSON value: its shape is the answer schema of the route that was asked."""

_ROUTES: Final = [(route, row) for row in TABLE for route in row.routes()]
_KEPT: Final = frozenset({b"host", b"user-agent", b"luad-run"})


def path_of(*parts: str) -> str:
    """Return a path below `/v1`; each part is escaped."""
    return "/v1/" + "/".join(quote(part, safe=":") for part in parts)


async def get(request: Request, path: str, /, **query: object) -> Json:
    """Return the answer to a GET. A parameter that is None or empty is left out. Raises `ApiError`."""
    return json.loads(await _ask(request, "GET", path, _query(query)))


async def get_text(request: Request, path: str, /, **query: object) -> str:
    """Return the answer to a GET as it is. Raises `ApiError`."""
    return (await _ask(request, "GET", path, _query(query))).decode("utf-8", "replace")


async def send(
    request: Request, method: str, path: str, body: Mapping[str, object], key: str = ""
) -> Json:
    """Send a change, and return the answer. *key*: makes a repeated request safe. Raises `ApiError`.

    The audit trail names the route of the API, not the form of the page.
    """
    request.scope["state"]["acted_as"] = (method, path)
    return json.loads(await _ask(request, method, path, "", encode(dict(body)), key) or b"null")


async def _ask(
    request: Request, method: str, path: str, query: str, body: bytes | None = None, key: str = ""
) -> bytes:
    row, inner = _match(request, method, path)
    state = dict(request.scope["state"])
    token = state.get("token")
    if token is None or token.role not in row.roles:
        raise _may_not(row)
    headers = [pair for pair in request.scope["headers"] if pair[0] in _KEPT]
    if body is not None:
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", str(len(body)).encode()))
    if key:
        headers.append((b"idempotency-key", key.encode()))
    inner |= {"headers": headers, "state": state, "query_string": query.encode()}
    answer = await row.answer_request(Request(inner, _receive(body or b"")))
    if isinstance(answer, StreamResponse):
        async with aclosing(answer.pieces) as pieces:
            found = []
            async for piece in pieces:
                found.append(piece)
                await asyncio.sleep(0)  # the loop does other work between two pieces
            return b"".join(found)
    return bytes(answer.body)


def _query(query: Mapping[str, object]) -> str:
    return urlencode({key: _text(value) for key, value in query.items() if _is_given(value)})


def _match(request: Request, method: str, path: str) -> tuple[Endpoint, dict[str, Any]]:
    scope = {**request.scope, "method": method, "path": path, "raw_path": path.encode()}
    for route, row in _ROUTES:
        match, found = route.matches(scope)
        if match is Match.FULL and row.method == method:
            return row, scope | dict(found)
    raise ApiError("not_found", f"the API has no {method} {path[:200]}")


def _may_not(row: Endpoint) -> ApiError:
    return ApiError(
        "forbidden",
        f"{row.summary}: your session may not do this",
        hint="luad web --role operator, or --role admin, makes another link",
    )


def _receive(body: bytes) -> Any:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _is_given(value: object) -> bool:
    return value is not None and value != ""


def _text(value: object) -> str:
    return ("1" if value else "0") if isinstance(value, bool) else str(value)
