"""Routes of tokens.

Rule: as in `routes_jobs`. A secret is in the answer that makes it, and never stored.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from luad.api.auth.roles import Role
from luad.api.auth.token_cache import new_secret
from luad.api.context import context_of, json_response
from luad.api.http.api_problems import ApiError, echo
from luad.api.http.request_input import wrong_member
from luad.api.json import views
from luad.api.routes.endpoint import read_body
from luad.store.api_access import Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.core.model import Instant

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
MOST_TOKENS: Final = 1_000
_ROLES: Final = tuple(Role)


async def list_tokens(request: Request) -> Response:
    """`GET /tokens`: all tokens, without their secrets."""
    context = context_of(request)
    found = await context.service.store.access.tokens()
    return json_response({"tokens": [_token_view(each) for each in found]})


async def create_token(request: Request) -> Response:
    """`POST /tokens`: make a token; its secret is only in this answer."""
    context = context_of(request)
    body = await read_body(request)
    name = body.text("name")
    if not _NAME.fullmatch(name):
        wrong = f"{echo(name)} cannot name a token" if name else "`name` is missing"
        raise wrong_member("name", wrong, "letters, digits, and . _ -, at most 63")
    now = context.service.clock.now().wall
    wanted, maker = body.later("expires_in", now), _maker(request)
    expires_at = wanted if maker is None else _earlier(wanted, maker.expires_at)
    if len(await context.service.store.access.tokens()) >= MOST_TOKENS:
        hint = "luad token revoke NAME removes one that is not used any more"
        raise ApiError("conflict", f"there are {MOST_TOKENS} tokens already", hint=hint)
    secret, digest = new_secret()
    author = await context.author(request)
    token = Token(name, body.choice("role", _ROLES, "viewer"), digest, now, author, expires_at)
    await context.service.store.access.add_token(token)
    context.admission.tokens.forget()
    view = {**_token_view(token), "token": secret}
    if maker is not None and expires_at != wanted:
        view["message"] = f"it expires with the token `{maker.name}`, which has made it"
    return json_response(view, 201)


def _maker(request: Request) -> Token | None:
    """Return the token that asks; None over the Unix socket."""
    token: Token | None = request.scope["state"].get("token")
    return token


def _earlier(one: Instant | None, other: Instant | None) -> Instant | None:
    """Return the earlier of two ends; None is no end."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


async def revoke_token(request: Request) -> Response:
    """`DELETE /tokens/{token}`: revoke a token within two seconds; with `made` also those that it made."""
    context = context_of(request)
    body = await read_body(request)
    name: str = request.path_params["token"]
    access = context.service.store.access
    known = await access.tokens()
    _find(known, name)
    made = made_by(name, known)
    gone = [name, *made] if body.flag("made") else [name]
    await access.revoke_tokens(gone)
    context.admission.tokens.forget()
    left = [each for each in made if each not in gone]
    message = f"the token {name} is revoked"
    if len(gone) > 1:
        message += f", and so are those that it made: {', '.join(made)}"
    elif left:
        message += f"; it has made {', '.join(left)}, which stay valid"
    return json_response({"deleted": True, "message": message, "revoked": gone, "made": left})


def made_by(name: str, tokens: Sequence[Token]) -> list[str]:
    """Return the names of the tokens that the token *name* made, and those that they made."""
    by_name = {each.name: each for each in tokens}
    found, waiting = [], [by_name[name]] if name in by_name else []
    while waiting:
        maker = waiting.pop()
        for each in tokens:
            # An older token of the same name may have made what is older than this one.
            is_made = each.created_by == f"token {maker.name}"
            is_new = each.name not in found and each.name != name
            if is_made and is_new and each.created_at >= maker.created_at:
                found.append(each.name)
                waiting.append(each)
    return found


def _find(tokens: Sequence[Token], name: str) -> Token:
    for each in tokens:
        if each.name == name:
            return each
    raise ApiError(
        "not_found", f"the token {echo(name)} does not exist", hint="luad token list shows them"
    )


async def rotate_token(request: Request) -> Response:
    """`POST /tokens/{token}/rotate`: give it another secret; the one before stays valid for `overlap`."""
    context = context_of(request)
    body = await read_body(request)
    now = context.service.clock.now().wall
    overlap_until, wanted = body.later("overlap", now), body.later("expires_in", now)
    access = context.service.store.access
    before = _find(await access.tokens(), request.path_params["token"])
    if before.expires_at is not None and before.expires_at <= now:
        hint = f"luad token revoke {before.name}, then luad token create {before.name}"
        raise ApiError("conflict", f"the token `{before.name}` has expired", hint=hint)
    _check_rotation(_maker(request), before, wanted)
    secret, digest = new_secret()
    after = replace(
        before,
        digest=digest,
        expires_at=before.expires_at if wanted is None else wanted,
        rotated_at=now,
        old_digest=None if overlap_until is None else before.digest,
        old_until=None if overlap_until is None else _earlier(overlap_until, before.expires_at),
    )
    if not await access.rotate_token(before, after):
        raise ApiError("conflict", f"the token `{before.name}` has just changed", hint="try again")
    context.admission.tokens.forget()
    return json_response({**_token_view(after), "token": secret})


def _check_rotation(maker: Token | None, before: Token, wanted: Instant | None) -> None:
    """Refuse over TCP a rotation that would give the calling token more than it has. Raises `ApiError`."""
    if maker is None:
        return
    hint = "luad token rotate on luad's own machine"
    if maker.name == before.name:
        raise ApiError("forbidden", "over TCP a token cannot rotate itself", hint=hint)
    end = before.expires_at
    if wanted is not None and (end is not None and wanted > end):
        detail = f"over TCP a rotation cannot make the token `{before.name}` last longer"
        raise ApiError("forbidden", detail, hint=hint)
    after = end if wanted is None else wanted
    if maker.expires_at is not None and (after is None or after > maker.expires_at):
        detail = (
            f"the token `{before.name}` would last longer than `{maker.name}`, which rotates it"
        )
        raise ApiError("forbidden", detail, hint=hint)


def _token_view(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "role": token.role,
        "created_at": views.instant(token.created_at),
        "created_by": token.created_by,
        "expires_at": views.instant(token.expires_at),
        "last_used_at": views.instant(token.last_used_at),
        "rotated_at": views.instant(token.rotated_at),
        "overlap_until": views.instant(token.old_until),
    }
