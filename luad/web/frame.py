"""The frame of every page: the state, the session, the zone, the daemon.

Rule: each page answers by `View.answer`; it adds nothing that depends on the page.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from luad import __version__
from luad.api.context import context_of
from luad.api.json.views import instant
from luad.web import inside, render, saved_views
from luad.web.times import Times, parse, zone_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json
    from luad.web.saved_views import SavedView

ZONE_COOKIE: Final = "luad-zone"
LAST_COOKIE: Final = "luad-last"
_MONTH_S: Final = 30 * 86_400
PART_HEADER: Final = "luad-part"
"""A script asks for the content alone, without the frame."""

_OPERATES: Final = frozenset({"operator", "admin"})
TOAST: Final = ("done", "subject", "undo")
"""The parameters with which an action returns to a page."""

_UNDO: Final = {"pause": "/act/resume", "resume": "/act/pause"}
DONE: Final[Mapping[str, str]] = {
    "run": "Started {}.",
    "pause": "Paused {}.",
    "resume": "Resumed {}.",
    "cancel": "Told {} to stop.",
    "retry": "Started {} again.",
    "acknowledge": "Acknowledged {}.",
    "resend": "Sent {} again.",
    "end": "Signed out a browser of {}.",
    "reload": "Read the files.",
    "batch": "Done for {}.",
    "send": "Sent a test to {}.",
    "unsent": "The test did not arrive at {}.",
}
"""The words of a page after an action; the name in the address is escaped like any text."""


@dataclass(slots=True)
class View:
    """One request for a page."""

    request: Request
    status: Json
    times: Times

    @classmethod
    async def of(cls, request: Request) -> View:
        """Return the view of *request*, with the state of the daemon."""
        status = await inside.get(request, "/v1/status")
        return cls(request, status, _times(request, status["timezone"]))

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the page."""
        return self.request.query_params

    @property
    def views(self) -> Sequence[SavedView]:
        """Return the filters that this browser keeps."""
        return saved_views.read(self.request.cookies.get(saved_views.COOKIE, ""))

    @property
    def may_operate(self) -> bool:
        """Return whether the session may act."""
        token = self.request.scope["state"].get("token")
        return token is not None and token.role in _OPERATES

    @property
    def is_admin(self) -> bool:
        """Return whether the session may see what only an admin may."""
        token = self.request.scope["state"].get("token")
        return token is not None and token.role == "admin"

    async def get(self, path: str, **query: object) -> Json:
        """Return an answer of the API. Raises `ApiError`."""
        return await inside.get(self.request, path, **query)

    async def get_text(self, path: str, **query: object) -> str:
        """Return an answer of the API that is not JSON. Raises `ApiError`."""
        return await inside.get_text(self.request, path, **query)

    async def gather(self, *paths: tuple[str, Mapping[str, object]]) -> list[Json]:
        """Return several answers of the API, asked at the same time. Raises `ApiError`."""
        return await asyncio.gather(*(self.get(path, **query) for path, query in paths))

    def link(self, **changes: object) -> str:
        """Return the address of this page with other parameters; None removes one."""
        query = {**self.query, **changes}
        for name in TOAST:
            query.pop(name, None)
        given = {key: str(value) for key, value in query.items() if value not in (None, "")}
        return "?" + urlencode(given)

    @property
    def _done(self) -> str:
        """Return what a form has just done; empty for an address that came from elsewhere.

        A link of another site could otherwise show words of its own.
        """
        return self.query.get("done", "") if self._is_ours else ""

    @property
    def _is_ours(self) -> bool:
        """Return whether a page of luad led here."""
        return self.request.headers.get("sec-fetch-site", "same-origin") == "same-origin"

    async def answer(
        self, template: str, page: str, title: str, /, status_code: int = 200, **values: Any
    ) -> Response:
        """Return the page; *page* is the name in the navigation, *title* the state and the name."""
        jobs = self.status.get("jobs", {})
        failing = jobs.get("failing", 0)
        session = self.request.scope["state"].get("session")
        token = self.request.scope["state"].get("token")
        done = self._done
        frame = {
            "page": page,
            "title": title,
            "state": "failing" if failing else "calm",
            "failing": failing,
            "status": self.status,
            "times": self.times,
            "zone": self.times.zone,
            "own_zone": "",
            "views": [each for each in self.views if each.page == self.request.url.path],
            "last_view": None if self._filter else self._last_view,
            "role": token.role if token is not None else "",
            "account": session.account if session else (token.name if token else ""),
            "has_session": session is not None,
            "may_operate": self.may_operate,
            "is_admin": self.is_admin,
            "version": __version__,
            "back": self.request.url.path + self.link(),
            "link": self.link,
            "query": self.query,
            "key": secrets.token_urlsafe(12),
            "toast": DONE[done].format(self.query.get("subject", "")) if done in DONE else "",
            "undo_path": _UNDO.get(done, ""),
            "undone": self.request.query_params.getlist("undo"),
            "is_part": PART_HEADER in self.request.headers,
        }
        answer = await render.page(template, {**frame, **values}, status_code)
        self._keep_last(answer)
        return answer

    @property
    def _filter(self) -> str:
        return saved_views.filter_of(self.request.url.query)

    @property
    def _last_view(self) -> SavedView | None:
        """Return the filter that this browser used last on this page."""
        kept = saved_views.read(self.request.cookies.get(LAST_COOKIE, ""))
        return next((each for each in kept if each.page == self.request.url.path), None)

    def _keep_last(self, answer: Response) -> None:
        """Let this browser keep the filter of the page, unless another site has chosen it."""
        page, query = self.request.url.path, self._filter
        known = self._last_view
        if page not in saved_views.PAGES or not query or not self._is_ours:
            return
        if known is not None and known.query == query:
            return
        kept = saved_views.read(self.request.cookies.get(LAST_COOKIE, ""))
        kept = saved_views.change(kept, page, "last", query)
        is_secure = self.request.scope["state"]["target"].is_secure
        answer.set_cookie(
            LAST_COOKIE, saved_views.write(kept), max_age=_MONTH_S, path="/", secure=is_secure,
            httponly=True, samesite="lax",
        )  # fmt: skip


def _times(request: Request, default: str) -> Times:
    """Return how instants are written: as of now, in the zone that the browser has chosen."""
    now = instant(context_of(request).service.clock.now().wall)
    assert now is not None
    name = request.query_params.get("zone") or request.cookies.get(ZONE_COOKIE, "")
    return Times(parse(now), zone_of(name, default))
