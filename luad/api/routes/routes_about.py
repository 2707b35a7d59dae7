"""Routes about the API itself: its document, for programs and for people, and a page for each problem.

Rule: pure text; nothing is asked of anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from luad.api.context import context_of
from luad.api.http.api_problems import TABLE, ApiError, echo
from luad.api.routes.docs_page import POLICY, page
from luad.api.routes.openapi import document
from luad.json_text import encode

if TYPE_CHECKING:
    from starlette.requests import Request


async def show_document(request: Request) -> Response:
    """`GET /openapi.json`: what can be asked for, and how."""
    context = context_of(request)
    text = await context.compute(request, lambda _: encode(document(request.app.state.table)))
    return Response(text, media_type="application/json")


async def show_page(request: Request) -> Response:
    """`GET /docs`: the same for people."""
    context = context_of(request)
    text = await context.compute(request, lambda _: page(request.app.state.table))
    return HTMLResponse(text, headers={"content-security-policy": POLICY})


async def show_problem(request: Request) -> Response:
    """`GET /problems/{code}`: what a code means."""
    code = request.path_params["code"].replace("-", "_")
    if code not in TABLE:
        raise ApiError("not_found", f"no problem is called {echo(code)}")
    status, title = TABLE[code]
    text = (
        f"{title}\n\ncode    {code}\nstatus  {status}\n\n"
        "`detail` says what it is about, `hint` what to do instead, and `errors`, where there are any,\n"
        "each single mistake with its place.\n"
    )
    return PlainTextResponse(text)
