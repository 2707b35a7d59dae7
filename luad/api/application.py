"""The ASGI application: the routes of the table, and a problem document for each error.

Rule: each error becomes a problem document; a traceback goes to the log only.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from luad.api import audit_subject
from luad.api.auth.denials import LineRate
from luad.api.auth.roles import Admission, overloaded
from luad.api.context import RUN_HEADER, Context
from luad.api.http import api_problems
from luad.api.http.api_problems import ApiError, close_to, did_you_mean, echo
from luad.api.routes.openapi import PREFIX
from luad.api.routes.rows import Rows
from luad.api.routes.table import TABLE
from luad.api.transport.connection import MAX_HEADER_BYTES
from luad.api.transport.unix_socket import Peer
from luad.core.events import Log
from luad.errors import LuadError
from luad.store.audit_trail import actor_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from luad.api.audit_subject import Subject
    from luad.api.pages import Pages
    from luad.api.service import Service
    from luad.live.restore import RestoreTask

_FOR_BROWSERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_BODYLESS: Final = frozenset({"GET", "HEAD"})
_MOST_PARAMETERS: Final = 64
_BAD_REQUEST: Final = 400
_FORBIDDEN: Final = 403


def build_app(
    service: Service,
    restore: RestoreTask,
    admission: Admission | None = None,
    pages: Pages | None = None,
    base_path: str = "",
) -> Starlette:
    """Return the application for *service*; *admission* checks the requests over TCP.

    *base_path*: the path below which a proxy serves luad.
    """
    admission = admission or Admission(service)
    rows = Rows(TABLE if pages is None else (*TABLE, *pages.rows))
    guard = Middleware(
        Guard, service=service, admission=admission, rows=rows, pages=pages, base_path=base_path
    )
    app = Starlette(
        routes=[route for row in rows.rows for route in row.routes()],
        middleware=[guard],
        exception_handlers={HTTPException: _pass_on},
    )
    app.router.redirect_slashes = False  # a path means one thing
    context = Context(service, restore, admission)
    restore.prepare = context.job_text
    app.state.context = context
    app.state.table = TABLE
    app.state.rows = rows
    return app


async def _pass_on(_: Request, error: Exception) -> Response:
    """Let Starlette's own errors reach the guard instead of becoming plain text."""
    raise error


class Guard:
    """Checks each request before its route, turns errors into problem documents, and writes the audit."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        admission: Admission,
        rows: Rows,
        pages: Pages | None,
        base_path: str = "",
    ) -> None:
        self._app = app
        self._service = service
        self._admission = admission
        self._rows = rows
        self._pages = pages
        self._base_path = base_path
        self._refusals = LineRate(service.clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        status = 0
        state = scope["state"]
        present = audit_subject.begin()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if state.get("is_tcp"):
                    message = {**message, "headers": _closed(message.get("headers", ()))}
            await send(message)

        if self._base_path and state.get("is_tcp"):
            _leave_out(self._base_path, scope)
        try:
            _check(scope)
            await self._admit(scope, state)
            await self._app(scope, receive, noting)
        except (ClientDisconnect, asyncio.CancelledError):
            return  # the client has hung up, or the daemon stops
        except Exception as error:
            if status:  # half an answer is out: it can only be cut off, which uvicorn does
                raise
            await self._refuse(error, scope, receive, noting)
        finally:
            self._admission.leave(state)
        self._note(scope, status, present)

    async def _admit(self, scope: Scope, state: Mapping[str, Any]) -> None:
        """Take a place for a request; raises `ApiError` for one that may not be answered."""
        method, path = scope["method"], scope["path"]
        row = self._rows.find(method, path)
        if not state.get("is_tcp"):
            _take_place(state)
            if row is not None and row.is_page:
                hint = "luad web opens them in a browser"
                raise ApiError("not_found", "pages are not served on the Unix socket", hint=hint)
            return
        is_form = row is not None and row.is_form
        await self._admission.admit(
            scope,
            self._rows.roles_for(method, path),
            takes_cookie=is_form or method in _BODYLESS,
            is_form=is_form,
        )

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._service.new_request_id()
        known = self._translate(error, scope, request_id)
        state = scope["state"]
        page = None
        if self._pages is not None and state.get("is_tcp"):
            page = await self._pages.refusal(known, scope)
        is_redirect = page is not None and page.status_code < _BAD_REQUEST
        is_open = scope["path"] in self._rows.open_paths
        if state.get("is_tcp") and "token" not in state and not (is_open or is_redirect):
            group, client = state.get("group", ""), state.get("client", "")
            self._admission.denials.refuse(group, client, known.code, known.status)
        answer = page or api_problems.response(known, scope["path"][:200], request_id)
        await answer(scope, receive, send)

    def _translate(self, error: Exception, scope: Scope, request_id: str) -> ApiError:
        match error:
            case ApiError():
                return error
            case HTTPException(status_code=404):
                return _no_route(scope, self._rows)
            case HTTPException(status_code=405):
                return _wrong_method(scope, self._rows, (error.headers or {}).get("Allow", ""))
            case LuadError():
                known = api_problems.from_luad_error(error)
                if known.status < 500 or known.status == 503:
                    return known
            case _:
                pass
        fields = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"][:200],
            "error": f"{type(error).__name__}: {error}"[:500],
            "traceback": "".join(traceback.format_exception(error))[-8000:],
        }
        self._service.log(Log("api.failed", fields, "error"))
        return ApiError(
            "internal",
            "luad has failed inside",
            hint=f"search the log of luad for {request_id}",
        )

    def _note(self, scope: Scope, status: int, present: Subject) -> None:
        """Add a change or a refusal to the audit."""
        state = scope["state"]
        if state.get("is_tcp") and "token" not in state:
            return  # no valid token: `_refuse` has counted it
        if scope["method"] not in _BODYLESS or status == _FORBIDDEN:
            self._write_down(scope, status, present)

    def _write_down(self, scope: Scope, status: int, present: Subject) -> None:
        state = scope["state"]
        peer: Peer = state.get("peer", Peer())
        is_tcp = bool(state.get("is_tcp"))
        method, path = state.get("acted_as", (scope["method"], scope["path"]))
        fields: dict[str, Any] = {
            "method": method,
            "path": path[:200],
            "status": status,
            "via": "tcp" if is_tcp else "unix",
            "client": state.get("client", ""),
            "actor": state.get("actor", ""),
            "uid": peer.uid,
            "pid": peer.pid,
            **present.fields(path),
        }
        if run := self._asking_run(scope):
            fields["from_run"] = run
        now = self._service.clock.now().wall
        request_id = self._service.new_request_id()
        self._service.store.access.note(now, request_id, fields, present.job_ids)
        if status < 400:
            self._service.log(Log("api.changed", fields))
        elif (left_out := self._refusals.may_log(actor_of(fields))) is not None:
            more = {"left_out": left_out} if left_out else {}
            self._service.log(Log("api.refused", fields | more))

    def _asking_run(self, scope: Scope) -> str:
        """Return the id of the run whose handler sent the request; empty for other clients."""
        named = dict(scope["headers"]).get(RUN_HEADER.encode(), b"").decode("latin-1")
        run = self._service.open_run(named) if named else None
        return "" if run is None else run.id


def _closed(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return *headers* with those that close an answer to pages of other origins."""
    found = list(headers)
    given = {name for name, _ in found}
    return found + [pair for pair in _FOR_BROWSERS if pair[0] not in given]


def _leave_out(base_path: str, scope: Scope) -> None:
    """Remove *base_path* from the path of a request; a proxy may have done so already."""
    path: str = scope["path"]
    if path == base_path or path.startswith(f"{base_path}/"):
        scope["path"] = path.removeprefix(base_path) or "/"
        scope["raw_path"] = scope["raw_path"].removeprefix(base_path.encode()) or b"/"


def _take_place(state: Mapping[str, Any]) -> None:
    """Take a place for a request over the Unix socket; raises `ApiError` (overloaded)."""
    claim = state.get("claim")
    if claim is not None and not claim():
        raise overloaded()


def _check(scope: Scope) -> None:
    """Refuse a request that no route may get; raises `ApiError`."""
    headers = dict(scope["headers"])
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEADER_BYTES:  # the parser only refuses one that comes in pieces
        raise ApiError(
            "header_too_large",
            f"the request's line and headers are longer than {MAX_HEADER_BYTES} bytes",
            headers={"connection": "close"},
        )
    if b"origin" in headers and not scope["state"].get("is_tcp"):  # a web page, through a proxy
        raise ApiError("forbidden", "requests from web pages are not answered")
    if scope["query_string"].count(b"&") >= _MOST_PARAMETERS:
        raise ApiError("bad_request", f"there are more than {_MOST_PARAMETERS} parameters")
    if b"content-length" in headers and b"transfer-encoding" in headers:
        raise ApiError(  # a proxy in front may see two requests where luad sees one
            "bad_request",
            "a request has either Content-Length or Transfer-Encoding",
            headers={"connection": "close"},
        )
    has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    if has_body and scope["method"] in _BODYLESS:
        raise ApiError(
            "bad_request",
            f"a {scope['method']} request may not have a body",
            headers={"connection": "close"},
        )


def _no_route(scope: Scope, rows: Rows) -> ApiError:
    path: str = scope["path"]
    known = {row.path for row in rows.rows if row.path.startswith(PREFIX)}
    hint = did_you_mean(close_to(path, known, 1))
    if not hint and not path.startswith(PREFIX):
        hint = f"all paths begin with {PREFIX}"
    return ApiError("not_found", f"no such path: {echo(path)}", hint=hint)


def _wrong_method(scope: Scope, rows: Rows, allowed: str) -> ApiError:
    words = allowed or ", ".join(sorted({row.method for row in rows.at(scope["path"])}))
    return ApiError(
        "method_not_allowed",
        f"{echo(scope['path'])} is not for {scope['method'][:20]}",
        hint=f"use {words}" if words else "",
        headers={"allow": words},
    )
