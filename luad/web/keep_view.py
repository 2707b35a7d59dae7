"""The forms of what only this browser keeps: filters under names, and the zone of times.

Rule: they change nothing in luad, so every role may send them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import RedirectResponse, Response

from luad.web.frame import ZONE_COOKIE
from luad.web.many import local
from luad.web.render import HEADERS
from luad.web.saved_views import COOKIE, change, read, write
from luad.web.sign_in import read_form
from luad.web.times import zone_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_YEAR_S = 365 * 86_400


async def keep(request: Request) -> Response:
    """`POST /act/view`: keep the filter of the page in `back` under a name, or forget that name."""
    form = await read_form(request)
    back = urlsplit(form.get("back", [""])[0])
    name = form.get("name", [""])[0]
    query = None if form.get("forget") else back.query
    views = change(read(request.cookies.get(COOKIE, "")), back.path, name, query)
    return _back(request, form, COOKIE, write(views), is_for_scripts=False)


async def keep_zone(request: Request) -> Response:
    """`POST /act/zone`: keep the zone in which this browser shows times."""
    form = await read_form(request)
    zone = zone_of(form.get("zone", [""])[0], "UTC")
    back = urlsplit(form.get("back", ["/"])[0])
    query = urlencode([pair for pair in parse_qsl(back.query) if pair[0] != "zone"])
    form["back"] = [f"{back.path}?{query}" if query else back.path]
    return _back(request, form, ZONE_COOKIE, zone, is_for_scripts=True)


def _back(
    request: Request, form: Mapping[str, list[str]], name: str, value: str, *, is_for_scripts: bool
) -> Response:
    """Return to the page of the form, with a cookie. *is_for_scripts*: a script of the pages reads it."""
    answer = RedirectResponse(local(form.get("back", ["/"])[0]), 303, HEADERS)
    target = request.scope["state"]["target"]
    answer.set_cookie(
        name, value, max_age=_YEAR_S, path="/", secure=target.is_secure, httponly=not is_for_scripts,
        samesite="lax",
    )  # fmt: skip
    return answer
