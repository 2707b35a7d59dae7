"""Routes that let a browser sign in, and that show and end its session.

Rule: as in `routes_jobs`. Only clients of the Unix socket may ask for a code. A code is in the answer that makes it;
luad stores its digest. The id of a session is a part of the digest of its secret, and nobody can sign in with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from luad.api.auth.roles import Role
from luad.api.auth.sessions import CODE_MS, LONGEST_MS
from luad.api.context import context_of, json_response
from luad.api.http.api_problems import ApiError, echo
from luad.api.http.request_input import wrong_member
from luad.api.json import views
from luad.api.routes.endpoint import read_body
from luad.core.model import HOUR

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from luad.api.auth.sessions import SignedIn

ID_LENGTH: Final = 16
PLAIN_HOST: Final = "127.0.0.1"
"""The host for browsers that cannot resolve luad's own name: an hour, as viewer."""


async def make_code(request: Request) -> Response:
    """`POST /sign-in-codes`: make a link that signs one browser in, once, within a minute."""
    context = context_of(request)
    body = await read_body(request)
    place = context.admission.place
    if place is None:
        raise ApiError(
            "conflict",
            "luad serves no pages: neither `web` nor `listen` is set",
            hint="set `web: {}` in luad.yaml and restart luad, or start luad serve --web; the pages are then at 127.0.0.1:5823",
        )
    role = body.choice("role", tuple(Role), Role.OPERATOR)
    host = body.text("host") or place.name
    lifetime_ms = LONGEST_MS
    if host != place.name:
        if place.is_secure or host != PLAIN_HOST:
            hint = f"leave it out, and the link is for {place.name}"
            raise wrong_member("host", f"{echo(host)} is not the host of luad's pages", hint)
        role, lifetime_ms = Role.VIEWER, HOUR
    account = await context.author(request)
    code = await context.admission.sessions.make_code(account, role, host, lifetime_ms)
    base = place.url if host == place.name else f"http://{host}:{place.port}"
    now = context.service.clock.now().wall
    view = {
        "url": f"{base}/login?{urlencode({'code': code})}",
        "role": role,
        "account": account,
        "expires_at": views.instant(now + CODE_MS),
        "session_seconds": views.seconds(lifetime_ms),
    }
    return json_response(view, 201)


async def list_sessions(request: Request) -> Response:
    """`GET /sessions`: the browsers that are signed in."""
    context = context_of(request)
    own = request.scope["state"].get("session")
    found = await context.admission.sessions.known()
    return json_response(
        {"sessions": [_session_view(each, is_own=own == each.session) for each in found]}
    )


async def end_session(request: Request) -> Response:
    """`DELETE /sessions/{session}`: sign a browser out."""
    context = context_of(request)
    wanted = request.path_params["session"]
    sessions = context.admission.sessions
    for each in await sessions.known():
        if each.session.digest[:ID_LENGTH] == wanted:
            await sessions.end(each.session, everywhere=False)
            message = f"a browser of {each.session.account} is signed out"
            return json_response({"deleted": True, "message": message})
    hint = "GET /v1/sessions shows those that are signed in"
    raise ApiError("not_found", f"no session has the id {echo(wanted)}", hint=hint)


def _session_view(found: SignedIn, *, is_own: bool) -> dict[str, object]:
    session = found.session
    return {
        "id": session.digest[:ID_LENGTH],
        "account": session.account,
        "role": found.token.role,
        "host": session.host,
        "agent": session.agent,
        "created_at": views.instant(session.created_at),
        "last_used_at": views.instant(session.seen_at),
        "expires_at": views.instant(session.expires_at),
        "is_own": is_own,
    }
