"""The form that gives a filter a name, or forgets it; only this browser keeps it.

Rule: it changes nothing in luad, so every role may send it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from luad.web.render import HEADERS
from luad.web.saved_views import COOKIE, change, read, write
from luad.web.sign_in import read_form

if TYPE_CHECKING:
    from starlette.requests import Request

_YEAR_S = 365 * 86_400


async def keep(request: Request) -> Response:
    """`POST /act/view`: keep the filter of the page in `back` under a name, or forget that name."""
    form = await read_form(request)
    back = urlsplit(form.get("back", [""])[0])
    name = form.get("name", [""])[0]
    query = None if form.get("forget") else back.query
    views = change(read(request.cookies.get(COOKIE, "")), back.path, name, query)
    path = back.path if back.path.startswith("/") and not back.path.startswith("//") else "/"
    answer = RedirectResponse(f"{path}?{back.query}" if back.query else path, 303, HEADERS)
    target = request.scope["state"]["target"]
    answer.set_cookie(
        COOKIE, write(views), max_age=_YEAR_S, path="/", secure=target.is_secure, httponly=True,
        samesite="lax",
    )  # fmt: skip
    return answer
