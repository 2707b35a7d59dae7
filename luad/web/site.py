"""The pages of one server: their rows, and what a browser sees when a request fails.

Rule: a row says which role a page or a form needs; a row without a remote rule is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from luad.api.auth.remote import ALLOWED
from luad.api.auth.roles import OPERATORS, VIEWERS
from luad.api.http.api_problems import TABLE
from luad.api.routes.endpoint import Endpoint
from luad.web import actions, keep_view, sign_in
from luad.web.base_path import below
from luad.web.pages import (
    activity,
    help_page,
    job,
    jobs,
    overview,
    run,
    runs,
    schedule,
    system,
    users,
)
from luad.web.render import HEADERS, asset, page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import Scope

    from luad.api.http.api_problems import ApiError
    from luad.api.routes.endpoint import Handler

_HTML: Final = ("text/html",)
_API: Final = ("/v1/", "/metrics", "/healthz", "/readyz")


def _page(path: str, summary: str, handler: Handler) -> Endpoint:
    return Endpoint("GET", path, summary, handler, VIEWERS, ALLOWED, media=_HTML, is_page=True)


def _form(path: str, summary: str, handler: Handler) -> Endpoint:
    return Endpoint(
        "POST", path, summary, handler, OPERATORS, ALLOWED, media=_HTML, is_page=True, is_form=True
    )


def _open(
    method: str, path: str, summary: str, handler: Handler, *, is_form: bool = False
) -> Endpoint:
    return Endpoint(
        method,
        path,
        summary,
        handler,
        VIEWERS,
        ALLOWED,
        media=_HTML,
        is_page=True,
        is_public=True,
        is_form=is_form,
    )


async def _asset(request: Request) -> Response:
    """`GET /static/{name}`: a file that pages load."""
    found = asset(request.path_params["name"])
    return found or Response("no such file", 404, HEADERS, media_type="text/plain")


ROWS: Final = (
    _page("/", "Overview", overview.show),
    _page("/jobs", "Jobs", jobs.show),
    _page("/jobs/{job}", "One job", job.show),
    _page("/jobs/{job}/run", "Run a job with other metadata", job.show_form),
    _page("/runs", "Runs", runs.show),
    _page("/runs/{run}", "One run", run.show),
    _page("/schedule", "Schedule", schedule.show),
    _page("/users", "Users", users.show),
    _page("/users/{user}", "One user", users.show_one),
    _page("/activity", "Activity", activity.show),
    _page("/system", "System", system.show),
    _page("/help", "Help", help_page.show),
    _form("/act/run", "Run a job", actions.run),
    _form("/act/pause", "Pause a job", actions.pause),
    _form("/act/resume", "Resume a job", actions.resume),
    _form("/act/cancel", "Stop a run", actions.cancel),
    _form("/act/retry", "Run an occurrence again", actions.retry),
    _form("/act/acknowledge", "Say that trouble is known", actions.acknowledge),
    _form("/act/resend", "Send a message again", actions.resend),
    _form("/act/test", "Send a test to a channel of a user", actions.send_test),
    _form("/act/end-session", "Sign a browser out", actions.end_session),
    _form("/act/reload", "Read the files", actions.reload),
    Endpoint(
        "POST", "/act/view", "Keep a filter under a name", keep_view.keep, VIEWERS, ALLOWED,
        media=_HTML, is_page=True, is_form=True,
    ),
    Endpoint(
        "POST", "/act/zone", "Choose the zone of times", keep_view.keep_zone, VIEWERS, ALLOWED,
        media=_HTML, is_page=True, is_form=True,
    ),
    Endpoint(
        "POST", "/act/sign-out", "End the session", sign_in.sign_out, VIEWERS, ALLOWED,
        media=_HTML, is_page=True, is_form=True,
    ),
    _open("GET", "/login", "Sign in", sign_in.show),
    _open("POST", "/login", "Begin a session", sign_in.begin, is_form=True),
    _open("GET", "/static/{name}", "A file of the pages", _asset),
)  # fmt: skip


class Site:
    """Implements `luad.api.pages.Pages`. *base*: the path below which a proxy serves the pages."""

    def __init__(self, base: str = "") -> None:
        self._base = base

    @property
    def rows(self) -> Sequence[Endpoint]:
        """Return the rows of all pages and forms."""
        return (
            [replace(row, handler=self._below(row.handler)) for row in ROWS] if self._base else ROWS
        )

    def _below(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            return below(self._base, await handler(request))

        return answer

    async def refusal(self, error: ApiError, scope: Scope) -> Response | None:
        """Return the sign-in page's address or a page with the error; None for programs."""
        answer = await self._refusal(error, scope)
        return None if answer is None else below(self._base, answer)

    async def _refusal(self, error: ApiError, scope: Scope) -> Response | None:
        path: str = scope["path"]
        headers = dict(scope["headers"])
        is_browser = b"text/html" in headers.get(b"accept", b"")
        if path.startswith(_API) or not (is_browser or path.startswith("/act/")):
            return None
        if error.code == "unauthenticated" and scope["method"] in ("GET", "HEAD"):
            wanted = path + (
                "?" + scope["query_string"].decode("latin-1") if scope["query_string"] else ""
            )
            return RedirectResponse(f"/login?next={quote(wanted)}", 303, HEADERS)
        values = {
            "error": error,
            "title": TABLE.get(error.code, TABLE["conflict"])[1],
            "state": "calm",
        }
        return await page("error.html", values, error.status, error.headers)
