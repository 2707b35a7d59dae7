"""The route that says who asks: the name, the role and the connection of a client.

Rule: as in `routes_jobs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from luad.api.auth.remote import is_remote
from luad.api.auth.roles import Role
from luad.api.context import context_of, json_response, peer_of
from luad.api.json import views

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.core.model import Instant
    from luad.store.api_access import Token


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request. *uid*: of a process at the Unix socket; *token* and *expires_at*: over TCP."""

    name: str
    role: Role
    is_remote: bool
    uid: int | None = None
    token: str | None = None
    expires_at: Instant | None = None


async def caller_of(request: Request) -> Caller:
    """Return the client of *request*. A client of the Unix socket is an admin."""
    name = await context_of(request).author(request)
    token: Token | None = request.scope["state"].get("token")
    if token is None:
        uid = peer_of(request).uid
        return Caller(name, Role.ADMIN, is_remote(request), uid if uid >= 0 else None)
    expires_at = token.until(request.scope["state"].get("digest", ""))
    return Caller(name, Role(token.role), is_remote=True, token=token.name, expires_at=expires_at)


async def show_caller(request: Request) -> Response:
    """`GET /whoami`: the name and the role of the client, and the time of luad's clock."""
    caller = await caller_of(request)
    return json_response(
        {
            "name": caller.name,
            "role": caller.role.value,
            "via": "tcp" if caller.is_remote else "unix",
            "uid": caller.uid,
            "token": caller.token,
            "expires_at": views.instant(caller.expires_at),
            "server_time": views.instant(context_of(request).service.clock.now().wall),
        }
    )
