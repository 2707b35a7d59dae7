"""The sign-in page: a link of `luad web` or a token begins a session.

Rule: a wrong, a used and an expired code have the same answer. Only a POST spends a code, so a preview of the
link spends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse, Response

from luad.api.auth.sessions import LONGEST_MS
from luad.api.context import context_of
from luad.api.http.api_problems import ApiError
from luad.core.model import SECOND
from luad.web.render import HEADERS, page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from luad.api.auth.origins import Target
    from luad.api.context import Context

MAX_FORM_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 2_000
_NO_REFERRER: Final = {"referrer-policy": "strict-origin"}
"""The address of the page holds a code. `no-referrer` would hide it too, but then browsers send the form
with the origin `null`, which luad refuses."""


async def read_form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form. Raises `ApiError` (too_large)."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_FORM_BYTES:
            raise ApiError("too_large", f"a form may have {MAX_FORM_BYTES} bytes")
    try:
        text = data.decode("utf-8", "replace")
        return parse_qs(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise ApiError("too_large", f"a form may have {MAX_FIELDS} fields") from error


async def show(request: Request) -> Response:
    """`GET /login`: the page, with a button for the code of a link."""
    context = context_of(request)
    code = request.query_params.get("code", "")
    found = await context.admission.sessions.peek_code(code) if code else None
    target: Target = request.scope["state"]["target"]
    if found is not None and found.host != target.name:
        found = None
    made_s = 0
    if found is not None:
        made_s = (context.service.clock.now().wall - found.created_at) // SECOND
    values = {
        "code": code if found is not None else "",
        "has_code": bool(code),
        "account": found.account if found is not None else "",
        "role": found.role if found is not None else "",
        "made_s": made_s,
        "next": _local(request.query_params.get("next", "")),
        "host": target.name,
        "takes_cookie": _takes_token(context, target),
        "place": context.admission.place,
        "state": "calm",
    }
    return await page("login.html", values, headers=_NO_REFERRER)


async def begin(request: Request) -> Response:
    """`POST /login`: begin a session. Raises `ApiError` (unauthenticated, rate_limited)."""
    context = context_of(request)
    form = await read_form(request)
    target: Target = request.scope["state"]["target"]
    agent = request.headers.get("user-agent", "")
    secret = await _by_code(context, form, target, agent) or await _by_token(
        context, form, target, agent
    )
    if secret is None:
        group = request.scope["state"].get("group", "")
        if context.admission.denials.note_wrong_token(group):
            raise ApiError(
                "rate_limited",
                "too many wrong codes and tokens came from this address",
                hint="a valid one is answered all the same; wrong ones again in a minute",
                headers={"retry-after": "60"},
            )
        raise ApiError(
            "unauthenticated",
            "this code or token does not sign anybody in: it is wrong, used or expired",
            hint="luad web on luad's machine makes a new link",
        )
    answer = RedirectResponse(_local(_first(form, "next")), 303, {**HEADERS, **_NO_REFERRER})
    answer.set_cookie(
        target.cookie,
        secret,
        max_age=LONGEST_MS // SECOND,
        path="/",
        secure=target.is_secure,
        httponly=True,
        samesite="lax",
    )
    return answer


async def sign_out(request: Request) -> Response:
    """`POST /act/sign-out`: end this session, or with `everywhere` all sessions of the account."""
    context = context_of(request)
    form = await read_form(request)
    session = request.scope["state"].get("session")
    if session is not None:
        await context.admission.sessions.end(session, everywhere=bool(_first(form, "everywhere")))
    target: Target = request.scope["state"]["target"]
    answer = RedirectResponse("/login", 303, HEADERS)
    answer.delete_cookie(target.cookie, path="/", secure=target.is_secure, httponly=True)
    return answer


async def _by_code(
    context: Context, form: Mapping[str, list[str]], target: Target, agent: str
) -> str | None:
    sessions = context.admission.sessions
    code = _first(form, "code")
    found = await sessions.take_code(code) if code else None
    if found is None or found.host != target.name:
        return None
    return await sessions.begin(
        found.account, found.role, found.host, lifetime_ms=found.lifetime_ms, agent=agent
    )


async def _by_token(
    context: Context, form: Mapping[str, list[str]], target: Target, agent: str
) -> str | None:
    admission = context.admission
    found = await admission.tokens.find(_first(form, "token").strip())
    if found is None or not _takes_token(context, target):
        return None
    digest, token = found
    return await admission.sessions.begin(
        token.name, token.role, target.name, token_digest=digest, agent=agent
    )


def _takes_token(context: Context, target: Target) -> bool:
    """Return whether a token begins a session here: on plain loopback only at luad's own name."""
    place = context.admission.place
    return target.is_secure or (place is not None and target.name == place.name)


def _local(path: str) -> str:
    """Return *path* when it is one of this server's, else the overview."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if is_local and "\\" not in path and path.isprintable() else "/"


def _first(form: Mapping[str, list[str]], name: str) -> str:
    return form.get(name, [""])[0]
