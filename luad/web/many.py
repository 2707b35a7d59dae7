"""One action for many jobs or runs: those that are ticked, or all that match the filter of the page.

A page says first what the action is for, and luad carries out what that page has shown. Rule: the routes
`jobs:batch` and `runs:batch` decide what the session may.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from luad.api.context import context_of
from luad.api.http.api_problems import ApiError
from luad.core.model import MINUTE
from luad.web import inside
from luad.web.filters import job_question, run_question
from luad.web.frame import View
from luad.web.times import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from luad.web.inside import Json

AT_ONCE: Final = 5
"""For more than that, a page asks first."""

MOST_TICKED: Final = 500
MOST: Final = 10_000
SHOWN: Final = 20
_PAGE: Final = 500
_ONCE_MS: Final = 10 * MINUTE
_ROUTES: Final = {"jobs": "/v1/jobs:batch", "runs": "/v1/runs:batch"}
_VERBS: Final = {
    "trigger": "Run",
    "pause": "Pause",
    "resume": "Resume",
    "retry": "Retry",
    "cancel": "Stop",
}


@dataclass(slots=True)
class Many:
    """A request to act on many. *kind*: ``jobs`` or ``runs``; *action*: a word of its batch route."""

    kind: str
    action: str
    form: Mapping[str, list[str]]
    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    remaining: int = 0

    @property
    def is_all(self) -> bool:
        """Return whether the filter of the page chooses, not the ticks."""
        return bool(self.text("all"))

    @property
    def words(self) -> str:
        """Return how many it is for."""
        return count(len(self.names), self.kind.removesuffix("s"))

    def text(self, name: str) -> str:
        """Return the first value of a field; empty without one."""
        return self.form.get(name, [""])[0].strip()

    @property
    def needs_consent(self) -> bool:
        """Return whether a page has to ask first, or to ask again because the choice has changed."""
        if not self.text("sure"):
            return self.action == "cancel" or self.is_all or len(self.names) > AT_ONCE
        return self.is_all and self.text("count") != str(len(self.names))


async def act(
    request: Request, form: Mapping[str, list[str]], kind: str, action: str
) -> Response | str:
    """Return a page that asks first, or carry the action out and return what was done.

    Raises `ApiError`.
    """
    many = Many(kind, action, form)
    await _choose(request, many)
    if not many.names:
        raise ApiError(
            "bad_request", f"no {kind} are chosen", hint="tick a row, or change the filter"
        )
    if many.needs_consent:
        return await _ask(request, many)
    actor = request.scope["state"].get("actor", "")
    click = (actor, many.text("key") or id(request), kind, action, tuple(many.names))
    work = _carry_out(request, many)  # a second click changes nothing
    results: Sequence[Json] = await context_of(request).kept.get(click, work, _ONCE_MS)  # type: ignore[assignment]  # of any kind
    return _said(many, results)


async def _choose(request: Request, many: Many) -> None:
    """Note what the action is for: names of jobs or ids of runs."""
    if not many.is_all:
        many.names = list(dict.fromkeys(many.form.get(many.kind.removesuffix("s"), [])))
        if len(many.names) > MOST_TICKED:
            raise ApiError("too_large", f"at most {MOST_TICKED} rows can be ticked")
        many.labels = many.names[:SHOWN]
        return
    query = dict(parse_qsl(urlsplit(many.text("back")).query))
    if many.kind == "runs":
        await _choose_runs(request, many, run_question(query))
        return
    question, cursor = job_question(query), ""
    while len(many.names) < MOST:
        found = await inside.get(
            request, "/v1/jobs", limit=_PAGE, cursor=cursor, fields="name", **question
        )
        many.names += [each["name"] for each in found["jobs"]]
        cursor = found["next_cursor"] or ""
        if not cursor:
            break
    many.remaining = int(bool(cursor))
    many.labels = many.names[:SHOWN]


async def _choose_runs(request: Request, many: Many, query: Mapping[str, str]) -> None:
    if not query:
        raise ApiError(
            "bad_request", "the page has no filter", hint="choose an outcome or a job first"
        )
    body = {"action": many.action, "filter": query, "dry_run": True}
    found = await inside.send(request, "POST", _ROUTES["runs"], body)
    many.names = [each["run"] for each in found["results"]]
    many.labels = [f"{each['job']}, {each['run']}" for each in found["results"][:SHOWN]]
    many.remaining = found["remaining"] or int(not found["is_complete"])


async def _ask(request: Request, many: Many) -> Response:
    view = await View.of(request)
    kept = [] if many.is_all else many.names
    return await view.answer(
        "confirm.html",
        many.kind,
        f"{_VERBS[many.action]} {many.words}?",
        many=many,
        verb=_VERBS[many.action],
        kept=kept,
        field=many.kind.removesuffix("s"),
        path=request.url.path,
        return_to=local(many.text("back")),
        has_changed=bool(many.text("sure")),
    )


async def _carry_out(request: Request, many: Many) -> Sequence[Json]:
    body: dict[str, object] = {"action": many.action, many.kind: many.names}
    if many.action == "pause":
        body |= {key: text for key in ("reason", "until") if (text := many.text(key))}
    done = await inside.send(request, "POST", _ROUTES[many.kind], body)
    results: Sequence[Json] = done["results"]
    return results


def _said(many: Many, results: Sequence[Json]) -> str:
    """Return for how many it was done, and why not for the others."""
    refused = [each for each in results if not each["ok"]]
    if not refused:
        return many.words
    first = refused[0]
    name = first.get("job") or first.get("run") or ""
    why = (first.get("error") or {}).get("detail") or f"status {first['status']}"
    return f"{len(results) - len(refused)} of {many.words}; not for {name}: {why}"[:300]


def local(address: str) -> str:
    """Return *address* when it is a path of this server, else the overview."""
    parts = urlsplit(address)
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    is_plain = is_local and not parts.netloc and "\\" not in address and address.isprintable()
    return address if is_plain else "/"
