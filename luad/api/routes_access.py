"""Routes of tokens and of the audit trail.

Room rule: as in `routes_jobs`. A secret is shown once, in the answer that makes it, and kept nowhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from luad.api import views
from luad.api.access import Role
from luad.api.context import context_of, json_response, link_header
from luad.api.keyring import new_secret
from luad.api.paging import make_cursor, read_cursor
from luad.api.params import Query, read_body, read_object, wrong_member, wrong_parameter
from luad.api.problems import ApiError, echo
from luad.store.access import Token

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ROLES: Final = tuple(role.name.lower() for role in Role)


async def list_tokens(request: Request) -> Response:
    """`GET /tokens`: who may ask over TCP."""
    context = context_of(request)
    Query(request, ())
    found = await context.service.store.access.tokens()
    return json_response({"tokens": [_token_view(each) for each in found]})


async def create_token(request: Request) -> Response:
    """`POST /tokens`: make a way in; its secret is in this answer, and nowhere else."""
    context = context_of(request)
    body = await read_body(request, ("name", "role", "expires_in"))
    name = body.text("name")
    if not _NAME.fullmatch(name):
        wrong = f"{echo(name)} cannot name a token" if name else "`name` is missing"
        raise wrong_member("name", wrong, "letters, digits, and . _ -, at most 63")
    now = context.service.clock.now().wall
    secret, digest = new_secret()
    token = Token(
        name,
        body.choice("role", _ROLES, "viewer"),
        digest,
        now,
        await context.author(request),
        body.later("expires_in", now),
    )
    await context.service.store.access.add_token(token)
    return json_response({**_token_view(token), "token": secret}, 201)


async def revoke_token(request: Request) -> Response:
    """`DELETE /tokens/{token}`: shut a way in, within two seconds."""
    context = context_of(request)
    await read_object(request)
    name: str = request.path_params["token"]
    if not await context.service.store.access.revoke_token(name):
        hint = "luad token list shows them"
        raise ApiError("not_found", f"there is no token {echo(name)}", hint=hint)
    return json_response({"deleted": True, "message": f"the token {name} is revoked"})


def _token_view(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role,
        "created_at": views.instant(token.created_at),
        "created_by": token.created_by,
        "expires_at": views.instant(token.expires_at),
    }


async def list_audit(request: Request) -> Response:
    """`GET /audit`: who has asked to change something, newest first."""
    context = context_of(request)
    query = Query(request, ("limit", "cursor"))
    limit, before = query.limit(), None
    if (text := query.text("cursor")) is not None:
        match read_cursor(text):
            case (int(at), str(row_id)):
                before = (at, row_id)
            case _:
                raise wrong_parameter("cursor", "this is no cursor", "take it from `next_cursor`")
    rows = await context.service.store.access.audit(limit=limit + 1, before=before)
    page = rows[:limit]
    cursor = make_cursor((page[-1][0], page[-1][1])) if len(rows) > limit else None
    entries = [
        {"at": views.instant(at), "request_id": row_id, **entry} for at, row_id, entry in page
    ]
    body = {"entries": entries, "next_cursor": cursor}
    return json_response(body, headers=link_header(request, cursor))


ROUTES: Final = (
    Route("/tokens", list_tokens),
    Route("/tokens", create_token, methods=["POST"]),
    Route("/tokens/{token}", revoke_token, methods=["DELETE"]),
    Route("/audit", list_audit),
)
